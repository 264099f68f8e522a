"""Who speaks: the voices of the embedded model and the one that is held out, all from flite's free voices.

And strangers, as many as are wanted: the same three voices with another throat, pitch, pace and tone, drawn at random.
From them FlowLM learns that a prompt tells how to sound, not only which of four speakers it is.
"""

from dataclasses import dataclass, field
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve, firwin2, resample_poly

from training.data.flite import SAMPLE_RATE as FLITE_RATE
from training.data.flite import SILENCE, Flite, Phone

SAMPLE_RATE = 24_000
FRAME_SAMPLES = 1920
LEAD_S, TAIL_S = 0.06, 0.24  # of silence that stays around the words: the end of speech is learnt from what follows it
TONE_HZ = (0, 150, 400, 900, 1800, 3200, 5000, 8000, 12_000)  # where a speaker's tone may be louder or softer
TONE_TAPS = 513
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
    """A flite voice. `faster`: played back so much faster, which moves pitch and formants up (a shorter throat).

    `tone_db`: how much louder than it is at each of `TONE_HZ`.
    """

    name: str
    flite_voice: str
    faster: float = 1.0
    features: dict[str, float] = field(default_factory=dict)
    tone_db: tuple[float, ...] = ()

    @cached_property
    def _flite(self) -> Flite:
        return Flite(self.flite_voice, self.features)

    def speak(self, text: str) -> Clip:
        samples, phones = self._flite.speak(text)
        slower_rate = round(FLITE_RATE * self.faster)
        divisor = np.gcd(SAMPLE_RATE, slower_rate)
        sound = resample_poly(samples / 2.0**15, SAMPLE_RATE // divisor, slower_rate // divisor)
        if self.tone_db:
            sound = _toned(sound, self.tone_db)
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


STRANGER = "stranger-"


@cache
def stranger(number: int) -> Speaker:
    """Always the same one for a number."""
    chance = np.random.default_rng([6, number])
    faster = round(float(np.exp(chance.uniform(np.log(0.84), np.log(1.19)))), 2)
    pitch_hz = float(np.exp(chance.uniform(np.log(75), np.log(235))))
    features = {
        "duration_stretch": faster * float(chance.uniform(0.95, 1.2)),
        "int_f0_target_mean": pitch_hz / faster,
        "int_f0_target_stddev": pitch_hz / faster * float(chance.uniform(0.06, 0.14)),
    }
    slope = chance.normal(0, 2.5)  # dB from one of `TONE_HZ` to the next
    tone = slope * (np.arange(len(TONE_HZ)) - 4) + chance.normal(0, 3.5, len(TONE_HZ))
    flite_voice = str(chance.choice(sorted({one.flite_voice for one in SPEAKERS})))
    return Speaker(f"{STRANGER}{number:03}", flite_voice, faster, features, tuple(tone.round(1).tolist()))


def speaker(name: str) -> Speaker:
    if name.startswith(STRANGER):
        return stranger(int(name.removeprefix(STRANGER)))
    return next(one for one in (*SPEAKERS, HELD_OUT) if one.name == name)


def _toned(sound: NDArray[np.float64], tone_db: tuple[float, ...]) -> NDArray[np.float64]:
    bends = np.linspace(0, SAMPLE_RATE / 2, 100)
    gains = 10 ** (np.interp(bends, TONE_HZ, tone_db) / 20)
    filtered: NDArray[np.float64] = fftconvolve(sound, firwin2(TONE_TAPS, bends, gains, fs=SAMPLE_RATE), mode="same")
    return filtered


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
