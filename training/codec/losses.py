"""Multi-resolution spectral distance between waveforms, without phase.

Windows are long compared to a pitch period: shorter ones would require pulses at exact positions, which the latents do
not encode.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from training.data.spectra import hann, mel_bank

WINDOWS = (480, 1024, 2048)  # samples at 24 kHz: 20 to 85 ms
MAX_ENVELOPE_WINDOW, BANDS = 1024, 80
FLOOR = 1e-4  # amplitude floor, 1 is a full-scale sine


@dataclass(frozen=True)
class SpectralDistance:
    convergence: Tensor  # norm of the amplitude error, relative to the target
    log_magnitude: Tensor  # mean absolute difference of log amplitudes
    envelope: Tensor  # the same for mel bands, which show the envelope and not the harmonics

    @property
    def total(self) -> Tensor:
        return self.convergence + self.log_magnitude + self.envelope


def spectral_distance(audio: Tensor, target: Tensor) -> SpectralDistance:
    """Distance between `[rows, samples]`, averaged over the window lengths."""
    parts: list[list[Tensor]] = [[], [], []]
    for window in WINDOWS:
        ours = amplitudes(audio, window)
        with torch.no_grad():
            theirs = amplitudes(target, window)
        error = (ours - theirs).square().sum((1, 2)).add(1e-8).sqrt()
        parts[0].append((error / theirs.square().sum((1, 2)).sqrt().add(1e-2)).mean())
        parts[1].append(_log_distance(ours, theirs))
        if window <= MAX_ENVELOPE_WINDOW:
            bank = mel_bank(_fft(window), BANDS)[: ours.shape[-1]]
            parts[2].append(_log_distance(ours @ bank, theirs @ bank))
    return SpectralDistance(*(torch.stack(part).mean() for part in parts))


def amplitudes(audio: Tensor, window: int) -> Tensor:
    """Amplitude spectra: `[rows, samples]` to `[rows, time, bins]`, with a hop of a quarter window."""
    fft, taper = _fft(window), hann(window)
    spectrum = torch.fft.rfft(audio.unfold(1, window, window // 4) * taper, fft)[..., : fft // 2]
    power: Tensor = spectrum.real.square() + spectrum.imag.square()
    return (power + 1e-12).sqrt() * (2 / taper.sum())


def _log_distance(ours: Tensor, theirs: Tensor) -> Tensor:
    return ((ours + FLOOR).log() - (theirs + FLOOR).log()).abs().mean()


def _fft(window: int) -> int:
    return 1 << (window - 1).bit_length()
