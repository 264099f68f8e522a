"""What reading gives: words that know where they were written, passages of them, and pauses. The model takes a passage
at once."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Word:
    """`text` is what was written at `start` to `end`, counted in characters of all text that was sent."""

    text: str
    start: int
    end: int
    spoken: str
    glued: bool = False  # no blank between the word before and this one


@dataclass(frozen=True)
class Passage:
    words: tuple[Word, ...]
    start: int
    end: int

    @classmethod
    def of(cls, words: Sequence[Word]) -> Self:
        return cls(tuple(words), words[0].start, words[-1].end) if words else cls((), 0, 0)

    @property
    def spoken(self) -> str:
        """What the model is given."""
        text = "".join(word.spoken if word.glued else f" {word.spoken}" for word in self.words)
        return unicodedata.normalize("NFC", " ".join(text.split()))


@dataclass(frozen=True)
class Pause:
    """Silence that the text asks for at character `at`."""

    duration_ms: float
    at: int


def audible(text: str) -> bool:
    return any(map(str.isalnum, text))
