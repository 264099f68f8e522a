"""Reference word times: those of the synthesizer, and forced alignment by a speech recognizer.

`pocketsphinx` aligns known words with the audio in steps of 10 ms, without the silence between them. Its error against
the synthesizer's times is the floor of what can be measured with it.
"""

from collections.abc import Sequence

import numpy as np
import pocketsphinx
from numpy.typing import NDArray

from training.data.speakers import SynthesizedClip
from training.evaluation.asr_wer import ASR_RATE_HZ, SILENCE_S, process_clip, words_of

STEP_MS = 10.0
Interval = tuple[float, float]  # start and end, ms


def synthesizer_intervals(clip: SynthesizedClip, words: int) -> list[Interval] | None:
    """Word times of a synthesized clip; None if the synthesizer counts another number of words."""
    intervals: dict[int, Interval] = {}
    start_s = 0.0
    for phone in clip.phones:
        if phone.word >= 0:
            first_ms, _ = intervals.get(phone.word, (1000 * start_s, 0.0))
            intervals[phone.word] = first_ms, 1000 * phone.end_s
        start_s = phone.end_s
    return [intervals[word] for word in range(words)] if len(intervals) == words else None


class ForcedAligner:
    def __init__(self) -> None:
        self._decoder = pocketsphinx.Decoder(lm=None, samprate=ASR_RATE_HZ, loglevel="FATAL")

    def out_of_vocabulary(self, words: Sequence[str]) -> list[str]:
        """The words that are not in the dictionary; a text with one of them cannot be aligned."""
        return [part for word in words for part in words_of(word) if not self._decoder.lookup_word(part)]

    def times(self, audio: NDArray[np.float32], rate_hz: int, words: Sequence[str]) -> list[Interval] | None:
        """Align words, given in normalized form ("twenty two" is one word of two parts).

        None if a word is not in the dictionary or the alignment fails.
        """
        parts = [words_of(word) for word in words]
        if not all(parts) or self.out_of_vocabulary(words):
            return None
        aligned = self._align(audio, rate_hz, [part for word in parts for part in word])
        if len(aligned) != sum(map(len, parts)):
            return None
        ends = np.cumsum([len(word) for word in parts]).tolist()
        return [(aligned[end - len(word)][0], aligned[end - 1][1]) for word, end in zip(parts, ends, strict=True)]

    def _align(self, audio: NDArray[np.float32], rate_hz: int, words: Sequence[str]) -> list[Interval]:
        self._decoder.set_align_text(" ".join(words))
        process_clip(self._decoder, audio, rate_hz)
        padding_ms = 1000 * SILENCE_S
        return [
            (each.start_frame * STEP_MS - padding_ms, (each.end_frame + 1) * STEP_MS - padding_ms)
            for each in self._decoder.seg() or ()
            if not each.word.startswith(("<", "["))  # silence and noise
        ]
