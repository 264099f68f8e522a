"""Change the speaker of finished speech of known pitch: pitch-synchronous overlap-add (TD-PSOLA).

Windows of two pitch periods are cut out, resampled (which moves the formants), and added up again at another pitch and
speaking rate. It depends on exact pitch marks, which a synthesizer can provide.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_PITCH_HZ = 50.0
UNVOICED_HZ = 200.0  # rate of the marks in unvoiced speech
UNVOICED_HALF_S = 0.005  # half a window in unvoiced speech
MARGIN_S = 0.1  # padding, since the first and last windows extend beyond the audio


@dataclass(frozen=True)
class VoiceTransform:
    """How to change a voice; 1 means unchanged.

    `pitch`: factor of the median pitch. `pitch_range`: exponent of the ratio to the median. `formants`: factor of all
    formants, below 1 for a longer vocal tract. `rate`: factor of the speaking rate.
    """

    pitch: float = 1.0
    pitch_range: float = 1.0
    formants: float = 1.0
    rate: float = 1.0


@dataclass(frozen=True, eq=False)
class PitchMarks:
    """One mark per pitch period, in order; at regular intervals in unvoiced speech."""

    at: NDArray[np.intp]  # samples
    pitch_hz: NDArray[np.float64]
    voiced: NDArray[np.bool_]

    @classmethod
    def from_track(
        cls, pitch_hz: NDArray[np.float32], voiced: NDArray[np.bool_], hop_samples: int, rate_hz: int
    ) -> "PitchMarks":
        """From the pitch of consecutive frames of `hop_samples`."""
        samples = np.arange(len(pitch_hz) * hop_samples)
        frames = (samples + 0.5) / hop_samples - 0.5
        known = np.interp(frames, np.flatnonzero(voiced), pitch_hz[voiced]) if voiced.any() else np.zeros(len(samples))
        is_voiced = np.interp(frames, np.arange(len(voiced)), voiced.astype(float)) > 0.5
        sample_hz = np.where(is_voiced, np.maximum(known, MIN_PITCH_HZ), UNVOICED_HZ)
        at = np.flatnonzero(np.diff(np.floor(np.cumsum(sample_hz / rate_hz)))) + 1
        return cls(at, sample_hz[at], is_voiced[at])

    def target_hz(self, transform: VoiceTransform) -> NDArray[np.float64]:
        """The pitch of each mark after the transform."""
        if not self.voiced.any():
            return self.pitch_hz
        median_hz = np.exp(np.median(np.log(self.pitch_hz[self.voiced])))
        moved = median_hz * transform.pitch * (self.pitch_hz / median_hz) ** transform.pitch_range
        return np.where(self.voiced, moved, self.pitch_hz)


def transform_voice(
    audio: NDArray[np.floating[Any]], marks: PitchMarks, transform: VoiceTransform, rate_hz: int
) -> NDArray[np.float64]:
    """Return the transformed speech, `1 / transform.rate` times as long."""
    margin = round(MARGIN_S * rate_hz)
    source = np.pad(audio.astype(np.float64), margin)
    samples = round(len(audio) / transform.rate)
    out = np.zeros(samples + 4 * margin)
    target_hz = marks.target_hz(transform)
    half_windows = np.where(marks.voiced, rate_hz / marks.pitch_hz, UNVOICED_HALF_S * rate_hz)
    position, nearest = float(marks.at[0]), 0  # in the source; the nearest mark
    while position < marks.at[-1]:
        while nearest + 1 < len(marks.at) and (
            abs(marks.at[nearest + 1] - position) <= abs(marks.at[nearest] - position)
        ):
            nearest += 1
        half = round(half_windows[nearest] / transform.formants)
        steps = np.arange(-half, half + 1)
        read_at = marks.at[nearest] + steps * transform.formants + margin
        below = read_at.astype(np.intp)
        fraction = read_at - below
        window = source[below] * (1 - fraction) + source[below + 1] * fraction
        first = round(position / transform.rate) - half + margin
        out[first : first + len(window)] += window * (0.5 + 0.5 * np.cos(np.pi * steps / (half + 1)))
        position += rate_hz / target_hz[nearest] * transform.rate
    return out[margin : margin + samples]
