"""Output of the reader: words with offsets into the source text, chunks of them, and pauses."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Word:
    """A written word and its spoken form.

    `text` is the source text from `start` to `end`. Offsets count the characters of all text pushed so far.
    """

    text: str
    start: int
    end: int
    spoken: str
    after_space: bool = True  # false if this word continues the one before it


@dataclass(frozen=True)
class TextChunk:
    """A sentence or a part of one: what the model synthesizes at once.

    `continues`: it ends inside a phrase, because the sentence is too long for one chunk.
    """

    words: tuple[Word, ...]
    start: int
    end: int
    continues: bool = False

    @classmethod
    def from_words(cls, words: Sequence[Word]) -> Self:
        return cls(tuple(words), words[0].start, words[-1].end) if words else cls((), 0, 0)

    @property
    def spoken(self) -> str:
        """The spoken form of all words, which is the model's input."""
        text = "".join(f" {word.spoken}" if word.after_space else word.spoken for word in self.words)
        return unicodedata.normalize("NFC", " ".join(text.split()))


def longer(old: Sequence[Word], new: Sequence[Word], begun: int) -> list[Word]:
    """Return `new`, a longer version of `old`, with the first `begun` words of `old`.

    Words that have not changed are the same objects as before.
    """
    before = {word.start: word for word in old}
    end = old[begun - 1].end if begun else 0
    known = [before.get(word.start, word) for word in new]
    rest = [same if same == word else word for same, word in zip(known, new, strict=True) if word.start >= end]
    return [*old[:begun], *rest]


@dataclass(frozen=True)
class Pause:
    """Silence requested by a tag at `offset` in the source text."""

    duration_ms: float
    offset: int


def is_speakable(text: str) -> bool:
    """Return whether the text has a letter or a digit."""
    return any(map(str.isalnum, text))
