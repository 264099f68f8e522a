"""Words that are not said as they are written: abbreviations, acronyms, titles, what is spelled."""

import re

from sayline_tts.engine.text.normalization.language_data import Table, words_of
from sayline_tts.engine.text.normalization.token_context import Sight, Term

_INITIALS = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")
_CAPITALS = re.compile(r"([A-Z]{2,}?)(['’]?s|['’]S)?")
_SMALL_ROMAN = re.compile(r"(?=.)X{0,3}(?:I[XV]|V?I{0,3})")
_ROMAN = re.compile(r"M{0,3}(?:C[MD]|D?C{0,3})(?:X[CL]|L?X{0,3})(?:I[XV]|V?I{0,3})")
_VOWELS = frozenset("AEIOUY")
_LONGEST_SPELLED = 6
_ALSO_WORDS = frozenset(("min.", "max.", "co.", "al.", "ms."))  # at the end of a sentence


class Names:
    def __init__(self, table: Table) -> None:
        self._table = table
        self._spelled = words_of(table.spelled)
        self._spelled_alone = words_of(table.spelled_alone)
        self._acronyms = words_of(table.acronyms)
        self._shouted = words_of(table.shouted)
        self._not_roman = words_of(table.not_roman)

    def say(self, sight: Sight) -> str | None:
        """What is spoken instead of the word, without what closes it; None where it is said as written."""
        term = sight.term
        said = self._abbreviation(sight)
        if said is not None:
            return said
        if _INITIALS.fullmatch(term.core) and (term.trail.startswith(".") or term.core.isupper()):
            return " ".join(term.core.replace(".", "").upper())
        return self._capitals(sight) if term.core[:1].isupper() or term.core[:2].isupper() else None

    def takes_stop(self, sight: Sight) -> bool:
        """Is the full stop behind it its own, and not the sentence's?"""
        term = sight.term
        if not term.trail.startswith(".") or sight.is_last:
            return False
        initial = len(term.core) == 1 and term.core.isupper() and term.core.isalpha()
        return (
            initial
            or _INITIALS.fullmatch(term.core) is not None
            or self._abbreviation(sight) is not None
            or (sight.core.lower() in self._table.short_months or term.dotted in self._table.weekdays)
        )

    def _abbreviation(self, sight: Sight) -> str | None:
        table, term, key = self._table, sight.term, sight.term.dotted
        if key in table.places and self._is_behind_name(sight):
            return table.places[key]
        if key in table.counters and sight.touches_number_after:
            return _cased(table.counters[key], term)
        if key in table.titles and term.core[0].isupper() and (sight.after.core[:1].isupper() or sight.is_last):
            return table.titles[key]
        said = table.abbreviations.get(key)
        if said is None and key.endswith("."):
            said = table.abbreviations.get(key[:-1])
        if said is None or (key == "v." and not sight.after.core[:1].isupper()):
            return None
        if key in _ALSO_WORDS and sight.is_last:
            return None
        is_name = key.endswith(".") and said[0].isupper() and " " not in said
        return None if is_name and not term.core[0].isupper() else _cased(said, term)

    def _is_behind_name(self, sight: Sight) -> bool:
        """ "Main St." and "5th Ave", but "St. Mary"."""
        before, after = sight.before, sight.after
        named = before.core[:1].isupper() or before.core[:1].isdigit()
        return named and not before.trail and not (after.core[:1].isupper() and not sight.term.trail.endswith(","))

    def _capitals(self, sight: Sight) -> str | None:
        core = sight.core
        if core.upper() in self._table.sounds_like and (core.isupper() or core[-1:] == "s"):
            return self._table.sounds_like[core.upper()]
        found = _CAPITALS.fullmatch(core)
        if found is None:
            return None
        word, ending = found[1], (found[2] or "").lower()
        if word in self._table.sounds_like:
            said = self._table.sounds_like[word]
            return f"{said}{ending}" if ending else said
        if not self._spelled and (_VOWELS & set(word) or len(word) > _LONGEST_SPELLED):
            return None
        if self._is_spelled(word, sight):
            return " ".join(word) + (ending if ending[:1] in ("'", "’") else f"'{ending}" if ending else "")
        if word in self._spelled_alone:
            return core.lower()
        if word in self._acronyms or self._is_roman(word):
            return None
        return core.lower() if len(word) > 3 or word in self._shouted else None

    def letters(self, run: str) -> str:
        """Letters that stand between digits or marks."""
        return " ".join(run) if run.isascii() and run.isupper() and self._is_spelled(run) else run

    def _is_spelled(self, word: str, sight: Sight | None = None) -> bool:
        if word in self._acronyms:
            return False
        if word in self._spelled_alone:
            return sight is None or not (_is_loud(sight.before) or _is_loud(sight.after))
        if word in self._spelled:
            return True
        if self._is_roman(word) or (sight and word in self._shouted) or not self._table.spelled:
            return not _VOWELS & set(word) and not self._is_roman(word)
        return len(word) <= 3 or (len(word) <= _LONGEST_SPELLED and not _VOWELS & set(word))

    def _is_roman(self, word: str) -> bool:
        """Of two or three letters only what is surely one: "ML" and "CD" are none."""
        if word in self._not_roman:
            return False
        return bool(_SMALL_ROMAN.fullmatch(word)) or (len(word) > 3 and bool(_ROMAN.fullmatch(word)))


def _cased(said: str, term: Term) -> str:
    return said[0].upper() + said[1:] if term.core[:1].isupper() else said


def _is_loud(term: Term) -> bool:
    return len(term.core) > 1 and term.core.isupper()
