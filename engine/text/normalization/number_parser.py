"""Parsing of written numbers with the separators of a language."""

import re
from dataclasses import dataclass

from sayline_tts.engine.text.normalization.language_data import LanguageData
from sayline_tts.engine.text.normalization.token_context import TokenContext

_FIRST_GROUP = re.compile(r"\d{1,3}", re.ASCII)
_INDIAN_GROUPS = r"\d{1,2}(?:,\d\d)+,\d{3}(?:\.\d+)?(?!\d)"
_MAX_GROUPS = 5


@dataclass(frozen=True)
class Number:
    integer: str  # digits only
    fraction: str  # decimals
    is_grouped: bool

    @property
    def is_one(self) -> bool:
        return self.integer == "1" and not self.fraction

    @property
    def is_plain(self) -> bool:
        return not self.fraction and not self.is_grouped


class NumberParser:
    """Parses numbers within one token, and those whose groups are tokens of their own: "1 000 000".

    `pattern` is the regular expression of a number within a token, without groups.
    """

    def __init__(self, data: LanguageData) -> None:
        self._last_group = re.compile(rf"\d{{3}}(?:{re.escape(data.decimal_separator)}\d+)?", re.ASCII)
        self._group_separator = data.group_separator
        self._decimal_separator = data.decimal_separator
        self._space_groups = data.space_groups
        group, decimal = re.escape(data.group_separator), re.escape(data.decimal_separator)
        swapped = rf"\d{{1,3}}(?:{decimal}\d{{3}})+{group}\d{{1,2}}(?!\d)"  # with the separators of other languages
        grouped = rf"\d{{1,3}}(?:[{group}\u00a0\u202f'’]\d{{3}})+(?:{decimal}\d+)?(?!\d)"
        indian = rf"{_INDIAN_GROUPS}|" if data.group_separator == "," else ""
        self.pattern = rf"{indian}{swapped}|{grouped}|\d+(?:{decimal}\d+)?|{decimal}\d+"

    def parse(self, digits: str) -> Number:
        decimal, group = self._decimal_separator, self._group_separator
        if group in digits and digits.rfind(decimal) < digits.rfind(group) and decimal in digits:
            decimal = group
        integer, _, fraction = digits.rpartition(decimal) if decimal in digits else (digits, "", "")
        is_grouped = not integer.isdigit() and integer != ""
        return Number("".join(filter(str.isdigit, integer)) or "0", fraction, is_grouped)

    def is_later_group(self, context: TokenContext) -> bool:
        """Return whether the token is a group of digits after the first: "000" of "1 000"."""
        groups = self._groups(context)
        return len(groups) > 1 and groups[0] != context.index

    def join_groups(self, context: TokenContext) -> str:
        """Return the token with the groups after it that are separated by spaces."""
        groups = self._groups(context)
        return "".join(context.tokens[i].core for i in groups) if len(groups) > 1 else context.core

    def last_group(self, context: TokenContext) -> TokenContext:
        """Return the context of the last group of the number that the token starts."""
        return TokenContext(context.tokens, self._groups(context)[-1])

    def _groups(self, context: TokenContext) -> range:
        """Return the indices of the tokens of a number in groups. More than `_MAX_GROUPS` are not one number."""
        tokens, start, stop = context.tokens, context.index, context.index + 1
        is_group = _FIRST_GROUP.fullmatch(context.core) or self._last_group.fullmatch(context.core)
        if not (self._space_groups and is_group):
            return range(start, stop)
        while start and self._last_group.fullmatch(tokens[start].core) and tokens[start].adjoins(tokens[start - 1]):
            if not _FIRST_GROUP.fullmatch(tokens[start - 1].core) or stop - start > _MAX_GROUPS:
                break
            start -= 1
        while (
            stop < len(tokens)
            and self._last_group.fullmatch(tokens[stop].core)
            and tokens[stop].adjoins(tokens[stop - 1])
        ):
            if not tokens[stop - 1].core.isdecimal():
                break
            if stop - start > _MAX_GROUPS:
                break
            stop += 1
        is_number = stop - start <= _MAX_GROUPS and tokens[start].core[0] != "0"
        return range(start, stop) if is_number else range(context.index, context.index + 1)
