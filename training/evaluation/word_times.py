"""When each word is spoken, by those who know: the synthesizer itself, and a recogniser that is told what was said.

The recogniser is `pocketsphinx`; it looks for words that it knows in speech, every 10 ms, silence between them left out
(forced alignment). Its own error against the synthesizer's times is the floor of whatever is measured by it.
"""

from collections.abc import Sequence

import numpy as np
import pocketsphinx
from numpy.typing import NDArray

from training.data.speakers import Clip
from training.evaluation.asr_wer import HEARD_HZ, SILENCE_S, listen, words_of

STEP_MS = 10.0
Time = tuple[float, float]  # start and end, ms


def flite_times(clip: Clip, words: int) -> list[Time] | None:
    """Of a synthesizer's clip. None: it reads more or fewer words than these, so nobody knows which is which."""
    found: dict[int, Time] = {}
    start_s = 0.0
    for phone in clip.phones:
        if phone.word >= 0:
            first_ms, _ = found.get(phone.word, (1000 * start_s, 0.0))
            found[phone.word] = first_ms, 1000 * phone.end_s
        start_s = phone.end_s
    return [found[word] for word in range(words)] if len(found) == words else None


class ForcedAligner:
    def __init__(self) -> None:
        self._decoder = pocketsphinx.Decoder(lm=None, samprate=HEARD_HZ, loglevel="FATAL")

    def unknown(self, words: Sequence[str]) -> list[str]:
        """What its dictionary lacks of them: no text with one of these can be aligned."""
        return [part for word in words for part in words_of(word) if not self._decoder.lookup_word(part)]

    def times(self, audio: NDArray[np.float32], rate_hz: int, words: Sequence[str]) -> list[Time] | None:
        """Of each word, as it is spoken ("twenty two" is one that has two parts). None: that is not what it hears."""
        parts = [words_of(word) for word in words]
        if not all(parts) or self.unknown(words):
            return None
        heard = self._align(audio, rate_hz, [part for word in parts for part in word])
        if len(heard) != sum(map(len, parts)):
            return None
        behind = np.cumsum([len(word) for word in parts]).tolist()
        return [(heard[end - len(word)][0], heard[end - 1][1]) for word, end in zip(parts, behind, strict=True)]

    def _align(self, audio: NDArray[np.float32], rate_hz: int, words: Sequence[str]) -> list[Time]:
        self._decoder.set_align_text(" ".join(words))
        listen(self._decoder, audio, rate_hz)
        lead_ms = 1000 * SILENCE_S
        return [
            (each.start_frame * STEP_MS - lead_ms, (each.end_frame + 1) * STEP_MS - lead_ms)
            for each in self._decoder.seg() or ()
            if not each.word.startswith(("<", "["))  # silence and noises
        ]
