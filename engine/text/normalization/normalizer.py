"""How a language is read aloud: each word of a passage, seen among its neighbours, as a person would say it."""

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Protocol

from sayline_tts.engine.text.normalization.abbreviations import Names
from sayline_tts.engine.text.normalization.date_time import Moments
from sayline_tts.engine.text.normalization.electronic_telephone import Addresses
from sayline_tts.engine.text.normalization.language_data import Table, languages, table_of, words_of
from sayline_tts.engine.text.normalization.math import Formulas
from sayline_tts.engine.text.normalization.number_words import Numerals, knows
from sayline_tts.engine.text.normalization.numbers_money_units import Amounts
from sayline_tts.engine.text.normalization.pass_through import ITEM_MARK
from sayline_tts.engine.text.normalization.token_context import Sight, Term
from sayline_tts.engine.words import Piece

_ITEM_MARK = re.compile(rf"{ITEM_MARK}|[+|]|[-=*_]{{3,}}|[|:+-]{{3,}}")
_ITEM_NUMBER = re.compile(r"\(?(\d{1,3})[.)]", re.ASCII)
_ITEM_LETTER = re.compile(r"\(?([A-Za-z])\)")
_BREAKS = frozenset(("-", "–", "—", "--", "---", "...", "…", "|"))
_ORDINARY = re.compile(r"[A-Z]?[a-z]+(?:['’-][a-z]+)*[,;:!?]?")
_DASH = re.compile(r"(?<=\w)(?:—|--+)(?=\w)")
_SAYABLE_MARKS = frozenset(".,;:!?…'\"’‘“”«»‹›„()-–—¿¡ 。！？、，；：「」『』")
_FEET = re.compile(r"\d+['’′]\d+", re.ASCII)
_MAYBE_MORE = re.compile(r"(?<=\w)\(s\)")
_MARKDOWN = re.compile(r"[*_`#|\[\]{}\\]")
_DIGIT = re.compile(r"\d")
_MOST_PARTS = 5
_ENTITY = re.compile(r"&#?\w{1,8};")
_ENDS = ".,;:!?…。！？、，；："
_LONGEST_WHOLE = 40


def code_of(language: str) -> str:
    """ "en" for "en-US", and for "english", as the catalogue names it."""
    name = language.lower().replace("_", "-").partition("-")[0]
    return _CODES.get(name, name)


_CODES = {
    "english": "en",
    "french": "fr",
    "german": "de",
    "spanish": "es",
    "italian": "it",
    "portuguese": "pt",
    "dutch": "nl",
}


class _Reader(Protocol):
    def say(self, sight: Sight) -> str | None: ...


def speech_of(language: str) -> "Tongue":
    """For a language without a table, numbers are said if num2words knows them, and the rest as it is written."""
    code = code_of(language)
    return _tongue(code if code in languages() or knows(code) else "")


@cache
def _tongue(code: str) -> "Tongue":
    return Tongue(table_of(code), code)


