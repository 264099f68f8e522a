"""Mend what can be mended of a recording before a voice is made from it: DC offset, rumble, level."""

import numpy as np
import numpy.typing as npt

from sayline_tts.engine.audio.prompt_excerpt import speech_power

Samples = npt.NDArray[np.float32]

LOWEST_HZ = 50.0  # the deepest voices are above 70
ORDER = 4
# Of the speech without pauses, as in the training data of the embedded model, which makes another voice of a quieter
# recording.
SPEECH_DBFS = -21.0
MAX_PEAK = 0.99


def high_pass(mono: Samples, rate_hz: int) -> Samples:
    """Remove a DC offset, rumble and most of mains hum from `[samples]`, without a shift in phase."""
    from scipy.signal import butter, sosfiltfilt  # imported late: it takes 0.7 s, and synthesis does not need it

    filtered = sosfiltfilt(butter(ORDER, LOWEST_HZ, "highpass", fs=rate_hz, output="sos"), mono)
    return np.asarray(filtered, np.float32)


def level_speech(speech: Samples, rate_hz: int) -> Samples:
    """Amplify or attenuate `[samples]` to `SPEECH_DBFS`, as far as no peak is clipped."""
    gain = min(10 ** (SPEECH_DBFS / 20) / np.sqrt(speech_power(speech, rate_hz)), MAX_PEAK / np.abs(speech).max())
    return np.asarray(speech * np.float32(gain))
