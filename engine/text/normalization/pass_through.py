"""How the pieces of a passage are said. What a language knows is in `sayline_tts.engine.text.normalization.normalizer`."""

import re
from collections.abc import Sequence
from typing import Protocol

from sayline_tts.engine.words import Piece

ITEM_MARK = r"[-*•–—]|#{1,6}|\(?(?:\d{1,3}|[A-Za-z])[.)]"
_ITEM_MARK = re.compile(ITEM_MARK)


class Speech(Protocol):
    def say(self, pieces: Sequence[Piece], before: Sequence[Piece]) -> list[str]:
        """What is spoken for each piece; nothing for one that only marks. `before`: the words ahead of them."""

    def leans(self, text: str) -> bool:
        """May the next word change how this one is said?"""

    def goes_on(self, text: str) -> bool:
        """Is its full stop surely no end of a sentence?"""

    def opens_item(self, text: str) -> bool:
        """Does it open a list item or a heading, at the start of a line?"""

    def in_row(self, text: str) -> bool:
        """Does it make the line that it is in a table's?"""

    def keeps_whole(self, text: str) -> bool:
        """Would half of it mean something else, however long it is when spoken?"""


class AsWritten:
    """Each word is spoken as it is written."""

    def say(self, pieces: Sequence[Piece], before: Sequence[Piece]) -> list[str]:
        return [piece.text for piece in pieces]

    def leans(self, text: str) -> bool:
        return False

    def goes_on(self, text: str) -> bool:
        return False

    def opens_item(self, text: str) -> bool:
        return _ITEM_MARK.fullmatch(text) is not None

    def in_row(self, text: str) -> bool:
        return False

    def keeps_whole(self, text: str) -> bool:
        return False
