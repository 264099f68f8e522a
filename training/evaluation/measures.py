"""Acoustic measures of speech: duration, spectrum and pitch."""

import numpy as np
from numpy.typing import NDArray

Audio = NDArray[np.float32]
HOP_S = 0.01
WINDOW_S = 0.04
BANDS = 40
SILENCE_DB = 40.0  # below the loudest window
PITCH_HZ = (60.0, 400.0)
VOICING_THRESHOLD = 0.6  # normalized autocorrelation


def frames_of(audio: Audio, rate_hz: int) -> NDArray[np.float64]:
    """Overlapping windows `[frames, samples]`, one per 10 ms."""
    window, hop = round(WINDOW_S * rate_hz), round(HOP_S * rate_hz)
    padded = np.pad(audio.astype(np.float64), (window // 2, window))
    windows: NDArray[np.float64] = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    return windows


def speech_span(audio: Audio, rate_hz: int) -> tuple[float, float]:
    """Start and end of the speech, in seconds."""
    level_db = 10 * np.log10(np.mean(frames_of(audio, rate_hz) ** 2, axis=1) + 1e-9)
    audible = np.flatnonzero(level_db > level_db.max() - SILENCE_DB)
    return audible[0] * HOP_S, (audible[-1] + 1) * HOP_S


def speech_s(audio: Audio, rate_hz: int) -> float:
    start_s, end_s = speech_span(audio, rate_hz)
    return end_s - start_s


def trim(audio: Audio, rate_hz: int) -> Audio:
    start_s, end_s = speech_span(audio, rate_hz)
    return audio[round(start_s * rate_hz) : round(end_s * rate_hz)]


def log_mel(audio: Audio, rate_hz: int) -> NDArray[np.float64]:
    """Natural log of the power in each mel band, `[frames, BANDS]`."""
    windows = frames_of(audio, rate_hz) * np.hanning(round(WINDOW_S * rate_hz))
    power = np.abs(np.fft.rfft(windows, axis=1)) ** 2
    logarithms: NDArray[np.float64] = np.log(power @ _filters(rate_hz, power.shape[1]).T + 1e-6)
    return logarithms


def _filters(rate_hz: int, bins: int) -> NDArray[np.float64]:
    def mel(hz: float) -> float:
        return float(2595 * np.log10(1 + hz / 700))

    edges = 700 * (10 ** (np.linspace(mel(60), mel(7600), BANDS + 2) / 2595) - 1)
    hz = np.linspace(0, rate_hz / 2, bins)
    rising = (hz - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - hz) / np.diff(edges)[1:, None]
    return np.clip(np.minimum(rising, falling), 0, None)


def pitch(audio: Audio, rate_hz: int) -> NDArray[np.float64]:
    """Pitch in Hz, one value per 10 ms, NaN where unvoiced. By autocorrelation."""
    windows = frames_of(audio, rate_hz)
    windows = windows - windows.mean(axis=1, keepdims=True)
    size = 2 * windows.shape[1]
    correlation = np.fft.irfft(np.abs(np.fft.rfft(windows, size, axis=1)) ** 2, axis=1)[:, : windows.shape[1]]
    correlation /= 1 - np.arange(windows.shape[1]) / windows.shape[1]  # fewer samples overlap at longer lags
    shortest, longest = round(rate_hz / PITCH_HZ[1]), round(rate_hz / PITCH_HZ[0])
    lags = correlation[:, shortest:longest]
    # The shortest lag that is nearly the best, since the best may span two periods.
    good = lags > 0.9 * lags.max(axis=1, keepdims=True)
    peak = (lags >= np.roll(lags, 1, 1)) & (lags >= np.roll(lags, -1, 1)) & good
    lag = np.where(peak.any(axis=1), peak.argmax(axis=1), lags.argmax(axis=1))
    voicing = lags[np.arange(len(lags)), lag] / (correlation[:, 0] + 1e-9)
    loud = correlation[:, 0] > 1e-3 * correlation[:, 0].max()
    return np.where((voicing > VOICING_THRESHOLD) & loud, rate_hz / (shortest + lag), np.nan)
