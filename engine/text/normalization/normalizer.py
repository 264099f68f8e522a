"""Text normalization of a language: each word is verbalized with regard to its neighbors."""

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Protocol

from sayline_tts.engine.text.normalization.abbreviations import AbbreviationVerbalizer
from sayline_tts.engine.text.normalization.date_time import DateTimeVerbalizer
from sayline_tts.engine.text.normalization.digit_sequences import DigitSequenceVerbalizer
from sayline_tts.engine.text.normalization.electronic_telephone import ElectronicVerbalizer
from sayline_tts.engine.text.normalization.glued_sentences import GluedSentences
from sayline_tts.engine.text.normalization.language_data import (
    LanguageData,
    available_languages,
    load_language,
    word_set,
)
from sayline_tts.engine.text.normalization.math import MathVerbalizer, greek_letter
from sayline_tts.engine.text.normalization.number_parser import NumberParser
from sayline_tts.engine.text.normalization.number_words import NumberWords, supports_numbers
from sayline_tts.engine.text.normalization.numbers_money_units import QuantityVerbalizer
from sayline_tts.engine.text.normalization.pass_through import BLOCK_MARKER_PATTERN
from sayline_tts.engine.text.normalization.protocol import RawWord
from sayline_tts.engine.text.normalization.roman_numerals import SMALL_NUMERALS, RomanNumeralVerbalizer
from sayline_tts.engine.text.normalization.stated_kinds import StatedKindVerbalizer
from sayline_tts.engine.text.normalization.token_context import Token, TokenContext

LANGUAGE_CODES = {
    "english": "en",
    "french": "fr",
    "german": "de",
    "spanish": "es",
    "italian": "it",
    "portuguese": "pt",
    "dutch": "nl",
}  # by the first part of a variant's name

_BLOCK_MARKER = re.compile(rf"{BLOCK_MARKER_PATTERN}|[+|]|[-=*_]{{3,}}|[|:+-]{{3,}}")
_ITEM_NUMBER = re.compile(r"\(?(\d{1,3})[.)]", re.ASCII)
_ITEM_LETTER = re.compile(r"\(?([A-Za-z])\)")
_PROSODIC_BREAKS = frozenset(("-", "–", "—", "--", "---", "...", "…", "|"))
_PLAIN_WORD = re.compile(r"[A-Z]?[a-z]+(?:['’-][a-z]+)*[,;:!?]?")
_INNER_DASH = re.compile(r"(?<=\w)(?:—|--+)(?=\w)")
_SPOKEN_PUNCTUATION = frozenset(".,;:!?…'\"’‘“”«»‹›„()-–—¿¡ 。！？、，；：「」『』")
_FEET_AND_INCHES = re.compile(r"\d+['’′]\d+", re.ASCII)
_OPTIONAL_PLURAL = re.compile(r"(?<=\w)\(s\)")
_MARKDOWN = re.compile(r"[*_`#|\[\]{}\\∙∘]")
_ORDINAL_OR_DATE = re.compile(r"\d{1,2}(?:\.\d{1,2})?", re.ASCII)  # before a period
_ROMAN = re.compile(r"[IVX]{2,}")
_DIGIT = re.compile(r"\d")
_MAX_COMPOUND_PARTS = 5
_CLAUSE_PUNCTUATION = ".,;:!?…。！？、，；："
_MAX_UNSPLITTABLE_CHARS = 40


class _Verbalizer(Protocol):
    """Verbalizer of a semiotic class."""

    def verbalize(self, context: TokenContext) -> str | None: ...


def language_code(language: str) -> str:
    """Return "en" for "en", "en-US" and "english", as the catalogue names it."""
    name = language.lower().replace("_", "-").partition("-")[0]
    return LANGUAGE_CODES.get(name, name)


def normalizer_for(language: str) -> "TextNormalizer":
    """Return the normalizer of a language. Without a data file, it verbalizes only numbers, if num2words can."""
    code = language_code(language)
    return _cached_normalizer(code if code in available_languages() or supports_numbers(code) else "")


@cache
def _cached_normalizer(code: str) -> "TextNormalizer":
    return TextNormalizer(load_language(code), code)


