"""Symbols: between operands, in front of a number, and what is left when nothing else knew the word."""

import re
import unicodedata

from sayline_tts.engine.text.normalization.abbreviations import Names
from sayline_tts.engine.text.normalization.language_data import Table
from sayline_tts.engine.text.normalization.number_words import Numerals
from sayline_tts.engine.text.normalization.numbers_money_units import Amounts
from sayline_tts.engine.text.normalization.token_context import Sight

_FRACTION = re.compile(r"(\d{1,4})[/⁄](\d{1,4})", re.ASCII)
_RATIO = re.compile(r"(\d{1,3}):(\d{1,3})", re.ASCII)
_BY = re.compile(r"\d+(?:[x×]\d+)+", re.ASCII)
_FEET = re.compile(r"(\d{1,3})['’′](?:(\d{1,2})[\"”″]?)?", re.ASCII)
_FORMULA = re.compile(r"[=^×÷√±≤≥≈≠²³⁰¹⁴-⁹]|[\d)][*+]\S|\*\*|(?<!\w)\w[*+]\w(?!\w)")
_OPERATORS = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_²³⁰¹⁴-⁹]+|\*\*|[<>=!]=|->|=>|.", re.DOTALL | re.ASCII)
_OPERAND = re.compile(r"[-−]?\w[\w.,]*|[)\]]", re.ASCII)
_RUNS = re.compile(r"[^\W\d_]+|\d+|.", re.DOTALL)
_POWERS = {"²": "2", "³": "3", "⁰": "0", "¹": "1", "⁴": "4", "⁵": "5", "⁶": "6", "⁷": "7", "⁸": "8", "⁹": "9"}
_NEAR = 8  # words
_OUT_OF = (10, 100)