class Tongue:
    def __init__(self, table: Table, language: str) -> None:
        self._table = table
        self._counts = knows(language)
        self._english = language == "en"
        numerals = Numerals(language, table.word("point"))
        self._numerals = numerals
        self._names = Names(table)
        self._moments = Moments(table, numerals)
        self._amounts = Amounts(table, numerals)
        self._addresses = Addresses(table, numerals)
        self._formulas = Formulas(table, numerals, self._amounts, self._names)
        self._terms = lru_cache(maxsize=4096)(self._term)
        self._silent = words_of(table.silent)
        self._enders = words_of(table.enders)
        self._love_after = words_of(table.love_after)
        # Ordinary letters, but not an ordinary word: each of them has to be looked at.
        self._special = frozenset(
            key.rstrip(".").lower()
            for part in (
                table.currencies,
                table.units,
                table.abbreviations,
                table.short_months,
                table.counters,
                table.places,
                table.titles,
            )
            for key in part
        ) | words_of(f"{table.scale_words} {table.hour_words} am pm")

    def say(self, pieces: Sequence[Piece], before: Sequence[Piece]) -> list[str]:
        terms = [self._terms(piece.text, piece.opens_item) for piece in (*before, *pieces)]
        said: list[str] = []
        breaks, heard = False, -1
        for at in range(len(before), len(terms)):
            term = terms[at]
            spoken = term.core + term.trail if term.is_ordinary else self._say(Sight(terms, at))
            if spoken and breaks:
                _close(said, heard, ",")
            if not spoken and term.core:
                _close(said, heard, term.trail)  # what was silent leaves its full stop
            breaks = not spoken and (breaks or (term.text in _BREAKS and not term.opens_item))
            said.append(spoken)
            heard = len(said) - 1 if spoken else heard
        return said

    def leans(self, text: str) -> bool:
        return text[-1:].isdigit() or text[-1:] in "$€£#№§" or text in self._table.scales

    def goes_on(self, text: str) -> bool:
        if self._english:
            return False  # nupunkt knows better
        term = Term.of(text)
        if self._table.number_goes_on and term.trail == "." and len(term.core) <= 2 and term.core.isdecimal():
            return True
        known = term.dotted in self._table.abbreviations or term.dotted in self._table.counters
        return known and term.trail == "." and term.dotted not in self._enders

    def opens_item(self, text: str) -> bool:
        return _ITEM_MARK.fullmatch(text) is not None

    def in_row(self, text: str) -> bool:
        return text == "|"

    def keeps_whole(self, text: str) -> bool:
        return len(text) <= _LONGEST_WHOLE

    def _term(self, text: str, opens_item: bool) -> Term:
        ordinary = _ORDINARY.fullmatch(text) is not None and text.rstrip(_ENDS).lower() not in self._special
        return Term.of(text, opens_item, ordinary)

    def _say(self, sight: Sight) -> str:
        term = sight.term
        if term.opens_item and (item := self._item(term.text)) is not None:
            return item
        if term.text in self._silent:
            loved = term.text == self._table.love and sight.before.core in self._love_after
            return "love" if loved else ""
        if self._table.is_empty:
            return self._little_known(term)
        if not term.core or not any(map(str.isalnum, term.core)):
            said = self._amounts.say(sight) if term.core else None
            return self._formulas.symbol(sight) if said is None else said
        said = self._inner(sight)
        spoken = self._with_marks(sight, said) if said is not None else self._as_written(sight)
        return self._sayable(spoken)

    def _item(self, text: str) -> str | None:
        """The number of a list item is said, its bullet is not."""
        if number := _ITEM_NUMBER.fullmatch(text):
            return self._numerals.cardinal(number[1]) + "," if self._counts else text
        if letter := _ITEM_LETTER.fullmatch(text):
            return letter[1].upper() + ","
        return "" if self.opens_item(text) and not any(map(str.isalnum, text)) else None

    def _inner(self, sight: Sight) -> str | None:
        core = sight.core
        if core.isalpha():
            return self._first_said(sight, self._amounts, self._moments, self._names)
        if (said := self._names.say(sight)) is not None:
            return said
        if not self._counts:
            return None
        said = self._first_said(sight, self._moments, self._addresses, self._amounts, self._formulas)
        return self._compound(core) if said is None else said

    def _compound(self, core: str) -> str | None:
        """ "3rd-party", "mid-1990s", "GPT-4": each half as if it stood alone."""
        parts = core.split("-")
        if not 1 < len(parts) <= _MOST_PARTS or not all(map(str.isalnum, parts)) or not _DIGIT.search(core):
            return None
        return " ".join(self._say(Sight([Term.of(part)], 0)) for part in parts)

    def _first_said(self, sight: Sight, *readers: _Reader) -> str | None:
        for reader in readers:
            if (said := reader.say(sight)) is not None:
                return said
        return None

    def _little_known(self, term: Term) -> str:
        """A language of which we know its numbers at most."""
        if self._counts and term.core.isdecimal() and term.core.isascii():
            return term.lead + self._numerals.cardinal(term.core) + term.trail
        return "" if self.opens_item(term.text) else _MARKDOWN.sub("", term.text)

    def _with_marks(self, sight: Sight, said: str) -> str:
        if not said:
            return ""
        lead, trail = sight.term.lead, sight.term.trail
        if self._takes_stop(sight) or (_FEET.fullmatch(sight.core) and trail[:1] in '"”″'):
            trail = trail[1:]
        if sight.core[0].isdigit() and not trail.startswith(("'", "’")):
            lead = lead.rstrip("'’‘")
        return lead + said + trail

    def _takes_stop(self, sight: Sight) -> bool:
        counts = self._table.number_goes_on and sight.core.isdecimal() and sight.term.trail == "." and not sight.is_last
        return counts or self._names.takes_stop(sight)

    def _as_written(self, sight: Sight) -> str:
        """Words, joined by marks or digits."""
        term = sight.term
        text = term.text
        if self._names.takes_stop(sight):
            text = term.lead + term.core + term.trail[1:]
        if text[0] in "-–—":
            text = text.lstrip("-–—")  # the switch of a program
        text = _MAYBE_MORE.sub("s", _DASH.sub(", ", text))
        if _ENTITY.search(text):
            for entity, meaning in self._table.entities.items():
                text = text.replace(entity, meaning)
        return text

    def _sayable(self, text: str) -> str:
        """The last word: no digit is left, and no mark that means nothing when heard."""
        if all(char.isalpha() or char in _SAYABLE_MARKS for char in text):
            return text
        lead = text[: len(text) - len(text.lstrip("\"'“‘«(¿¡"))]
        core = text[len(lead) :]
        inner = core.rstrip(_ENDS + "\"'”’»)")
        return lead + self._formulas.mixture(inner) + core[len(inner) :]


def _close(said: list[str], heard: int, marks: str) -> None:
    """The last word that was heard gets the mark of a silent one: a dash, a cell's edge, "14:30 Uhr."."""
    if heard >= 0 and marks and marks[0] in _ENDS and said[heard][-1].isalnum():
        said[heard] += marks[0]
