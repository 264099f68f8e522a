"""What could be better about the recording that a voice was made from, as codes and in plain words.

Everything is measured on blocks of 20 ms. The limits are set so that a good headset and a good telephone tell apart:
each message is meant to be shown to the person who recorded.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

BLOCKS_PER_SECOND = 50
TRIM_BELOW_DB = 40  # under the loudest block: no speaker pauses so long that this takes away a word
KEPT_SILENCE_S = 0.2  # a soft first consonant is not louder than the silence around it
TOLD_SILENCE_S = 0.5

SHORT_S = 5.0
QUIET_DBFS = -40.0  # of the loud blocks; a good recording has -25 to -15
PAUSE_DEPTH_DB = 20.0  # between loud blocks and pauses; 30 to 50 in a quiet room
NOTHING_DBFS = -115.0  # silence that a program made, which tells nothing of the room
FEWEST_BLOCKS = 25  # too few to tell pauses from speech
BAND_HZ = 250
BAND_BELOW_DB = 55  # under the strongest band; at 6 kHz speech is 25 to 40 below
NARROW_HZ = 6_000
CLIPPED_SHARE = 2e-4
TINY = 1e-12


@dataclass(frozen=True)
class Advice:
    code: str
    message: str


@dataclass(frozen=True, eq=False)
class Recording:
    """What was decoded, and what is left of it: one channel, without the silence around it."""

    channels: Samples  # [channels, samples]
    speech: Samples  # [samples]
    rate_hz: int
    cut_s: float  # silence that was taken away
    is_cut_off: bool = False  # it went on after what was decoded

    @property
    def seconds(self) -> float:
        return len(self.speech) / self.rate_hz


def trim_silence(mono: Samples, rate_hz: int) -> tuple[Samples, float]:
    """The recording `[samples]` without the silence at both ends, and how many seconds were cut."""
    levels = _levels_db(mono, rate_hz)
    loud = np.flatnonzero(levels > levels.max() - TRIM_BELOW_DB)
    margin = round(KEPT_SILENCE_S * rate_hz)
    block = rate_hz // BLOCKS_PER_SECOND
    start, end = max(0, loud[0] * block - margin), min(len(mono), (loud[-1] + 1) * block + margin)
    return mono[start:end], (len(mono) - (end - start)) / rate_hz


def advise(recording: Recording) -> tuple[Advice, ...]:
    """Empty where nothing is to be said."""
    told = ((code, check(recording)) for code, check in CHECKS.items())
    return tuple(Advice(code, message) for code, message in told if message)


def _too_short(recording: Recording) -> str:
    if recording.seconds >= SHORT_S:
        return ""
    return f"There are only {recording.seconds:.1f} s of speech; 5 to 30 s make a voice more like the speaker."


def _too_long(recording: Recording) -> str:
    if not recording.is_cut_off:
        return ""
    return "Only the first 30 s are used; cut out the part that shall be the voice if it comes later."


def _silence_trimmed(recording: Recording) -> str:
    if recording.cut_s < TOLD_SILENCE_S:
        return ""
    return f"{recording.cut_s:.1f} s of silence before and after the speech were left out."


def _too_quiet(recording: Recording) -> str:
    level = float(np.percentile(_levels_db(recording.speech, recording.rate_hz), 90))
    if level >= QUIET_DBFS:
        return ""
    return f"The speech is very quiet ({level:.0f} dB); go nearer to the microphone, or turn it up."


def _clipped(recording: Recording) -> str:
    """Loud peaks look cut off: either flat, or, behind a lossy codec, beyond full scale."""
    if max(map(_clipped_share, recording.channels)) < CLIPPED_SHARE:
        return ""
    return "The loud parts are distorted (clipped); turn the microphone down and record again."


def _noisy(recording: Recording) -> str:
    levels = _levels_db(recording.speech, recording.rate_hz)
    levels = levels[levels > NOTHING_DBFS]
    if len(levels) < FEWEST_BLOCKS:
        return ""
    depth = float(np.percentile(levels, 90) - np.percentile(levels, 10))
    if depth >= PAUSE_DEPTH_DB:
        return ""
    return (
        f"The pauses are only {depth:.0f} dB quieter than the speech: noise, music, an echo or other speakers become "
        "part of the voice; record in a quiet room."
    )


def _low_bandwidth(recording: Recording) -> str:
    top_hz = _top_hz(recording.speech, recording.rate_hz)
    if top_hz >= NARROW_HZ:
        return ""
    return (
        f"There is nothing above {top_hz / 1000:.1f} kHz, as on a telephone, so the voice will sound dull; "
        "record with 24 kHz or more, and without a headset's call mode."
    )


CHECKS: dict[str, Callable[[Recording], str]] = {
    "too_short": _too_short,
    "too_long": _too_long,
    "silence_trimmed": _silence_trimmed,
    "too_quiet": _too_quiet,
    "clipped": _clipped,
    "noisy": _noisy,
    "low_bandwidth": _low_bandwidth,
}


def _blocks(mono: Samples, rate_hz: int) -> Samples:
    """`[blocks, samples of a block]`; what is left over at the end is left out."""
    block = rate_hz // BLOCKS_PER_SECOND
    count = len(mono) // block
    return mono[: count * block].reshape(count, block)


def _levels_db(mono: Samples, rate_hz: int) -> npt.NDArray[np.float64]:
    """`[blocks]`: 0 is a square wave at full scale."""
    power = np.square(_blocks(mono, rate_hz), dtype=np.float64).mean(axis=1)
    return np.asarray(10 * np.log10(power + TINY))


def _clipped_share(channel: Samples) -> float:
    height = np.abs(channel)
    top = height.max()
    if top == 0:  # one of two channels may be silent
        return 0.0
    near = height >= 0.995 * top
    still = np.abs(np.diff(channel)) <= 1e-4 * top
    flat = near[:-2] & near[2:] & still[:-1] & still[1:]  # three in a row; a peak by nature has two at most
    return float(max(flat.mean(), (height >= 0.999).mean()))


def _top_hz(mono: Samples, rate_hz: int) -> float:
    """Above this frequency there is nothing."""
    blocks = _blocks(mono, rate_hz).astype(np.float64)
    blocks = blocks * np.hanning(blocks.shape[1])
    power = np.square(np.abs(np.fft.rfft(blocks, axis=1))).mean(axis=0)  # [bins of 50 Hz]
    per_band = BAND_HZ // BLOCKS_PER_SECOND
    bands = power[: len(power) // per_band * per_band].reshape(-1, per_band).mean(axis=1)
    heard = np.flatnonzero(bands >= bands.max() * 10 ** (-BAND_BELOW_DB / 10))
    return float((heard[-1] + 1) * BAND_HZ)
