"""The speech recognizer `pocketsphinx`: for forced alignment, and for word errors if Whisper is not installed."""

import math
import re

import numpy as np
import pocketsphinx
from numpy.typing import NDArray
from scipy.signal import resample_poly

ASR_RATE_HZ = 16000
SILENCE_S = 0.2  # padding on both sides, which the recognizer needs to adapt
_WORD = re.compile(r"[a-z']+")


def words_of(text: str) -> list[str]:
    return [word.strip("'") for word in _WORD.findall(text.lower().replace("-", " ")) if word.strip("'")]


def process_clip(decoder: pocketsphinx.Decoder, audio: NDArray[np.float32], rate_hz: int) -> None:
    """Feed a clip to the decoder, padded by `SILENCE_S` on both sides."""
    common = math.gcd(rate_hz, ASR_RATE_HZ)
    padded = resample_poly(audio, ASR_RATE_HZ // common, rate_hz // common)
    padded = np.pad(padded, round(SILENCE_S * ASR_RATE_HZ))
    decoder.reinit_feat()  # otherwise earlier clips would influence the feature normalization
    decoder.start_utt()
    decoder.process_raw((np.clip(padded, -1, 1) * 32767).astype("<i2").tobytes(), full_utt=True)
    decoder.end_utt()


class SpeechRecognizer:
    """Speech recognizer with pocketsphinx's English models."""

    name = "pocketsphinx"

    def __init__(self) -> None:
        self._decoder = pocketsphinx.Decoder(loglevel="FATAL", samprate=ASR_RATE_HZ)

    def transcribe(self, audio: NDArray[np.float32], rate_hz: int) -> str:
        process_clip(self._decoder, audio, rate_hz)
        hypothesis = self._decoder.hyp()
        return hypothesis.hypstr if hypothesis else ""
