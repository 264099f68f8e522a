"""Verbalization of text whose kind is stated, by SSML's `<say-as interpret-as="...">`."""

import re

from sayline_tts.engine.text.normalization.date_time import DateTimeVerbalizer
from sayline_tts.engine.text.normalization.digit_sequences import digit_groups
from sayline_tts.engine.text.normalization.electronic_telephone import SYMBOL_NAMES
from sayline_tts.engine.text.normalization.language_data import LanguageData
from sayline_tts.engine.text.normalization.number_parser import NumberParser
from sayline_tts.engine.text.normalization.number_words import NumberWords
from sayline_tts.engine.text.normalization.roman_numerals import roman_value
from sayline_tts.engine.text.normalization.token_context import Token

_DIGITS = re.compile(r"\d+", re.ASCII)
_DIGITS_OR_LETTERS = re.compile(r"\d+|[^\W\d_]+", re.ASCII)
_DATE_FORMAT = re.compile(r"[dmy]{2,3}")
_ORDINAL = re.compile(r"(\d{1,15})(?:\.|º|ª|[^\W\d_]{1,3})?", re.ASCII)
_NUMBER = re.compile(r"([-−+]?)(\d[\d.,'’\u00a0\u202f]*)", re.ASCII)


class StatedKindVerbalizer:
    def __init__(
        self, data: LanguageData, number_words: NumberWords, parser: NumberParser, dates: DateTimeVerbalizer
    ) -> None:
        self._data, self._number_words, self._parser, self._dates = data, number_words, parser, dates
        self._by_kind = {
            "digits": self._digits,
            "telephone": self._telephone,
            "ordinal": self._ordinal,
            "cardinal": self._cardinal,
        }

    def interpret(self, text: str, kind: str, date_format: str) -> str | None:
        """Return the spoken form, or None if the text cannot be of this kind."""
        if kind == "characters":
            return self._characters(text)
        token = Token.parse(text)
        spoken = self._date(token.core, date_format) if kind == "date" else self._by_kind[kind](token.core)
        owns_period = self._data.period_marks_ordinal and kind in ("date", "ordinal")
        trailing = token.trailing.removeprefix("." if owns_period else "")
        return f"{token.leading}{spoken}{trailing}" if spoken else None

    def _characters(self, text: str) -> str | None:
        return " ".join(filter(None, map(self._character, text))) or None

    def _character(self, char: str) -> str:
        if char.isdecimal() and char.isascii():
            return self._number_words.digits(char)
        if char.isalpha():
            return char.upper() if len(char.upper()) == 1 else char
        return self._data.word(SYMBOL_NAMES.get(char, "")) or self._data.symbols.get(char, "")

    def _digits(self, core: str) -> str:
        """Each digit by itself; groups that something else separates have a pause between them."""
        runs = _DIGITS_OR_LETTERS.findall(core)
        return ", ".join(self._number_words.digits(run) if run.isdecimal() else run for run in runs)

    def _telephone(self, core: str) -> str:
        groups = [group for run in _DIGITS.findall(core) for group in digit_groups(run)]
        spoken = ", ".join(map(self._number_words.digits, groups))
        return f"{self._data.word('plus')} {spoken}".strip() if core.startswith("+") and spoken else spoken

    def _ordinal(self, core: str) -> str | None:
        if value := roman_value(core):
            return self._number_words.ordinal(str(value))
        found = _ORDINAL.fullmatch(core)
        return self._number_words.ordinal(found[1]) if found else None

    def _cardinal(self, core: str) -> str | None:
        if value := roman_value(core):
            return self._number_words.cardinal(str(value))
        found = _NUMBER.fullmatch(core)
        if found is None:
            return None
        number = self._parser.parse(found[2])
        sign = self._data.number_signs.get(found[1], "")
        return f"{sign} {self._number_words.decimal(number.integer, number.fraction)}".strip()

    def _date(self, core: str, date_format: str) -> str | None:
        numbers = _DIGITS.findall(core)
        order = date_format if _DATE_FORMAT.fullmatch(date_format) and len(date_format) == len(numbers) else ""
        if not order:
            if spoken := self._dates.numeric_date(core):
                return spoken
            order = "md" if self._data.date_order == "mdy" else "dm"
        if len(numbers) != len(order) or len(set(order)) < len(order):
            return None
        parts = {part: int(number) for part, number in zip(order, numbers, strict=True) if len(number) <= 4}
        if "m" not in parts:
            return None
        if "y" not in parts:
            return self._dates.month_and_day(parts["m"], parts.get("d", 0))
        year = parts["y"] if parts["y"] >= 100 else 2000 + parts["y"]
        return self._dates.format_date(parts["m"], parts.get("d"), str(year))
