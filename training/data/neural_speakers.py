"""Speakers of the training speech, made of neural synthesizers: four named ones and any number of augmented ones.

Each is one of a few real voices with another pitch, vocal tract, speaking rate (`training.data.psola`) and
equalization. Speakers made of one voice have similar speaker embeddings, so the augmented speakers are made of several:
three quarters of `hibari-tts`, a quarter of flite's voices. Flite's `kal16` stays held out, and so does Piper's `joe`,
whose licence is unclear: no augmented speaker is made of it.
"""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.signal import medfilt, resample_poly

from training.data import speakers
from training.data.flite import Phone
from training.data.psola import PitchMarks, VoiceTransform, transform_voice
from training.data.speakers import (
    AUGMENTED_PREFIX,
    EQ_HZ,
    SAMPLE_RATE_HZ,
    SynthesizedClip,
    equalize,
    trim_and_level,
)
from training.evaluation.measures import HOP_S, pitch

if TYPE_CHECKING:
    from training.data.hibari import Hibari
    from training.data.piper import Piper

HIBARI, JOE = "hibari", "joe"
HIBARI_HZ = 195.0  # typical pitch
MEDIAN_FRAMES = 5  # of an estimated pitch


@dataclass(frozen=True, eq=False)
class BaseSpeech:
    """A text synthesized with one of the real voices, at `SAMPLE_RATE_HZ`."""

    audio: NDArray[np.float64]
    phones: list[Phone]
    marks: PitchMarks


@dataclass(frozen=True)
class NeuralSpeaker:
    """A neural voice, transformed. `eq_db`: equalizer gain at each of `EQ_HZ`. `base`: `HIBARI` or `JOE`."""

    name: str
    transform: VoiceTransform | None = None
    eq_db: tuple[float, ...] = ()
    base: str = HIBARI

    def synthesize(self, text: str) -> SynthesizedClip:
        """Raises `training.data.speakers.WordMismatchError` for texts whose words cannot be located."""
        speech = _hibari_speech(text) if self.base == HIBARI else _joe_speech(text)
        audio, phones = speech.audio, speech.phones
        if self.transform:
            audio = transform_voice(audio, speech.marks, self.transform, SAMPLE_RATE_HZ)
            phones = [Phone(phone.name, phone.end_s / self.transform.rate, phone.word) for phone in phones]
        if self.eq_db:
            audio = equalize(audio, self.eq_db)
        return trim_and_level(audio, phones)


AnySpeaker = NeuralSpeaker | speakers.Speaker

# Two women and two men.
SPEAKERS = (
    NeuralSpeaker("clara"),
    NeuralSpeaker("ross", VoiceTransform(0.56, 1.0, 0.86)),
    NeuralSpeaker("nora", VoiceTransform(0.88, 0.85, 0.94, 0.93)),
    NeuralSpeaker("adam", VoiceTransform(0.68, 1.1, 0.90, 1.06)),
)


@cache
def augmented_speaker(number: int) -> AnySpeaker:
    """The augmented speaker of a number; the number seeds its parameters."""
    if number % 4 == 3:
        return speakers.augmented_speaker(number)
    rng = np.random.default_rng([18, number])
    pitch_hz = float(np.exp(rng.uniform(np.log(95), np.log(240))))
    formants = 1 + 0.17 * np.log2(pitch_hz / 185) + rng.normal(0, 0.05)  # lower voices have longer vocal tracts
    slope = rng.normal(0, 1.2)  # dB from one of `EQ_HZ` to the next
    eq_db = slope * (np.arange(len(EQ_HZ)) - 4) + rng.normal(0, 2.0, len(EQ_HZ))
    transform = VoiceTransform(
        pitch_hz / HIBARI_HZ,
        float(rng.uniform(0.7, 1.3)),
        float(np.clip(formants, 0.82, 1.13)),
        float(np.exp(rng.uniform(np.log(0.85), np.log(1.18)))),
    )
    return NeuralSpeaker(f"{AUGMENTED_PREFIX}{number:03}", transform, tuple(eq_db.round(1).tolist()))


def find_speaker(name: str) -> AnySpeaker:
    if name.startswith(AUGMENTED_PREFIX):
        return augmented_speaker(int(name.removeprefix(AUGMENTED_PREFIX)))
    return next(one for one in SPEAKERS if one.name == name)


def _hibari_speech(text: str) -> BaseSpeech:
    parameters = _hibari().parameters(text)
    audio = parameters.synthesize(seed=len(text)).astype(np.float64)
    return BaseSpeech(audio, parameters.phones(audio), parameters.pitch_marks())


def _joe_speech(text: str) -> BaseSpeech:
    """Piper does not provide the pitch, so it is estimated."""
    from training.data.piper import SAMPLE_RATE_HZ as PIPER_RATE_HZ

    audio, phones = _piper().synthesize(*_hibari().symbols(text))
    divisor = np.gcd(SAMPLE_RATE_HZ, PIPER_RATE_HZ)
    resampled = resample_poly(audio.astype(np.float64), SAMPLE_RATE_HZ // divisor, PIPER_RATE_HZ // divisor)
    hop_samples = round(HOP_S * SAMPLE_RATE_HZ)
    track_hz = pitch(resampled.astype(np.float32), SAMPLE_RATE_HZ)[: len(resampled) // hop_samples]
    voiced = ~np.isnan(track_hz)
    filled = np.interp(np.arange(len(voiced)), np.flatnonzero(voiced), track_hz[voiced])
    smoothed = medfilt(filled, MEDIAN_FRAMES).astype(np.float32)
    return BaseSpeech(resampled, phones, PitchMarks.from_track(smoothed, voiced, hop_samples, SAMPLE_RATE_HZ))


@cache
def _hibari() -> "Hibari":
    """One per process. Imported here, since the packages of the extra `teachers` are optional."""
    from training.data.hibari import Hibari

    return Hibari()


@cache
def _piper() -> "Piper":
    from training.data.piper import Piper

    return Piper()
