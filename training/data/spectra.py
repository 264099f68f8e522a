"""What is heard in one codec frame, as numbers without phase: its patch. And distances between spectra.

A patch of 80 ms holds eight mel spectra (what the mouth does) and four narrow ones of the low end (where harmonics lie
apart, so they tell the pitch), all logarithms of amplitudes.
"""

import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

SAMPLE_RATE = 24_000
FRAME_SAMPLES = 1920
FLOOR = 1e-4  # of amplitudes, 1 is a sine of full scale: nothing is heard 60 dB below speech

MEL_HOP, MEL_WINDOW, MEL_FFT, MELS, MEL_TOP_HZ = 240, 480, 1024, 80, 10_000.0
PITCH_HOP, PITCH_WINDOW, PITCH_FFT, PITCH_BINS = 480, 1536, 2048, slice(4, 100)  # 47 to 1,160 Hz
MEL_VALUES = FRAME_SAMPLES // MEL_HOP * MELS
PATCH = MEL_VALUES + FRAME_SAMPLES // PITCH_HOP * (PITCH_BINS.stop - PITCH_BINS.start)


def patches(audio: Tensor) -> Tensor:
    """`[rows, samples]`, whole frames, to `[rows, frames, PATCH]`. Silence was before."""
    ahead = (MEL_WINDOW - MEL_HOP) // 2  # mel windows are centred, so they see 5 ms of what follows
    mel = log_mel(F.pad(audio, (MEL_WINDOW - MEL_HOP - ahead, ahead)), MEL_WINDOW, MEL_HOP, MEL_FFT, MELS)
    low = _amplitudes(F.pad(audio, (PITCH_WINDOW - PITCH_HOP, 0)), PITCH_WINDOW, PITCH_HOP, PITCH_FFT)
    low = (low[..., PITCH_BINS] + FLOOR).log()
    frames = audio.shape[1] // FRAME_SAMPLES
    return torch.cat([part.unflatten(1, (frames, -1)).flatten(2) for part in (mel, low)], dim=-1)


def log_mel(audio: Tensor, window: int, hop: int, fft: int, mels: int) -> Tensor:
    """`[rows, samples]` to `[rows, time, mels]`; the windows lie inside the audio."""
    return (_amplitudes(audio, window, hop, fft) @ mel_bank(fft, mels) + FLOOR).log()


@cache
@torch.inference_mode(mode=False)  # what is kept may be learnt through, whoever asks first
def mel_bank(fft: int, mels: int, top_hz: float = MEL_TOP_HZ) -> Tensor:
    """`[fft / 2 + 1, mels]`: triangles that are evenly spaced by ear, each of sum 1."""
    ear = torch.linspace(0, 2595 * math.log10(1 + top_hz / 700), mels + 2)
    edges = 700 * (10 ** (ear / 2595) - 1)
    bins = torch.linspace(0, SAMPLE_RATE / 2, fft // 2 + 1)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    bank = torch.minimum(rising, falling).clamp_min(0)
    return bank / bank.sum(0).clamp_min(1e-3)


def _amplitudes(audio: Tensor, window: int, hop: int, fft: int) -> Tensor:
    """`[rows, time, fft / 2 + 1]`: a sine of full scale gives 1."""
    shape = hann(window)
    spectrum: Tensor = torch.fft.rfft(audio.unfold(1, window, hop) * shape, fft)
    return spectrum.abs() * (2 / shape.sum())


@cache
@torch.inference_mode(mode=False)  # what is kept may be learnt through, whoever asks first
def hann(window: int) -> Tensor:
    return torch.hann_window(window)


def silent_patches(frames: int) -> Tensor:
    """What was before a clip."""
    return torch.full((frames, PATCH), math.log(FLOOR))
