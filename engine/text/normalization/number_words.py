"""Numbers as words. Written with num2words, which knows many languages; its commas and "and"s are left out in English.

Whatever is too long to be a quantity is said digit by digit, so no text can ask for much work.
"""

from functools import lru_cache
from typing import Literal

from num2words import CONVERTER_CLASSES, num2words

_LONGEST = 15  # digits; more are no quantity that anybody would say
_Form = Literal["cardinal", "ordinal", "year"]


def knows(language: str) -> bool:
    return language in CONVERTER_CLASSES


class Numerals:
    """`point` is the word between a number and its decimals."""

    def __init__(self, language: str, point: str) -> None:
        self._language = language
        self._point = point

    def cardinal(self, digits: str) -> str:
        """`digits` without separators. A zero in front means that it is no quantity: "007"."""
        if len(digits) > _LONGEST or (len(digits) > 1 and digits[0] == "0"):
            return self.digits(digits)
        return _words(int(digits), self._language, "cardinal")

    def ordinal(self, digits: str) -> str:
        if len(digits) > _LONGEST:
            return self.digits(digits)
        return _words(int(digits), self._language, "ordinal")

    def year(self, digits: str) -> str:
        return _words(int(digits), self._language, "year")

    def digits(self, digits: str) -> str:
        return " ".join(_words(int(digit), self._language, "cardinal") for digit in digits)

    def decimal(self, whole: str, part: str) -> str:
        """ "3.05" is three point zero five."""
        words = [self.cardinal(whole or "0")]
        if part:
            words += [self._point, self.digits(part)]
        return " ".join(words)


@lru_cache(maxsize=8192)
def _words(number: int, language: str, form: _Form) -> str:
    text = str(num2words(number, lang=language, to=form))
    if language == "en":
        text = text.replace(",", "").replace(" and ", " ").replace("oh-", "oh ")
    return text
