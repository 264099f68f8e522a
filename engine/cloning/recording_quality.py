"""Find quality issues in a recording that a voice is made from; each has a code and a message for the speaker.

Everything is measured on blocks of 20 ms. The thresholds separate a good headset from a good telephone line.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

BLOCKS_PER_SECOND = 50
TRIM_THRESHOLD_DB = 40  # below the loudest block; low enough that no word is trimmed
TRIM_MARGIN_S = 0.2  # a soft initial consonant is no louder than the silence around it
REPORTED_SILENCE_S = 0.5

RECOMMENDED_S = 5.0
QUIET_DBFS = -40.0  # level of the loud blocks; -25 to -15 in a good recording
MIN_SNR_DB = 20.0  # from pauses to loud blocks; 30 to 50 in a quiet room
DIGITAL_SILENCE_DBFS = -115.0  # silence made by software, unrelated to the noise of the room
MIN_BLOCKS = 25  # with fewer, pauses cannot be separated from speech
BAND_HZ = 250
BAND_THRESHOLD_DB = 55  # below the strongest band; at 6 kHz speech is 25 to 40 dB below it
MIN_BANDWIDTH_HZ = 6_000
MAX_CLIPPED_RATIO = 2e-4
EPSILON = 1e-12


@dataclass(frozen=True)
class QualityIssue:
    code: str
    message: str


@dataclass(frozen=True, eq=False)
class Recording:
    """A decoded recording, and its speech: one channel, without the silence at both ends."""

    channels: Samples  # [channels, samples]
    speech: Samples  # [samples]
    rate_hz: int
    speech_start: int  # index of the first sample of `speech` in the recording
    excerpt_bounds: tuple[int, int]  # of the part of `speech` that the model is prompted with
    max_prompt_s: float | None = None  # the longest excerpt that the model can take; None: any
    is_truncated: bool = False  # the file is longer than what was decoded

    @property
    def seconds(self) -> float:
        return len(self.speech) / self.rate_hz

    @property
    def trimmed_s(self) -> float:
        """Silence that was removed."""
        return float(self.channels.shape[1] - len(self.speech)) / self.rate_hz

    @property
    def excerpt(self) -> Samples:
        start, end = self.excerpt_bounds
        return self.speech[start:end]


def find_speech(mono: Samples, rate_hz: int) -> tuple[int, int]:
    """Find the silence at both ends of `[samples]`: the first sample of the rest, and the one after its last."""
    levels = _levels_db(mono, rate_hz)
    loud = np.flatnonzero(levels > levels.max() - TRIM_THRESHOLD_DB)
    margin = round(TRIM_MARGIN_S * rate_hz)
    block = rate_hz // BLOCKS_PER_SECOND
    start, end = max(0, loud[0] * block - margin), min(len(mono), (loud[-1] + 1) * block + margin)
    return start, end


def find_issues(recording: Recording) -> tuple[QualityIssue, ...]:
    """All quality issues of a recording, in the order of `CHECKS`."""
    results = ((code, check(recording)) for code, check in CHECKS.items())
    return tuple(QualityIssue(code, message) for code, message in results if message)


def _too_short(recording: Recording) -> str:
    recommended_s = min(RECOMMENDED_S, recording.max_prompt_s or RECOMMENDED_S)
    if recording.seconds >= recommended_s:
        return ""
    needed = f"{recommended_s:g} to 30 s" if recording.max_prompt_s is None else f"{recommended_s:g} s"
    return f"The recording has only {recording.seconds:.1f} s of speech; {needed} make the clone more similar."


def _too_long(recording: Recording) -> str:
    if not recording.is_truncated:
        return ""
    return "Only the first 30 s are used; if the best part comes later, cut it out and send that."


def _excerpt_used(recording: Recording) -> str:
    if len(recording.excerpt) == len(recording.speech):
        return ""
    start_s, end_s = ((recording.speech_start + bound) / recording.rate_hz for bound in recording.excerpt_bounds)
    return (
        f"This model can only use {recording.max_prompt_s:g} s of a recording. {start_s:.1f} to {end_s:.1f} s of this "
        "one were used; if another part is better, cut it out and send that."
    )


def _silence_trimmed(recording: Recording) -> str:
    if recording.trimmed_s < REPORTED_SILENCE_S:
        return ""
    return f"{recording.trimmed_s:.1f} s of silence before and after the speech were removed."


def _too_quiet(recording: Recording) -> str:
    level = float(np.percentile(_levels_db(recording.speech, recording.rate_hz), 90))
    if level >= QUIET_DBFS:
        return ""
    return (
        f"The speech is very quiet ({level:.0f} dB) and was amplified, with its noise; move closer to the microphone, "
        "or turn it up."
    )


def _clipped(recording: Recording) -> str:
    """Clipped peaks are flat or, after a lossy codec, beyond full scale."""
    if max(map(_clipped_ratio, recording.channels)) < MAX_CLIPPED_RATIO:
        return ""
    return "The loud parts are distorted (clipped); turn the microphone down and record again."


def _noisy(recording: Recording) -> str:
    levels = _levels_db(recording.speech, recording.rate_hz)
    levels = levels[levels > DIGITAL_SILENCE_DBFS]
    if len(levels) < MIN_BLOCKS:
        return ""
    snr_db = float(np.percentile(levels, 90) - np.percentile(levels, 10))
    if snr_db >= MIN_SNR_DB:
        return ""
    return (
        f"The pauses are only {snr_db:.0f} dB quieter than the speech, so noise, music, echo or other speakers become "
        "part of the voice; record in a quiet room."
    )


def _low_bandwidth(recording: Recording) -> str:
    bandwidth_hz = _bandwidth_hz(recording.speech, recording.rate_hz)
    if bandwidth_hz >= MIN_BANDWIDTH_HZ:
        return ""
    return (
        f"There is no sound above {bandwidth_hz / 1000:.1f} kHz, as on a telephone, so the voice will sound dull; "
        "record at 24 kHz or more, and not through a headset in call mode."
    )


CHECKS: dict[str, Callable[[Recording], str]] = {
    "too_short": _too_short,
    "too_long": _too_long,
    "excerpt_used": _excerpt_used,
    "silence_trimmed": _silence_trimmed,
    "too_quiet": _too_quiet,
    "clipped": _clipped,
    "noisy": _noisy,
    "low_bandwidth": _low_bandwidth,
}


def _blocks(mono: Samples, rate_hz: int) -> Samples:
    """Split into `[blocks, samples per block]`; an incomplete last block is dropped."""
    block = rate_hz // BLOCKS_PER_SECOND
    count = len(mono) // block
    return mono[: count * block].reshape(count, block)


def _levels_db(mono: Samples, rate_hz: int) -> npt.NDArray[np.float64]:
    """Level of each block, `[blocks]`; a square wave at full scale has 0 dB."""
    power = np.square(_blocks(mono, rate_hz), dtype=np.float64).mean(axis=1)
    return np.asarray(10 * np.log10(power + EPSILON))


def _clipped_ratio(channel: Samples) -> float:
    magnitude = np.abs(channel)
    peak = magnitude.max()
    if peak == 0:  # one of two channels may be silent
        return 0.0
    near_peak = magnitude >= 0.995 * peak
    constant = np.abs(np.diff(channel)) <= 1e-4 * peak
    flat = near_peak[:-2] & near_peak[2:] & constant[:-1] & constant[1:]  # three in a row; natural peaks have two
    return float(max(flat.mean(), (magnitude >= 0.999).mean()))


def _bandwidth_hz(mono: Samples, rate_hz: int) -> float:
    """The frequency above which there is no sound."""
    blocks = _blocks(mono, rate_hz).astype(np.float64)
    blocks = blocks * np.hanning(blocks.shape[1])
    power = np.square(np.abs(np.fft.rfft(blocks, axis=1))).mean(axis=0)  # [bins of 50 Hz]
    per_band = BAND_HZ // BLOCKS_PER_SECOND
    bands = power[: len(power) // per_band * per_band].reshape(-1, per_band).mean(axis=1)
    audible = np.flatnonzero(bands >= bands.max() * 10 ** (-BAND_THRESHOLD_DB / 10))
    return float((audible[-1] + 1) * BAND_HZ)
