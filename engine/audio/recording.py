"""Voice prompts as audio: decode to mono, validate, resample, end on a pause."""

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sayline_tts.engine.audio.audio_file import RECORDING_HINT, check_format, decode_file
from sayline_tts.engine.errors import VoiceError

Samples = npt.NDArray[np.float32]

SAMPLE_RATE_HZ = 24_000
MAX_SECONDS = 30
MIN_SECONDS = 0.5  # about two syllables; anything shorter is most likely the wrong file
MIN_PEAK_DBFS = -60.0  # a quiet recording of speech peaks around -30
MAX_PEAK = 100.0  # floats may exceed 1 slightly; 40 dB above full scale they are unscaled integers

log = logging.getLogger(__name__)


def read_audio(source: Path | bytes, sample_rate_hz: int = SAMPLE_RATE_HZ, truncate: bool = False) -> Samples:
    """Decode a voice prompt, given as a path or as bytes, to mono float32 `[samples]` at `sample_rate_hz`.

    `truncate` keeps the first 30 s of a longer prompt. Raises `VoiceError` if it is missing, not audio, silent, too
    short, too long, sampled at too low a rate, or has more than two channels.
    """
    name = source.name if isinstance(source, Path) else "the voice audio"
    decoded = decode_file(source, name, MAX_SECONDS)
    if decoded.bits == 8:
        log.warning("%s is 8-bit audio: its noise becomes part of the voice; use 16 bits.", name)
    mono = check_audio(decoded.samples, decoded.rate_hz, truncate, name, decoded.declared_seconds)
    return resample(mono, decoded.rate_hz, sample_rate_hz)


def check_audio(
    samples: npt.NDArray[Any],
    sample_rate_hz: int = SAMPLE_RATE_HZ,
    truncate: bool = False,
    name: str = "the voice audio",
    declared_seconds: float | None = None,
) -> Samples:
    """Validate floats `[samples]` or `[channels, samples]`; return mono float32 `[samples]` at the same rate.

    `declared_seconds`: length of the whole file, of which `samples` may be only the beginning. Raises `VoiceError`.
    """
    samples = np.asarray(samples)
    if not np.issubdtype(samples.dtype, np.floating):
        raise VoiceError(f"{name} has {samples.dtype} samples; pass floats from -1 to 1 (divide int16 by 32768).")
    if samples.ndim not in (1, 2):
        raise VoiceError(f"{name} has the shape {samples.shape}; pass [samples] or [channels, samples].")
    check_format(len(samples) if samples.ndim == 2 else 1, sample_rate_hz, name)
    with np.errstate(over="ignore", invalid="ignore"):  # infinity and NaN are rejected below
        mono = np.atleast_2d(samples).astype(np.float32).mean(axis=0)  # [samples]
    seconds = len(mono) / sample_rate_hz
    if seconds > MAX_SECONDS and not truncate:
        raise VoiceError(_too_long(declared_seconds, name))
    if seconds < MIN_SECONDS:
        raise VoiceError(f"{name} is {seconds:.2f} s long, too short to clone a voice from; {RECORDING_HINT}.")
    return check_level(mono[: MAX_SECONDS * sample_rate_hz], name)


def resample(audio: Samples, from_hz: int, to_hz: int) -> Samples:
    """Resample `[..., samples]` with the same polyphase filter as the reference."""
    if from_hz == to_hz:
        return audio
    from scipy.signal import resample_poly  # imported late: it takes 0.7 s, and synthesis does not need it

    divisor = math.gcd(from_hz, to_hz)
    return np.asarray(resample_poly(audio, to_hz // divisor, from_hz // divisor, axis=-1), np.float32)


def end_on_pause(audio: Samples, sample_rate_hz: int = SAMPLE_RATE_HZ) -> Samples:
    """End a prompt `[samples]` on exactly 80 ms of silence, as training prompts end, between two words.

    After a prompt that ends within a word, the model finishes that word first; a long silence delays the onset.
    Behaviour and numbers are those of the reference's `data/audio_utils.py`: 20 ms blocks, a threshold of -35 dB.
    """
    block = sample_rate_hz // 50  # 20 ms
    blocks = len(audio) // block
    if blocks == 0:
        return audio
    level = np.sqrt(np.square(audio[: blocks * block]).reshape(blocks, block).mean(axis=1))  # [blocks]
    threshold = (level.max() + 1e-12) * 10 ** (-35 / 20)
    last_loud = int(np.flatnonzero(level + 1e-12 > threshold)[-1])  # 1e-12: pure silence counts as loud, and is kept
    kept = audio[: (last_loud + 1) * block].copy()
    kept[-block:] *= np.linspace(1, 0, block, dtype=np.float32)
    return np.concatenate([kept, np.zeros(4 * block, np.float32)])


def to_int16(samples: npt.NDArray[Any]) -> npt.NDArray[np.int16]:
    """Convert floats to int16, the inverse of decoding a WAV: times 32768, half to even, clipped; NaN becomes 0."""
    clipped = np.clip(np.nan_to_num(np.asarray(samples, np.float32), nan=0.0), -1, 1)
    rounded: npt.NDArray[np.int16] = np.minimum(np.rint(clipped * 2**15), 2**15 - 1).astype(np.int16)
    return rounded


def to_pcm(samples: npt.NDArray[Any]) -> bytes:
    """Convert floats to 16-bit little-endian PCM, the sample format of WAV files and players."""
    return to_int16(samples).astype("<i2", copy=False).tobytes()


def _too_long(declared_seconds: float | None, name: str) -> str:
    length = f"{declared_seconds:.1f} s long" if (declared_seconds or 0) > MAX_SECONDS else "too long"
    return (
        f"{name} is {length}; a voice prompt may have at most {MAX_SECONDS} s. "
        "Cut it, or use its first 30 s with truncate=True (--truncate)."
    )


def check_level(mono: Samples, name: str) -> Samples:
    """Return `[samples]` if it has a possible level. Raises `VoiceError`."""
    if not np.isfinite(mono).all():
        raise VoiceError(f"{name} has samples that are not numbers (NaN or infinite); export it again.")
    peak = float(np.abs(mono).max())
    if peak < 10 ** (MIN_PEAK_DBFS / 20):
        raise VoiceError(f"{name} is silent; {RECORDING_HINT}.")
    if peak > MAX_PEAK:
        raise VoiceError(f"{name} has samples up to {peak:.0f}; scale them to -1 to 1 (divide int16 by 32768).")
    return mono