class TextNormalizer:
    """A `Normalizer` that asks the verbalizers of the semiotic classes in turn."""

    def __init__(self, data: LanguageData, language: str) -> None:
        self._data = data
        self._supports_numbers = supports_numbers(language)
        self._is_english = language == "en"
        self._number_words = NumberWords(language, data.word("point"))
        self._abbreviations = AbbreviationVerbalizer(data)
        self._dates = DateTimeVerbalizer(data, self._number_words)
        parser = NumberParser(data)
        self._quantities = QuantityVerbalizer(data, self._number_words, parser)
        self._electronic = ElectronicVerbalizer(data, self._number_words)
        self._math = MathVerbalizer(data, self._number_words, parser, self._abbreviations)
        self._glued_sentences = GluedSentences(data)
        self._roman_numerals = RomanNumeralVerbalizer(data, self._number_words)
        self._digit_sequences = DigitSequenceVerbalizer(data, self._number_words)
        self._stated_kinds = StatedKindVerbalizer(data, self._number_words, parser, self._dates)
        self._cached_token = lru_cache(maxsize=4096)(self._token)
        self._emoticons = word_set(data.emoticons)
        self._final_abbreviations = word_set(data.final_abbreviations)
        self._line_joining_words = word_set(data.line_joining_words)
        self._clause_conjunctions = word_set(data.clause_conjunctions)
        self._prepositions = word_set(data.prepositions)
        self._heart_subjects = word_set(data.heart_subjects)
        # Words that look plain but belong to a semiotic class.
        self._special_words = frozenset(
            key.rstrip(".").lower()
            for part in (
                data.currencies,
                data.units,
                data.abbreviations,
                data.month_abbreviations,
                data.numbered_abbreviations,
                data.street_suffixes,
                data.titles,
                data.unmarked_titles,
            )
            for key in part
        ) | word_set(f"{data.scale_words} {data.hour_words} {SMALL_NUMERALS} am pm")

    def verbalize(self, words: Sequence[RawWord], left_context: Sequence[RawWord]) -> list[str]:
        raw_words = (*left_context, *words)
        tokens = [self._cached_token(word.text, word.is_block_marker) for word in raw_words]
        spoken: list[str] = []
        after_break, last_spoken = False, -1
        for i in range(len(left_context), len(tokens)):
            token = tokens[i]
            text = raw_words[i].said
            if not text:
                text = token.core + token.trailing if token.is_plain else self._verbalize_token(TokenContext(tokens, i))
            if text and after_break:
                _add_punctuation(spoken, last_spoken, ",")
            if not text and token.core:
                _add_punctuation(spoken, last_spoken, token.trailing)  # the token is silent, its punctuation is not
            is_break = token.text in _PROSODIC_BREAKS and not token.is_block_marker
            after_break = not text and (after_break or is_break)
            spoken.append(text)
            last_spoken = len(spoken) - 1 if text else last_spoken
        return spoken

    def respell(self, text: str) -> str:
        return " ".join(self._respell_word(word) for word in text.split())

    def _respell_word(self, word: str) -> str:
        if _is_speakable_as_written(word):
            return word
        parts = word.split("-")
        any_respelled = len(parts) > 1 and any(map(str.isalpha, parts))
        return "-".join(map(self._respell_word, parts)) if any_respelled else self._alone(word)

    def interpret(self, text: str, kind: str, date_format: str) -> str:
        spoken = self._stated_kinds.interpret(text, kind, date_format) if self._supports_numbers else None
        return self._alone(text) if spoken is None else spoken

    def _alone(self, text: str) -> str:
        return self._verbalize_token(TokenContext([Token.parse(text)], 0))

    def needs_right_context(self, text: str) -> bool:
        is_before_number = text[-1:].isdigit() or text[-1:] in "$€£#№§" or text in self._data.scales
        return is_before_number or text.lower() in self._data.unmarked_titles or _ROMAN.fullmatch(text) is not None

    def is_abbreviation(self, text: str) -> bool:
        if self._is_english:
            return False  # left to nupunkt, which knows English abbreviations
        token = Token.parse(text)
        is_number = token.trailing == "." and _ORDINAL_OR_DATE.fullmatch(token.core) is not None
        if self._data.period_marks_ordinal and is_number:
            return True
        key = token.abbreviation_key
        data = self._data
        is_known = key in data.abbreviations or key in data.numbered_abbreviations or key in data.titles
        if not is_known and token.core:
            is_known = self._abbreviations.is_compound_street(token)
        return is_known and token.trailing == "." and key not in self._final_abbreviations

    def sentence_starts(self, text: str) -> Sequence[int]:
        return self._glued_sentences.starts(text)

    def joins_lines(self, text: str) -> bool:
        return text.lower() in self._line_joining_words or text.lower() in self._data.unmarked_titles

    def phrase_rank(self, text: str) -> int:
        return 2 if text in self._clause_conjunctions else 1 if text in self._prepositions else 0

    def is_block_marker(self, text: str) -> bool:
        return _BLOCK_MARKER.fullmatch(text) is not None

    def is_table_delimiter(self, text: str) -> bool:
        return text == "|"

    def is_unsplittable(self, text: str) -> bool:
        return len(text) <= _MAX_UNSPLITTABLE_CHARS

    def _token(self, text: str, is_block_marker: bool) -> Token:
        looks_plain = _PLAIN_WORD.fullmatch(text) is not None
        is_plain = looks_plain and text.rstrip(_CLAUSE_PUNCTUATION).lower() not in self._special_words
        return Token.parse(text, is_block_marker, is_plain)

    def _verbalize_token(self, context: TokenContext) -> str:
        token = context.token
        if token.is_block_marker and (marker := self._block_marker(token.text)) is not None:
            return marker
        if token.text in self._emoticons:
            is_verb = token.text == self._data.heart_emoticon and context.previous.core in self._heart_subjects
            return "love" if is_verb else ""
        if self._data.is_empty:
            return self._without_language_data(token)
        if not token.core or not any(map(str.isalnum, token.core)):
            spoken = self._quantities.verbalize(context) if token.core else None
            return self._math.verbalize_symbol(context) if spoken is None else spoken
        spoken = self._verbalize_core(context)
        text = self._with_punctuation(context, spoken) if spoken is not None else self._as_written(context)
        return self._without_symbols(text)

    def _block_marker(self, text: str) -> str | None:
        """Verbalize the number or letter of a list item. Other markers are silent."""
        if number := _ITEM_NUMBER.fullmatch(text):
            return self._number_words.cardinal(number[1]) + "," if self._supports_numbers else text
        if letter := _ITEM_LETTER.fullmatch(text):
            return letter[1].upper() + ","
        return "" if self.is_block_marker(text) and not any(map(str.isalnum, text)) else None

    def _verbalize_core(self, context: TokenContext) -> str | None:
        """Return the spoken form by the first class that the core belongs to, or None if it is spoken as written."""
        core = context.core
        if self._supports_numbers and (spoken := self._roman_numerals.verbalize(context)) is not None:
            return spoken
        if core.isalpha():
            spoken = self._first_match(context, self._quantities, self._dates, self._abbreviations)
            return greek_letter(core) if spoken is None else spoken
        if (spoken := self._abbreviations.verbalize(context)) is not None:
            return spoken
        if not self._supports_numbers:
            return None
        spoken = self._first_match(
            context, self._digit_sequences, self._dates, self._electronic, self._quantities, self._math
        )
        return self._compound(core) if spoken is None else spoken

    def _compound(self, core: str) -> str | None:
        """Verbalize each part of "3rd-party", "mid-1990s" or "GPT-4" by itself."""
        parts = core.split("-")
        if not 1 < len(parts) <= _MAX_COMPOUND_PARTS or not all(map(str.isalnum, parts)) or not _DIGIT.search(core):
            return None
        return " ".join(map(self._alone, parts))

    def _first_match(self, context: TokenContext, *verbalizers: _Verbalizer) -> str | None:
        for verbalizer in verbalizers:
            if (spoken := verbalizer.verbalize(context)) is not None:
                return spoken
        return None

    def _without_language_data(self, token: Token) -> str:
        if self._supports_numbers and token.core.isdecimal() and token.core.isascii():
            return token.leading + self._number_words.cardinal(token.core) + token.trailing
        return "" if self.is_block_marker(token.text) else _MARKDOWN.sub("", token.text)

    def _with_punctuation(self, context: TokenContext, spoken: str) -> str:
        if not spoken:
            return ""
        leading, trailing = context.token.leading, context.token.trailing
        is_inches = _FEET_AND_INCHES.fullmatch(context.core) and trailing[:1] in '"”″'
        if self._owns_period(context) or is_inches:
            trailing = trailing[1:]
        if context.core[0].isdigit() and not trailing.startswith(("'", "’")):
            leading = leading.rstrip("'’‘")
        return leading + spoken + trailing

    def _owns_period(self, context: TokenContext) -> bool:
        """Return whether the period after the core does not end the sentence."""
        is_number = context.token.trailing == "." and _ORDINAL_OR_DATE.fullmatch(context.core) is not None
        is_ordinal = self._data.period_marks_ordinal and is_number and not context.is_last
        return is_ordinal or self._abbreviations.owns_period(context)

    def _as_written(self, context: TokenContext) -> str:
        """Return a token that no class covers, without its typography: dashes, optional plurals."""
        token = context.token
        text = token.text
        if self._abbreviations.owns_period(context):
            text = token.leading + token.core + token.trailing[1:]
        if text[0] in "-–—":
            text = text.lstrip("-–—")  # a command-line option
        return _OPTIONAL_PLURAL.sub("s", _INNER_DASH.sub(", ", text))

    def _without_symbols(self, text: str) -> str:
        """Verbalize or remove the digits and symbols that are left."""
        if _is_speakable_as_written(text):
            return text
        leading = text[: len(text) - len(text.lstrip("\"'“‘«(¿¡"))]
        rest = text[len(leading) :]
        core = rest.rstrip(_CLAUSE_PUNCTUATION + "\"'”’»)")
        return leading + self._math.verbalize_mixture(core) + rest[len(core) :]


def _is_speakable_as_written(text: str) -> bool:
    return all(char.isalpha() or char in _SPOKEN_PUNCTUATION for char in text)


def _add_punctuation(spoken: list[str], last_spoken: int, punctuation: str) -> None:
    """Add the punctuation of a silent token to the last spoken word: a comma for a dash, the period of "14:30 Uhr."."""
    if last_spoken >= 0 and punctuation and punctuation[0] in _CLAUSE_PUNCTUATION and spoken[last_spoken][-1].isalnum():
        spoken[last_spoken] += punctuation[0]
