"""Speakers made of flite's free voices: the embedded model's voices and a held-out one.

Augmented speakers are these voices with a random vocal tract length, pitch, speaking rate and equalization. They teach
FlowLM to take the timbre from the prompt instead of identifying one of four speakers.
"""

from dataclasses import dataclass, field
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve, firwin2, resample_poly

from training.data.flite import SAMPLE_RATE_HZ as FLITE_RATE
from training.data.flite import SILENCE, Flite, Phone

SAMPLE_RATE_HZ = 24_000
FRAME_SAMPLES = 1920
LEAD_S, TAIL_S = 0.06, 0.24  # silence kept around the words; the model learns the end of speech from the tail
EQ_HZ = (0, 150, 400, 900, 1800, 3200, 5000, 8000, 12_000)  # frequencies of the equalizer
EQ_TAPS = 513
TARGET_RMS = 0.08  # within speech; 1 is full scale
PEAK = 0.9


class WordMismatchError(Exception):
    """A synthesizer's words cannot be matched to those of the text, so word times would be wrong."""


@dataclass(frozen=True)
class SynthesizedClip:
    """A synthesized sentence: `samples` is int16 at 24 kHz, a whole number of codec frames."""

    samples: NDArray[np.int16]
    phones: list[Phone]

    @property
    def audio(self) -> NDArray[np.float32]:
        """The samples as floats, full scale at 1."""
        return self.samples.astype(np.float32) / np.float32(2**15)


@dataclass(frozen=True)
class Speaker:
    """A flite voice. `speed_factor`: playback rate, which scales pitch and formants (a shorter vocal tract).

    `eq_db`: equalizer gain at each of `EQ_HZ`.
    """

    name: str
    flite_voice: str
    speed_factor: float = 1.0
    features: dict[str, float] = field(default_factory=dict)
    eq_db: tuple[float, ...] = ()

    @cached_property
    def _flite(self) -> Flite:
        return Flite(self.flite_voice, self.features)

    def synthesize(self, text: str) -> SynthesizedClip:
        samples, phones = self._flite.synthesize(text)
        slower_rate = round(FLITE_RATE * self.speed_factor)
        divisor = np.gcd(SAMPLE_RATE_HZ, slower_rate)
        sound = resample_poly(samples / 2.0**15, SAMPLE_RATE_HZ // divisor, slower_rate // divisor)
        if self.eq_db:
            sound = equalize(sound, self.eq_db)
        phones = [Phone(phone.name, phone.end_s / self.speed_factor, phone.word) for phone in phones]
        return trim_and_level(sound, phones)


# Two women and two men. Fiona is awb with a shorter vocal tract and a raised pitch.
SPEAKERS = (
    Speaker("clara", "slt", features={"duration_stretch": 1.05}),
    Speaker("ross", "rms"),
    Speaker("angus", "awb", features={"duration_stretch": 1.05}),
    Speaker("fiona", "awb", 1.15, {"duration_stretch": 1.2, "int_f0_target_mean": 175.0}),
)
HELD_OUT = Speaker("karl", "kal16", features={"duration_stretch": 1.1})


AUGMENTED_PREFIX = "augmented-"


@cache
def augmented_speaker(number: int) -> Speaker:
    """The augmented speaker of a number; the number seeds its parameters."""
    rng = np.random.default_rng([6, number])
    speed_factor = round(float(np.exp(rng.uniform(np.log(0.84), np.log(1.19)))), 2)
    pitch_hz = float(np.exp(rng.uniform(np.log(75), np.log(235))))
    features = {
        "duration_stretch": speed_factor * float(rng.uniform(0.95, 1.2)),
        "int_f0_target_mean": pitch_hz / speed_factor,
        "int_f0_target_stddev": pitch_hz / speed_factor * float(rng.uniform(0.06, 0.14)),
    }
    slope = rng.normal(0, 2.5)  # dB from one of `EQ_HZ` to the next
    tone = slope * (np.arange(len(EQ_HZ)) - 4) + rng.normal(0, 3.5, len(EQ_HZ))
    flite_voice = str(rng.choice(sorted({one.flite_voice for one in SPEAKERS})))
    return Speaker(f"{AUGMENTED_PREFIX}{number:03}", flite_voice, speed_factor, features, tuple(tone.round(1).tolist()))


def find_speaker(name: str) -> Speaker:
    if name.startswith(AUGMENTED_PREFIX):
        return augmented_speaker(int(name.removeprefix(AUGMENTED_PREFIX)))
    return next(one for one in (*SPEAKERS, HELD_OUT) if one.name == name)


def equalize(sound: NDArray[np.float64], eq_db: tuple[float, ...]) -> NDArray[np.float64]:
    hz = np.linspace(0, SAMPLE_RATE_HZ / 2, 100)
    gains = 10 ** (np.interp(hz, EQ_HZ, eq_db) / 20)
    filtered: NDArray[np.float64] = fftconvolve(sound, firwin2(EQ_TAPS, hz, gains, fs=SAMPLE_RATE_HZ), mode="same")
    return filtered


def trim_and_level(sound: NDArray[np.float64], phones: list[Phone]) -> SynthesizedClip:
    """Trim to a little silence before and after the words, and normalize the loudness."""
    begin_s = phones[0].end_s if phones[0].name == SILENCE else 0.0
    spoken = [phone for phone in phones if phone.name != SILENCE]
    if not spoken:
        raise ValueError("the synthesizer produced only silence")
    start = round((begin_s - LEAD_S) * SAMPLE_RATE_HZ)
    end = round((spoken[-1].end_s + TAIL_S) * SAMPLE_RATE_HZ)
    samples = -(-(end - start) // FRAME_SAMPLES) * FRAME_SAMPLES
    trimmed = np.zeros(samples)
    available = sound[max(0, start) : start + samples]
    trimmed[max(0, -start) : max(0, -start) + len(available)] = available
    words = sound[round(begin_s * SAMPLE_RATE_HZ) : round(spoken[-1].end_s * SAMPLE_RATE_HZ)]
    gain = min(TARGET_RMS / np.sqrt(np.mean(words**2)), PEAK / np.abs(trimmed).max())
    shifted = [Phone(phone.name, phone.end_s - start / SAMPLE_RATE_HZ, phone.word) for phone in phones]
    shifted[-1] = Phone(shifted[-1].name, samples / SAMPLE_RATE_HZ, shifted[-1].word)
    return SynthesizedClip(np.round(trimmed * gain * (2**15 - 1)).astype(np.int16), shifted)
