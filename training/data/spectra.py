"""Mel patches: the phase-free spectral representation of one codec frame.

A patch covers 80 ms: eight mel spectra (spectral envelope) and four narrow-band spectra of low frequencies, which
resolve the harmonics and so show the pitch. All values are log amplitudes.
"""

import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

SAMPLE_RATE_HZ = 24_000
FRAME_SAMPLES = 1920
FLOOR = 1e-4  # amplitude floor, 1 is a full-scale sine: sound 60 dB below speech is inaudible

MEL_HOP, MEL_WINDOW, MEL_FFT, MELS, MEL_TOP_HZ = 240, 480, 1024, 80, 12_000.0
PITCH_HOP, PITCH_WINDOW, PITCH_FFT, PITCH_BINS = 480, 1536, 2048, slice(4, 100)  # 47 to 1,160 Hz
MEL_VALUES = FRAME_SAMPLES // MEL_HOP * MELS
PATCH_SIZE = MEL_VALUES + FRAME_SAMPLES // PITCH_HOP * (PITCH_BINS.stop - PITCH_BINS.start)


def compute_patches(audio: Tensor) -> Tensor:
    """`[rows, samples]`, whole frames, to `[rows, frames, PATCH_SIZE]`. Assumes silence before the audio."""
    ahead = (MEL_WINDOW - MEL_HOP) // 2  # mel windows are centred, so they include 5 ms of the next frame
    mel = log_mel(F.pad(audio, (MEL_WINDOW - MEL_HOP - ahead, ahead)), MEL_WINDOW, MEL_HOP, MEL_FFT, MELS)
    narrow = _amplitudes(F.pad(audio, (PITCH_WINDOW - PITCH_HOP, 0)), PITCH_WINDOW, PITCH_HOP, PITCH_FFT)
    narrow = (narrow[..., PITCH_BINS] + FLOOR).log()
    frames = audio.shape[1] // FRAME_SAMPLES
    return torch.cat([part.unflatten(1, (frames, -1)).flatten(2) for part in (mel, narrow)], dim=-1)


def log_mel(audio: Tensor, window: int, hop: int, fft: int, mels: int) -> Tensor:
    """Log mel spectra: `[rows, samples]` to `[rows, time, mels]`; all windows lie within the audio."""
    return (_amplitudes(audio, window, hop, fft) @ mel_bank(fft, mels) + FLOOR).log()


@cache
@torch.inference_mode(mode=False)  # cached: must work with autograd even if first computed in inference mode
def mel_bank(fft: int, mels: int, top_hz: float = MEL_TOP_HZ) -> Tensor:
    """Mel filter bank `[fft / 2 + 1, mels]`: triangular filters, each normalized to sum 1."""
    mel_points = torch.linspace(0, 2595 * math.log10(1 + top_hz / 700), mels + 2)
    edges = 700 * (10 ** (mel_points / 2595) - 1)
    bins = torch.linspace(0, SAMPLE_RATE_HZ / 2, fft // 2 + 1)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    bank = torch.minimum(rising, falling).clamp_min(0)
    return bank / bank.sum(0).clamp_min(1e-3)


def _amplitudes(audio: Tensor, window: int, hop: int, fft: int) -> Tensor:
    """Amplitude spectra `[rows, time, fft / 2 + 1]`: a full-scale sine has amplitude 1."""
    taper = hann(window)
    spectrum: Tensor = torch.fft.rfft(audio.unfold(1, window, hop) * taper, fft)
    return spectrum.abs() * (2 / taper.sum())


@cache
@torch.inference_mode(mode=False)  # cached: must work with autograd even if first computed in inference mode
def hann(window: int) -> Tensor:
    return torch.hann_window(window)


def silent_patches(frames: int) -> Tensor:
    """Patches of silence `[frames, PATCH_SIZE]`, the context before a clip."""
    return torch.full((frames, PATCH_SIZE), math.log(FLOOR))
