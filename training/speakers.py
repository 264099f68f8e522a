"""Who speaks: the voices of the embedded model and the one that is held out, all from flite's free voices."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from training.flite import SAMPLE_RATE as FLITE_RATE
from training.flite import SILENCE, Flite, Phone

SAMPLE_RATE = 24_000
FRAME_SAMPLES = 1920
LEAD_S, TAIL_S = 0.06, 0.24  # of silence that stays around the words: the end of speech is learnt from what follows it
LOUDNESS = 0.08  # root mean square while there is speech; 1 is full scale
PEAK = 0.9


@dataclass(frozen=True)
class Clip:
    """One sentence spoken: `samples` is int16 at 24 kHz, a whole number of codec frames."""

    samples: NDArray[np.int16]
    phones: list[Phone]

    @property
    def sound(self) -> NDArray[np.float32]:
        """Full scale is 1."""
        return self.samples.astype(np.float32) / np.float32(2**15)


@dataclass(frozen=True)
class Speaker:
    """A flite voice. `faster`: played back so much faster, which moves pitch and formants up (a shorter throat)."""

    name: str
    flite_voice: str
    faster: float = 1.0
    features: dict[str, float] = field(default_factory=dict)

    @cached_property
    def _flite(self) -> Flite:
        return Flite(self.flite_voice, self.features)

    def speak(self, text: str) -> Clip:
        samples, phones = self._flite.speak(text)
        slower_rate = round(FLITE_RATE * self.faster)
        divisor = np.gcd(SAMPLE_RATE, slower_rate)
        sound = resample_poly(samples / 2.0**15, SAMPLE_RATE // divisor, slower_rate // divisor)
        phones = [Phone(phone.name, phone.end_s / self.faster, phone.word) for phone in phones]
        return _trimmed(sound, phones)


# Two women and two men. Fiona is awb with a shorter throat and a pitch above that.
SPEAKERS = (
    Speaker("clara", "slt", features={"duration_stretch": 1.05}),
    Speaker("ross", "rms"),
    Speaker("angus", "awb", features={"duration_stretch": 1.05}),
    Speaker("fiona", "awb", 1.15, {"duration_stretch": 1.2, "int_f0_target_mean": 175.0}),
)
HELD_OUT = Speaker("karl", "kal16", features={"duration_stretch": 1.1})


def speaker(name: str) -> Speaker:
    return next(one for one in (*SPEAKERS, HELD_OUT) if one.name == name)


def _trimmed(sound: NDArray[np.float64], phones: list[Phone]) -> Clip:
    """Little silence in front, a little more behind, the same loudness for all."""
    begin_s = phones[0].end_s if phones[0].name == SILENCE else 0.0
    spoken = [phone for phone in phones if phone.name != SILENCE]
    if not spoken:
        raise ValueError("nothing but silence was spoken")
    start = round((begin_s - LEAD_S) * SAMPLE_RATE)
    end = round((spoken[-1].end_s + TAIL_S) * SAMPLE_RATE)
    samples = -(-(end - start) // FRAME_SAMPLES) * FRAME_SAMPLES
    whole = np.zeros(samples)
    heard = sound[max(0, start) : start + samples]
    whole[max(0, -start) : max(0, -start) + len(heard)] = heard
    words = sound[round(begin_s * SAMPLE_RATE) : round(spoken[-1].end_s * SAMPLE_RATE)]
    gain = min(LOUDNESS / np.sqrt(np.mean(words**2)), PEAK / np.abs(whole).max())
    moved = [Phone(phone.name, phone.end_s - start / SAMPLE_RATE, phone.word) for phone in phones]
    moved[-1] = Phone(moved[-1].name, samples / SAMPLE_RATE, moved[-1].word)
    return Clip(np.round(whole * gain * (2**15 - 1)).astype(np.int16), moved)
