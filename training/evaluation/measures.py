"""What can be measured of speech without understanding it: length, spectrum and pitch, and how like other speech."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

Sound = NDArray[np.float32]
HOP_S = 0.01
WINDOW_S = 0.04
BANDS = 40
CEPSTRA = 13  # beside the zeroth, which is loudness
QUIET_DB = 40.0  # below the loudest part speech is over
PITCH_HZ = (60.0, 400.0)
VOICED = 0.6  # of a whole, how alike neighbouring periods are
CEPSTRAL_DB = 10 * np.sqrt(2) / np.log(10)


def frames_of(sound: Sound, rate_hz: int) -> NDArray[np.float64]:
    """Overlapping windows `[frames, samples]`, one each 10 ms."""
    window, hop = round(WINDOW_S * rate_hz), round(HOP_S * rate_hz)
    padded = np.pad(sound.astype(np.float64), (window // 2, window))
    windows: NDArray[np.float64] = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    return windows


def spoken_span(sound: Sound, rate_hz: int) -> tuple[float, float]:
    """When the first sound begins and the last one ends, in seconds."""
    loud = 10 * np.log10(np.mean(frames_of(sound, rate_hz) ** 2, axis=1) + 1e-9)
    heard = np.flatnonzero(loud > loud.max() - QUIET_DB)
    return heard[0] * HOP_S, (heard[-1] + 1) * HOP_S


def spoken_s(sound: Sound, rate_hz: int) -> float:
    start_s, end_s = spoken_span(sound, rate_hz)
    return end_s - start_s


def trimmed(sound: Sound, rate_hz: int) -> Sound:
    start_s, end_s = spoken_span(sound, rate_hz)
    return sound[round(start_s * rate_hz) : round(end_s * rate_hz)]


def log_mel(sound: Sound, rate_hz: int) -> NDArray[np.float64]:
    """Natural logarithm of the power in each band, `[frames, BANDS]`."""
    windows = frames_of(sound, rate_hz) * np.hanning(round(WINDOW_S * rate_hz))
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


def mel_cepstra(sound: Sound, rate_hz: int) -> NDArray[np.float64]:
    """The spectrum's shape without loudness, `[frames, CEPSTRA]`; the logarithms are of power, so half counts."""
    transformed: NDArray[np.float64] = dct(log_mel(sound, rate_hz), norm="ortho")
    shape: NDArray[np.float64] = transformed[:, 1 : CEPSTRA + 1] / np.sqrt(2 * BANDS)
    return shape


def aligned(one: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The cheapest way through both, as places in each (dynamic time warping)."""
    cost = np.sqrt(((one[:, None] - other[None]) ** 2).sum(-1))
    total = np.full((len(one) + 1, len(other) + 1), np.inf)
    total[0, 0] = 0
    for diagonal in range(len(one) + len(other) - 1):  # all cells of one diagonal at once
        a = np.arange(max(0, diagonal - len(other) + 1), min(len(one), diagonal + 1))
        b = diagonal - a
        total[a + 1, b + 1] = cost[a, b] + np.minimum(np.minimum(total[a, b + 1], total[a + 1, b]), total[a, b])
    cell = len(one), len(other)
    path = []
    while all(cell):
        above, left = cell[0] - 1, cell[1] - 1
        path.append((above, left))
        cell = min(((above, left), (above, cell[1]), (cell[0], left)), key=lambda other: float(total[other]))
    places = np.array(path[::-1])
    return places[:, 0], places[:, 1]


def pitch(sound: Sound, rate_hz: int) -> NDArray[np.float64]:
    """Hz for each 10 ms; NaN where there is no voice. By autocorrelation."""
    windows = frames_of(sound, rate_hz)
    windows = windows - windows.mean(axis=1, keepdims=True)
    size = 2 * windows.shape[1]
    own = np.fft.irfft(np.abs(np.fft.rfft(windows, size, axis=1)) ** 2, axis=1)[:, : windows.shape[1]]
    own /= 1 - np.arange(windows.shape[1]) / windows.shape[1]  # fewer samples meet at a longer lag
    shortest, longest = round(rate_hz / PITCH_HZ[1]), round(rate_hz / PITCH_HZ[0])
    lags = own[:, shortest:longest]
    # The shortest lag that is nearly the best: the best itself may be two periods.
    good = lags > 0.9 * lags.max(axis=1, keepdims=True)
    peak = (lags >= np.roll(lags, 1, 1)) & (lags >= np.roll(lags, -1, 1)) & good
    lag = np.where(peak.any(axis=1), peak.argmax(axis=1), lags.argmax(axis=1))
    alike = lags[np.arange(len(lags)), lag] / (own[:, 0] + 1e-9)
    loud = own[:, 0] > 1e-3 * own[:, 0].max()
    return np.where((alike > VOICED) & loud, rate_hz / (shortest + lag), np.nan)


@dataclass(frozen=True)
class Likeness:
    """How near speech is to other speech of the same text."""

    cepstral_db: float  # mel-cepstral distortion along the best alignment
    pitch_correlation: float  # of the logarithms, where both have a voice
    pitch_semitones: float  # mean distance there
    voiced_alike: float  # share of the time in which both have a voice or neither has


def compare(one: Sound, other: Sound, rate_hz: int) -> Likeness:
    one, other = trimmed(one, rate_hz), trimmed(other, rate_hz)
    own, others = mel_cepstra(one, rate_hz), mel_cepstra(other, rate_hz)
    a, b = aligned(own, others)
    distance = CEPSTRAL_DB * np.sqrt(((own[a] - others[b]) ** 2).sum(-1)).mean()
    tracks = np.log2(pitch(one, rate_hz))[a], np.log2(pitch(other, rate_hz))[b]
    voiced = ~np.isnan(tracks[0]), ~np.isnan(tracks[1])
    both = voiced[0] & voiced[1]
    x, y = tracks[0][both], tracks[1][both]
    return Likeness(
        float(distance),
        _correlation(x, y),
        float(12 * np.abs(x - y).mean()) if len(x) else 12.0,
        float((voiced[0] == voiced[1]).mean()),
    )


def _correlation(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """0 where one of them stands still."""
    spread = x.std() * y.std() if len(x) else 0.0
    return float(np.mean((x - x.mean()) * (y - y.mean())) / spread) if spread > 1e-9 else 0.0
