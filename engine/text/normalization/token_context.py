"""A token and its neighbors, which often decide how it is verbalized."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

CHARACTER_RUNS = re.compile(r"[^\W\d_]+|\d+|.", re.DOTALL)  # letters, digits, or a single other character
_OPENING = "\"'“”‘’«‹»›„‚([{¿¡"
_CLOSING = "\"'”’“‘»›«‹)]},.;:!?…。！？、，；："


@dataclass(frozen=True)
class Token:
    """A word split into leading quotes and brackets, its core, and trailing punctuation."""

    leading: str
    core: str
    trailing: str
    is_block_marker: bool = False
    is_plain: bool = False  # spoken as it is written

    @classmethod
    def parse(cls, text: str, is_block_marker: bool = False, is_plain: bool = False) -> Self:
        stripped = text.lstrip(_OPENING)
        core = stripped.rstrip(_CLOSING)
        return cls(text[: len(text) - len(stripped)], core, stripped[len(core) :], is_block_marker, is_plain)

    @property
    def text(self) -> str:
        return self.leading + self.core + self.trailing

    def adjoins(self, previous: "Token") -> bool:
        """Return whether no punctuation separates this token from the previous one."""
        return not previous.trailing and not self.leading

    @property
    def abbreviation_key(self) -> str:
        """The core in lower case, with its period."""
        return self.core.lower() + ("." if self.trailing.startswith(".") else "")


_NO_TOKEN = Token("", "", "")


@dataclass(frozen=True)
class TokenContext:
    """The token at `index` among `tokens`. Neighbors beyond either end are empty."""

    tokens: Sequence[Token]
    index: int

    @property
    def token(self) -> Token:
        return self.tokens[self.index]

    @property
    def core(self) -> str:
        return self.tokens[self.index].core

    @property
    def previous(self) -> Token:
        return self.preceding(1)

    def preceding(self, distance: int) -> Token:
        return self.tokens[self.index - distance] if self.index >= distance else _NO_TOKEN

    @property
    def next(self) -> Token:
        return self.following(1)

    def following(self, distance: int) -> Token:
        return self.tokens[self.index + distance] if self.index + distance < len(self.tokens) else _NO_TOKEN

    def window(self, distance: int) -> Sequence[Token]:
        """Return the tokens at most `distance` tokens away."""
        return self.tokens[max(0, self.index - distance) : self.index + distance + 1]

    @property
    def adjoins_previous(self) -> bool:
        return self.token.adjoins(self.previous)

    @property
    def adjoins_next(self) -> bool:
        return self.next.adjoins(self.token)

    @property
    def is_before_number(self) -> bool:
        return not self.next.leading and self.next.core[:1].isdigit()

    @property
    def is_last(self) -> bool:
        return self.index == len(self.tokens) - 1
