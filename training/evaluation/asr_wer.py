"""How well speech is understood: `pocketsphinx` writes down what it hears, and its words are compared with the text's.

It hears twice: with the English it knows, which lets it guess, and with nothing but the words of the test, all equally
likely, which leaves it to what sounds.
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

HEARD_HZ = 16000
SILENCE_S = 0.2  # on both sides: the recogniser wants some to settle
_WORD = re.compile(r"[a-z']+")


def words_of(text: str) -> list[str]:
    return [word.strip("'") for word in _WORD.findall(text.lower().replace("-", " ")) if word.strip("'")]


def word_errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """Substitutions, deletions and insertions."""
    row = list(range(len(heard) + 1))
    for at, word in enumerate(said, 1):
        before, row[0] = row[0], at
        for place, other in enumerate(heard, 1):
            best = min(row[place] + 1, row[place - 1] + 1, before + (word != other))
            before, row[place] = row[place], best
    return row[-1]


def listen(decoder: pocketsphinx.Decoder, audio: NDArray[np.float32], rate_hz: int) -> None:
    """The decoder hears a clip, with `SILENCE_S` before and behind it."""
    common = math.gcd(rate_hz, HEARD_HZ)
    heard = resample_poly(audio, HEARD_HZ // common, rate_hz // common)
    heard = np.pad(heard, round(SILENCE_S * HEARD_HZ))
    decoder.reinit_feat()  # each clip by itself: what was heard before adapts the features
    decoder.start_utt()
    decoder.process_raw((np.clip(heard, -1, 1) * 32767).astype("<i2").tobytes(), full_utt=True)
    decoder.end_utt()


class Recogniser:
    """`own_words`: the only words there are, all equally likely; None: the recogniser's own English."""

    def __init__(self, own_words: Iterable[str] | None = None) -> None:
        quiet = {"loglevel": "FATAL", "samprate": HEARD_HZ}
        self._decoder = pocketsphinx.Decoder(**quiet)
        if own_words is not None:
            known = sorted({word for word in own_words if self._decoder.lookup_word(word)})
            with TemporaryDirectory() as folder:
                model = Path(folder) / "words.arpa"
                model.write_text(equal_words(known), encoding="ascii")
                self._decoder = pocketsphinx.Decoder(lm=str(model), **quiet)

    def hear(self, audio: NDArray[np.float32], rate_hz: int) -> list[str]:
        listen(self._decoder, audio, rate_hz)
        found = self._decoder.hyp()
        return words_of(found.hypstr) if found else []


def equal_words(words: Sequence[str]) -> str:
    """A language model of single words in ARPA's format."""
    each = math.log10(1 / (len(words) + 1))
    lines = [f"{each:.4f} {word}" for word in ("</s>", *words)]
    return "\n".join(["\\data\\", f"ngram 1={len(words) + 2}", "", "\\1-grams:", "-99 <s>", *lines, "", "\\end\\", ""])


_recogniser: Recogniser


def _start(own_words: Sequence[str] | None) -> None:
    global _recogniser
    _recogniser = Recogniser(own_words)


def _hear(job: tuple[NDArray[np.float32], int]) -> list[str]:
    return _recogniser.hear(*job)


def hear_all(clips: Sequence[NDArray[np.float32]], rate_hz: int, own_words: Sequence[str] | None = None,
             processes: int = 2) -> list[list[str]]:  # fmt: skip
    """What is heard in each clip."""
    with get_context("spawn").Pool(processes, _start, (own_words,)) as pool:
        return pool.map(_hear, [(clip, rate_hz) for clip in clips], chunksize=4)


def word_error_rate(texts: Sequence[str], heard: Sequence[Sequence[str]]) -> float:
    said = [words_of(text) for text in texts]
    return sum(map(word_errors, said, heard)) / sum(map(len, said))


def most_common_mistakes(
    texts: Sequence[str], heard: Sequence[Sequence[str]], count: int = 20
) -> list[tuple[str, int]]:
    """Words that were said and not heard, the most frequent first."""
    missed: Counter[str] = Counter()
    for text, words in zip(texts, heard, strict=True):
        missed.update((Counter(words_of(text)) - Counter(words)).keys())
    return missed.most_common(count)
