"""Verbalization of Roman numerals: cardinals after "Chapter", ordinals after the name of a ruler."""

import re
import unicodedata

from sayline_tts.engine.text.normalization.language_data import LanguageData, word_set
from sayline_tts.engine.text.normalization.number_words import NumberWords
from sayline_tts.engine.text.normalization.token_context import Token, TokenContext

_NUMERAL = r"(?=[IVXLCDM])M{0,3}(?:C[MD]|D?C{0,3})(?:X[CL]|L?X{0,3})(?:I[XV]|V?I{0,3})"
_ROMAN = re.compile(_NUMERAL)
_WRITTEN = re.compile(rf"({_NUMERAL})((?:['’]s)|st|nd|rd|th|er|re|ère|ème|e|º|ª)?")
_RANGE = re.compile(r"([IVXLCDM]+)[-–—]([IVXLCDM]+)")
_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
_NUMERAL_SIGNS = re.compile(r"[\u2160-\u217f]+")
_MAX_LIST_TOKENS = 8  # between "Chapters" and the last numeral of its list
_LETTERS = frozenset("CDLM")  # never numerals alone
_CONJUNCTIONS = frozenset(("and", "or", "to", "&", "und", "bis", "et", "à", "y", "a", "e", "en", "tot"))
SMALL_NUMERALS = "ii iii iv vi vii viii ix xi xii xiii xiv xv xvi xvii xviii xix xx ier ire ve xe"