class Formulas:
    def __init__(self, table: Table, numerals: Numerals, amounts: Amounts, names: Names) -> None:
        self._table = table
        self._numerals = numerals
        self._amounts = amounts
        self._simple = {unicodedata.normalize("NFKC", sign): said for sign, said in table.fractions.items()}
        self._names = names

    def symbol(self, sight: Sight) -> str:
        """A word without a letter and without a digit."""
        text = sight.core or sight.term.text
        operands = _OPERAND.match(sight.before.core) and _OPERAND.match(sight.after.core) and sight.touches_before
        if operands and text in self._table.between and self._counts(sight):
            if text == "-" and not self._is_sum(sight):
                return self._table.word("to")
            return self._table.between[text]
        return self._table.symbols.get(text, "") if not sight.term.opens_item else ""

    def _counts(self, sight: Sight) -> bool:
        """Is one of the two a number, and neither a word?"""
        sides = (sight.before.core, sight.after.core)
        return all(any(map(str.isdigit, side)) or len(side) == 1 for side in sides)

    def _is_sum(self, sight: Sight) -> bool:
        return any(term.core in ("=", "+", "*", "×") for term in sight.near(_NEAR))

    def say(self, sight: Sight) -> str | None:
        core, word, words = sight.core, self._table.word, self._numerals.cardinal
        if core in self._table.fractions:
            return self._mixed(sight, self._table.fractions[core])
        if found := _FRACTION.fullmatch(core):
            return self._fraction(sight, found[1], found[2])
        if _BY.fullmatch(core):
            return f" {word('by')} ".join(map(self._side, re.split("[x×]", core)))
        if found := _RATIO.fullmatch(core):
            return f"{words(found[1])} {word('to')} {words(found[2])}"
        if (found := _FEET.fullmatch(core)) and "ft" in self._table.units:
            feet = self._table.units["ft"][0 if found[2] or found[1] == "1" else 1]
            return f"{words(found[1])} {feet}" + (f" {words(found[2])}" if found[2] else "")
        return self._formula(core) if _FORMULA.search(core) else None

    def _side(self, digits: str) -> str:
        """ "1920x1080" is said in pairs."""
        if (len(digits) == 4 and digits[2:] != "00" and digits[1] != "0") or digits in ("1080", "2160"):
            return f"{self._numerals.cardinal(digits[:2])} {self._numerals.cardinal(digits[2:])}"
        return self._numerals.cardinal(digits)

    def _mixed(self, sight: Sight, fraction: str) -> str:
        """ "1 ½" has an "and"."""
        behind = sight.before.core.isdecimal() and sight.touches_before
        return f"{self._table.word('and')} {fraction}" if behind else fraction

    def _fraction(self, sight: Sight, above: str, below: str) -> str:
        top, bottom, words = int(above), int(below), self._numerals
        sign = f"{above}⁄{below}"
        if sign in self._simple:
            return self._mixed(sight, self._simple[sign])
        if not self._table.word("out_of") or not bottom or (len(above) > 2 and bottom not in _OUT_OF):
            return f"{words.cardinal(above)} {self._table.word('over')} {words.cardinal(below)}"
        if bottom in _OUT_OF and 1 < top <= bottom:
            return f"{words.cardinal(above)} {self._table.word('out_of')} {words.cardinal(below)}"
        if not 1 < bottom <= 20 or top > 20:
            return f"{words.cardinal(above)} {self._table.word('over')} {words.cardinal(below)}"
        name = {2: "half", 4: "quarter"}.get(bottom) or words.ordinal(below)
        plural = "halves" if bottom == 2 else f"{name}s"
        return self._mixed(sight, f"{words.cardinal(above)} {name if top == 1 else plural}")

    def _formula(self, core: str) -> str:
        said: list[str] = []
        parts = [part for part in _OPERATORS.findall(core) if part.strip()]
        for at, part in enumerate(parts):
            before = parts[at - 1] if at else ""
            if before in ("^", "**"):
                said[-1] = self._power(part)
            elif part in ("^", "**"):
                said.append(part)
            elif part in _POWERS:
                said.append(self._power(_POWERS[part]))
            elif part[0].isdecimal():
                said.append(self._number(part))
            elif part.isalpha():
                said.append(self._names.letters(part))
            else:
                said.append(self._operator(part, before))
        return " ".join(filter(None, (each.strip("^*") for each in said)))

    def _power(self, part: str) -> str:
        word = self._table.word
        named = {"2": word("squared"), "3": word("cubed")}.get(part)
        return named or f"{word('power')} {self._number(part) if part[0].isdecimal() else part}"

    def _operator(self, part: str, before: str) -> str:
        if part in "-−":
            return self._table.signs.get("-", "")
        return self._table.between.get(part) or self._table.symbols.get(part, "")

    def _number(self, text: str) -> str:
        return self._amounts.plain(self._amounts.number(text)) if text.isascii() else self._numerals.digits(text)

    def mixture(self, text: str, ends: bool = True) -> str:
        """Letters, digits and marks that nothing else made sense of: each run by itself."""
        said: list[str] = []
        for run in _RUNS.findall(text):
            if run[0].isdigit():
                said.append(self._digits(run))
            elif run.isalpha():
                said.append(self._names.letters(run))
            elif run in ".,;:!?'’" and said and ends:
                said[-1] += run if run in "'’" else ""
            elif name := self._named(run):
                said.append(name)
            else:
                said.append("")
        return " ".join(filter(None, said))

    def _named(self, mark: str) -> str:
        if mark in self._table.currencies:
            return self._table.currencies[mark][1]
        names = {"/": "slash", "@": "at", "&": "and", "+": "plus", "%": "percent", "=": "equals"}
        return (
            self._table.word(names[mark])
            if mark in names
            else self._table.symbols.get(mark, "")
            if mark in "°π∞"
            else ""
        )

    def _digits(self, run: str) -> str:
        plain = "".join(str(unicodedata.digit(digit, 0)) for digit in run)
        return self._numerals.cardinal(plain) if len(plain) <= 6 else self._numerals.digits(plain)
