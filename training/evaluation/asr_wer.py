"""Intelligibility of speech: word error rates of the speech recognizer `pocketsphinx`.

Speech is recognized twice: with the recognizer's English language model, which lets it guess, and with a uniform model
over the words of the test, which leaves only the acoustics.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pocketsphinx
from numpy.typing import NDArray
from scipy.signal import resample_poly

ASR_RATE_HZ = 16000
SILENCE_S = 0.2  # padding on both sides, which the recognizer needs to adapt
_WORD = re.compile(r"[a-z']+")


def words_of(text: str) -> list[str]:
    return [word.strip("'") for word in _WORD.findall(text.lower().replace("-", " ")) if word.strip("'")]


def word_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Number of substitutions, deletions and insertions (Levenshtein distance)."""
    row = list(range(len(hypothesis) + 1))
    for i, word in enumerate(reference, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(hypothesis, 1):
            best = min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
            diagonal, row[j] = row[j], best
    return row[-1]


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
    """Speech recognizer. `vocabulary`: the only words, with equal probability; None: pocketsphinx's English model."""

    def __init__(self, vocabulary: Iterable[str] | None = None) -> None:
        quiet = {"loglevel": "FATAL", "samprate": ASR_RATE_HZ}
        self._decoder = pocketsphinx.Decoder(**quiet)
        if vocabulary is not None:
            known = sorted({word for word in vocabulary if self._decoder.lookup_word(word)})
            with TemporaryDirectory() as folder:
                model = Path(folder) / "words.arpa"
                model.write_text(uniform_unigram_lm(known), encoding="ascii")
                self._decoder = pocketsphinx.Decoder(lm=str(model), **quiet)

    def transcribe(self, audio: NDArray[np.float32], rate_hz: int) -> list[str]:
        process_clip(self._decoder, audio, rate_hz)
        hypothesis = self._decoder.hyp()
        return words_of(hypothesis.hypstr) if hypothesis else []


def uniform_unigram_lm(words: Sequence[str]) -> str:
    """A unigram language model with equal probabilities, in ARPA format."""
    log_probability = math.log10(1 / (len(words) + 1))
    lines = [f"{log_probability:.4f} {word}" for word in ("</s>", *words)]
    return "\n".join(["\\data\\", f"ngram 1={len(words) + 2}", "", "\\1-grams:", "-99 <s>", *lines, "", "\\end\\", ""])


_recognizer: SpeechRecognizer


def _start(vocabulary: Sequence[str] | None) -> None:
    global _recognizer
    _recognizer = SpeechRecognizer(vocabulary)


def _transcribe(job: tuple[NDArray[np.float32], int]) -> list[str]:
    return _recognizer.transcribe(*job)


def transcribe_all(clips: Sequence[NDArray[np.float32]], rate_hz: int, vocabulary: Sequence[str] | None = None,
             processes: int = 2) -> list[list[str]]:  # fmt: skip
    """Recognized words of each clip, computed in parallel."""
    with get_context("spawn").Pool(processes, _start, (vocabulary,)) as pool:
        return pool.map(_transcribe, [(clip, rate_hz) for clip in clips], chunksize=4)


def word_error_rate(texts: Sequence[str], hypothesis: Sequence[Sequence[str]]) -> float:
    reference = [words_of(text) for text in texts]
    return sum(map(word_errors, reference, hypothesis)) / sum(map(len, reference))


def most_missed_words(
    texts: Sequence[str], hypothesis: Sequence[Sequence[str]], count: int = 20
) -> list[tuple[str, int]]:
    """The words most often missing in the recognized text, with counts."""
    missed: Counter[str] = Counter()
    for text, words in zip(texts, hypothesis, strict=True):
        missed.update((Counter(words_of(text)) - Counter(words)).keys())
    return missed.most_common(count)