class RomanNumeralVerbalizer:
    """Verbalizer of Roman numerals.

    A numeral needs a word before it that is often numbered ("Chapter IV", "World War II"), the name of a ruler ("Henry
    VIII"), or a word after it ("XIX century"). Without these, two or more of the letters I, V and X after a name are
    one too ("Rocky II"). Single letters are numerals only after a capitalized word of the first two kinds.
    """

    def __init__(self, data: LanguageData, number_words: NumberWords) -> None:
        self._data = data
        self._number_words = number_words
        self._cues = word_set(data.roman_cues) | word_set(data.roman_strong_cues)
        self._strong_cues = word_set(data.roman_strong_cues)
        self._rulers = word_set(data.rulers)
        self._ordinal_cues = word_set(data.roman_ordinal_cues)
        self._excluded = word_set(data.not_roman_numerals) | word_set(data.initialisms) | word_set(data.acronyms)
        self._not_before = word_set(data.words_after_letters)
        self._openers = word_set(data.sentence_openers) | word_set(data.line_joining_words)

    def verbalize(self, context: TokenContext) -> str | None:
        """Return the spoken form of the core, or None if it is not of this class."""
        core = context.core
        if not self._cues:
            return None
        if _NUMERAL_SIGNS.fullmatch(core):
            return self._sign(context, unicodedata.normalize("NFKC", core).upper())
        if core[0] not in _VALUES and not (core[0] in "ivx" and core.isalpha()):
            return None
        if (found := _RANGE.fullmatch(core)) and self._cue(context) and all(map(_ROMAN.fullmatch, found.groups())):
            return f"{self._cardinal(found[1])} {self._data.word('to')} {self._cardinal(found[2])}"
        is_small = core.islower()
        written = _WRITTEN.fullmatch(core.upper() if is_small else core)
        if written is None:
            return None
        numeral, suffix = written.groups()
        if is_small:
            return self._cardinal(numeral) if self._is_small_numeral(context, core) else None
        if suffix and suffix[0] not in "'’":
            return self._with_ordinal_suffix(context, numeral, suffix)
        spoken = self._numeral(context, numeral)
        return spoken + suffix if spoken and suffix else spoken

    def _with_ordinal_suffix(self, context: TokenContext, numeral: str, suffix: str) -> str | None:
        is_ordinal = re.fullmatch(self._data.ordinal_suffixes or "(?!)", suffix) is not None
        follows_ruler = context.previous.core in self._rulers
        is_certain = len(numeral) > 1 or follows_ruler or self._precedes_ordinal_cue(context)
        if not is_ordinal or not is_certain or numeral in self._excluded:
            return None
        return self._ordinal(numeral, follows_ruler)

    def _sign(self, context: TokenContext, numeral: str) -> str | None:
        if not _ROMAN.fullmatch(numeral):
            return None
        return self._ordinal(numeral, True) if context.previous.core in self._rulers else self._cardinal(numeral)

    def _is_small_numeral(self, context: TokenContext, core: str) -> bool:
        return len(core) > 1 and context.adjoins_previous and self._is_cue(context.previous)

    def _numeral(self, context: TokenContext, numeral: str) -> str | None:
        before = context.previous.core
        if context.next.core in self._not_before and context.adjoins_next:
            return " ".join(numeral)  # "an IV drip"
        if self._precedes_ordinal_cue(context) and numeral != "I":
            return self._ordinal(numeral, False)
        if cue := self._cue(context):
            return self._cardinal(numeral) if self._is_numbered(cue.core, numeral) else None
        if not context.adjoins_previous or not before[:1].isupper():
            return None
        if before in self._rulers:
            return self._ordinal(numeral, True) if self._is_ruler(context, numeral) else None
        if len(numeral) < 2 or numeral in self._excluded or not set(numeral) <= set("IVXL"):
            return None
        if len(numeral) == 2 and numeral in ("XL", "LI", "LV", "LX"):
            return None
        if before.lower() in self._openers or before.isupper():
            return None
        if context.preceding(2).core in self._rulers:
            return self._ordinal(numeral, True)  # "John Smith III"
        is_certain = numeral != "IV" or context.preceding(2).core[:1].isupper()
        return self._cardinal(numeral) if is_certain else None

    def _is_numbered(self, cue: str, numeral: str) -> bool:
        if len(numeral) > 1:
            return numeral not in self._excluded
        is_strong = cue.lower().removesuffix("s") in self._strong_cues or cue.lower() in self._strong_cues
        return cue[0].isupper() and numeral not in _LETTERS and (is_strong or numeral == "I")

    def _is_ruler(self, context: TokenContext, numeral: str) -> bool:
        if numeral in _LETTERS or numeral in self._excluded:
            return False
        if numeral == "I" and "i" in self._openers:  # also a word
            after = context.next.core.lower()
            return bool(context.token.trailing) or after in ("", "of", "and")
        return True

    def _precedes_ordinal_cue(self, context: TokenContext) -> bool:
        return context.adjoins_next and context.next.core.lower() in self._ordinal_cues

    def _is_cue(self, token: Token) -> bool:
        return token.core.lower() in self._cues and token.trailing in ("", ".")

    def _cue(self, context: TokenContext) -> Token | None:
        """Return the numbered word before the numeral, or before the list that the numeral ends: "Acts I and II"."""
        for distance in range(1, _MAX_LIST_TOKENS):
            token = context.preceding(distance)
            if self._is_cue(token):
                return token
            is_numeral = token.core != "" and _ROMAN.fullmatch(token.core) is not None and token.trailing in ("", ",")
            if not (is_numeral or token.core in _CONJUNCTIONS):
                return None
        return None

    def _cardinal(self, numeral: str) -> str:
        return self._number_words.cardinal(str(_value(numeral)))

    def _ordinal(self, numeral: str, is_ruler: bool) -> str:
        value = _value(numeral)
        ordinal, cardinal = self._number_words.ordinal(str(value)), self._number_words.cardinal(str(value))
        template = "{ordinal}"
        if is_ruler:
            template = self._data.ruler_format if value <= self._data.max_ruler_ordinal else "{cardinal}"
        return template.format(ordinal=ordinal, cardinal=cardinal, noun=ordinal.capitalize())


def roman_value(numeral: str) -> int | None:
    """Return the value of a Roman numeral in capitals, or None for anything else."""
    return _value(numeral) if _ROMAN.fullmatch(numeral) else None


def _value(numeral: str) -> int:
    digits = [_VALUES[char] for char in numeral]
    following = [*digits[1:], 0]
    return sum(-digit if digit < after else digit for digit, after in zip(digits, following, strict=True))
