"""A word of the input text, before normalization."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Piece:
    """A word as it was written, or a slice of a long one. `text` is what of it can be read."""

    text: str
    written: str
    start: int
    after_space: bool
    whole: bool = True  # false for a slice of a long word that goes on
    opens_item: bool = False  # the mark of a list item, a heading or a rule

    @property
    def end(self) -> int:
        return self.start + len(self.written)
