"""How far one sound is from another, as an ear would say: by spectra of several resolutions, without phase.

Windows are long against a pitch period: what is shorter would ask for pulses at their very places, and latents do not
tell these.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from training.data.spectra import hann, mel_bank

WINDOWS = (480, 1024, 2048)  # samples at 24 kHz: 20 to 85 ms
LONGEST_FOR_ENVELOPE, BANDS = 1024, 80
FLOOR = 1e-4  # of amplitudes, 1 is a sine of full scale
TOP_BIN = 0.84  # of half the rate, above are only the resampler's leavings


@dataclass(frozen=True)
class SpectralDistance:
    convergence: Tensor  # of amplitudes, relative to the target's
    logarithms: Tensor  # mean difference of their logarithms
    envelope: Tensor  # the same of mel bands: what the mouth does, whatever the voice's harmonics

    @property
    def total(self) -> Tensor:
        return self.convergence + self.logarithms + self.envelope


def spectral_distance(sound: Tensor, target: Tensor) -> SpectralDistance:
    """Of `[rows, samples]`, mean over the windows."""
    parts: list[list[Tensor]] = [[], [], []]
    for window in WINDOWS:
        heard = amplitudes(sound, window)
        with torch.no_grad():
            wanted = amplitudes(target, window)
        off = (heard - wanted).square().sum((1, 2)).add(1e-8).sqrt()
        parts[0].append((off / wanted.square().sum((1, 2)).sqrt().add(1e-2)).mean())
        parts[1].append(_apart(heard, wanted))
        if window <= LONGEST_FOR_ENVELOPE:
            bank = mel_bank(_fft(window), BANDS)[: heard.shape[-1]]
            parts[2].append(_apart(heard @ bank, wanted @ bank))
    return SpectralDistance(*(torch.stack(part).mean() for part in parts))


def amplitudes(sound: Tensor, window: int) -> Tensor:
    """`[rows, samples]` to `[rows, time, bins]`, four windows in the length of one."""
    fft, shape = _fft(window), hann(window)
    spectrum = torch.fft.rfft(sound.unfold(1, window, window // 4) * shape, fft)[..., : int(fft // 2 * TOP_BIN)]
    power: Tensor = spectrum.real.square() + spectrum.imag.square()
    return (power + 1e-12).sqrt() * (2 / shape.sum())


def _apart(heard: Tensor, wanted: Tensor) -> Tensor:
    return ((heard + FLOOR).log() - (wanted + FLOOR).log()).abs().mean()


def _fft(window: int) -> int:
    return 1 << (window - 1).bit_length()
