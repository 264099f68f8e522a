"""The interface of text normalization: the words that go in, and what a normalizer provides."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(eq=False)
class ReadingTag:
    """A tag that tells how the text in it is read: `alias` is said instead, or `kind` says what it is."""

    alias: str = ""
    kind: str = ""
    format: str = ""  # of a date, such as "mdy"
    is_closed: bool = False


@dataclass(frozen=True)
class TaggedSpan:
    """The characters of a word that are in a tag."""

    start: int
    end: int
    tag: ReadingTag


@dataclass(frozen=True)
class RawWord:
    """A word of the source text before normalization, or a slice of a long one."""

    text: str  # without markup and control characters
    written: str  # as in the source text
    start: int  # offset into the source text
    after_space: bool
    is_complete: bool = True  # false for a slice that is not the end of its word
    is_block_marker: bool = False  # of a list item, a heading or a thematic break
    before: str = ""  # the source text between this word and the one before it; cut if it is long
    tags: tuple[TaggedSpan, ...] = ()
    said: str = ""  # the spoken form, if a lexicon or a tag gives one

    @property
    def end(self) -> int:
        return self.start + len(self.written)


class Normalizer(Protocol):
    """Converts written words to their spoken form, and answers what depends on the language about a single word."""

    def verbalize(self, words: Sequence[RawWord], left_context: Sequence[RawWord]) -> list[str]:
        """Return the spoken form of each word, empty if it is silent. `left_context` holds the words before them."""

    def respell(self, text: str) -> str:
        """Return the spoken form of a respelling: its letters stay as they are, other characters are verbalized."""

    def interpret(self, text: str, kind: str, date_format: str) -> str:
        """Return the spoken form of text of a stated kind: characters, digits, telephone, date, ordinal or cardinal."""

    def needs_right_context(self, text: str) -> bool:
        """Return whether the next word may change the spoken form of this one."""

    def is_abbreviation(self, text: str) -> bool:
        """Return whether the period of this word never ends a sentence."""

    def sentence_starts(self, text: str) -> Sequence[int]:
        """Return the indices inside a word at which a sentence starts, because a space is missing: "it.It"."""

    def joins_lines(self, text: str) -> bool:
        """Return whether a phrase continues on the next line after this word, such as "the" or "of"."""

    def phrase_rank(self, text: str) -> int:
        """Return how well a sentence that is too long can be divided before this word; 0 for most words."""

    def is_block_marker(self, text: str) -> bool:
        """Return whether this word at the start of a line marks a list item, a heading or a thematic break."""

    def is_table_delimiter(self, text: str) -> bool:
        """Return whether this word makes its line a table row."""

    def is_unsplittable(self, text: str) -> bool:
        """Return whether a part of this word could have another meaning, so it stays whole even if it is too long."""
