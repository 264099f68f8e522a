"""Numbers as words, by num2words.

In English, commas and "and" are removed. A number that is too long to be a quantity is spoken digit by digit, which
bounds the work.
"""

from functools import lru_cache
from typing import Literal

from num2words import CONVERTER_CLASSES, num2words

_MAX_DIGITS = 15
_Form = Literal["cardinal", "ordinal", "year"]


def supports_numbers(language: str) -> bool:
    """Return whether numbers of this language can be converted to words."""
    return language in CONVERTER_CLASSES


class NumberWords:
    """Converts strings of digits without separators. `point` is the word before the decimals."""

    def __init__(self, language: str, point: str) -> None:
        self._language = language
        self._point = point

    def cardinal(self, digits: str) -> str:
        """Return a quantity, or single digits for a number with a leading zero: "007"."""
        if len(digits) > _MAX_DIGITS or (len(digits) > 1 and digits[0] == "0"):
            return self.digits(digits)
        return _to_words(int(digits), self._language, "cardinal")

    def ordinal(self, digits: str) -> str:
        if len(digits) > _MAX_DIGITS:
            return self.digits(digits)
        return _to_words(int(digits), self._language, "ordinal")

    def year(self, digits: str) -> str:
        return _to_words(int(digits), self._language, "year")

    def digits(self, digits: str) -> str:
        return " ".join(_to_words(int(digit), self._language, "cardinal") for digit in digits)

    def decimal(self, integer: str, fraction: str) -> str:
        """Return a decimal number: "3.05" is "three point zero five"."""
        words = [self.cardinal(integer or "0")]
        if fraction:
            words += [self._point, self.digits(fraction)]
        return " ".join(words)


@lru_cache(maxsize=8192)
def _to_words(number: int, language: str, form: _Form) -> str:
    text = str(num2words(number, lang=language, to=form))
    if language == "en":
        text = text.replace(",", "").replace(" and ", " ").replace("oh-", "oh ")
    return text
