"""Verbalization of abbreviations, titles, acronyms and initialisms."""

import re

from sayline_tts.engine.text.normalization.language_data import LanguageData, word_set
from sayline_tts.engine.text.normalization.token_context import Token, TokenContext

_INITIALS = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")
_CAPITALS = re.compile(r"([A-Z]{2,}?)(['’]?s|['’]S)?")
_SMALL_ROMAN = re.compile(r"(?=.)X{0,3}(?:I[XV]|V?I{0,3})")
_ROMAN = re.compile(r"M{0,3}(?:C[MD]|D?C{0,3})(?:X[CL]|L?X{0,3})(?:I[XV]|V?I{0,3})")
_VOWELS = frozenset("AEIOUY")
_MAX_INITIALISM_CHARS = 6
_CONJUNCTIONS = frozenset(("&", "and", "und", "et", "y", "e", "en"))  # between titles
_MAX_STREET_NAME_WORDS = 3
_ALSO_WORDS = frozenset(("min.", "max.", "co.", "al.", "ms."))  # at the end of a sentence


class AbbreviationVerbalizer:
    """Verbalizer of abbreviations and of words in capitals."""

    def __init__(self, data: LanguageData) -> None:
        self._data = data
        self._initialisms = word_set(data.initialisms)
        self._ambiguous_initialisms = word_set(data.ambiguous_initialisms)
        self._acronyms = word_set(data.acronyms)
        self._all_caps_words = word_set(data.all_caps_words)
        self._words_after_streets = word_set(data.words_after_streets)
        self._street_types = word_set(data.street_types) | data.street_suffixes.keys()
        self._street_names = word_set(data.street_names)
        self._not_street_names = word_set(data.not_street_names) | set(data.months.split())
        self._unambiguous_titles = word_set(data.unambiguous_titles)
        self._not_roman_numerals = word_set(data.not_roman_numerals)

    def verbalize(self, context: TokenContext) -> str | None:
        """Return the spoken form of the core, or None if it is not of this class."""
        token = context.token
        spoken = self._abbreviation(context)
        if spoken is not None:
            return spoken
        prefix, hyphen, name = token.core.partition("-")
        if hyphen and name[:1].isupper() and prefix in self._data.saint_prefixes:
            return f"{self._data.saint_prefixes[prefix]}-{name}"
        if _INITIALS.fullmatch(token.core) and (token.trailing.startswith(".") or token.core.isupper()):
            return " ".join(token.core.replace(".", "").upper())
        return self._capitals(context) if token.core[:1].isupper() or token.core[:2].isupper() else None

    def owns_period(self, context: TokenContext) -> bool:
        """Return whether the period after the token belongs to an abbreviation, so that it is dropped."""
        token = context.token
        if not token.trailing.startswith(".") or context.is_last:
            return False
        is_initial = len(token.core) == 1 and token.core.isupper() and token.core.isalpha()
        return (
            is_initial
            or _INITIALS.fullmatch(token.core) is not None
            or self._abbreviation(context) is not None
            or context.core.lower() in self._data.month_abbreviations
            or token.abbreviation_key in self._data.weekday_abbreviations
        )

    def _abbreviation(self, context: TokenContext) -> str | None:
        data, token, key = self._data, context.token, context.token.abbreviation_key
        if (spoken := self._saint_or_street(context)) is not None:
            return spoken
        if key in data.street_suffixes and self._follows_name(context):
            return data.street_suffixes[key]
        if spoken := self._compound_street(context):
            return spoken
        if key in data.numbered_abbreviations and context.is_before_number:
            return _match_case(data.numbered_abbreviations[key], token)
        before_name = context.next.core[:1].isupper()
        if key in data.titles and token.core[0].isupper() and (before_name or context.is_last):
            return data.titles[key]
        if token.core.lower() in data.unmarked_titles and key == token.core.lower() and self._is_title(context):
            return _match_case(data.unmarked_titles[key], token)
        spoken = data.abbreviations.get(key)
        if spoken is None and key.endswith("."):
            spoken = data.abbreviations.get(key[:-1])
        if spoken is None or (key == "v." and not before_name):
            return None
        if key in _ALSO_WORDS and context.is_last:
            return None
        is_name = key.endswith(".") and spoken[0].isupper() and " " not in spoken
        return None if is_name and not token.core[0].isupper() else _match_case(spoken, token)

    def _saint_or_street(self, context: TokenContext) -> str | None:
        """Decide between the title and the street, for "St" and "Dr" before another capitalized word."""
        data, token, key = self._data, context.token, context.token.abbreviation_key
        title = data.titles.get(f"{key.rstrip('.')}.") or data.unmarked_titles.get(key)
        street = data.street_suffixes.get(key)
        before_name = context.next.core[:1].isupper() and not context.next.leading and token.trailing in ("", ".")
        if street is None or not (before_name and token.core[0].isupper()):
            return None
        if title is None:  # "12 Oak Ave Springfield", but not "the Ave Maria"
            return street if self._follows_street_name(context) else None
        if context.next.core in self._words_after_streets and context.previous.core and not context.previous.trailing:
            return street
        if context.following(2).core.lower() in self._street_types:
            return title
        is_street = self._follows_house_number(context) or context.previous.core in self._street_names
        return street if is_street else title

    def _follows_street_name(self, context: TokenContext) -> bool:
        before = context.previous.core
        is_name = before[:1].isupper() or before[:1].isdigit()
        return is_name and context.adjoins_previous and before.lower() not in ("the", "a", "an")

    def _follows_house_number(self, context: TokenContext) -> bool:
        """Return whether one to three names and a number before them precede, as in "12 Oak St Springfield"."""
        for distance in range(1, _MAX_STREET_NAME_WORDS + 2):
            before = context.preceding(distance)
            if before.trailing:
                return False
            if before.core[:1].isdigit():
                return distance > 1
            if not before.core[:1].isupper() or before.core in self._not_street_names or before.leading:
                return False
        return False

    def _compound_street(self, context: TokenContext) -> str | None:
        """Verbalize "Hauptstr." and "Kerkstr"."""
        core = context.core
        for ending, spoken in self._data.street_endings.items():
            if core.endswith(ending) and core[0].isupper() and len(core) > len(ending) + 2:
                return core.removesuffix(ending) + spoken
        return None

    def is_compound_street(self, token: Token) -> bool:
        return self._compound_street(TokenContext([token], 0)) is not None

    def _is_title(self, context: TokenContext) -> bool:
        """Return whether a title without a period has a name after it, or "and" and another title."""
        core, after = context.core, context.next
        if core in self._unambiguous_titles:
            return True
        if not context.adjoins_next:
            return False
        if after.core in _CONJUNCTIONS and not after.trailing:
            following = context.following(2).core.lower()
            return core[0].isupper() and not core.isupper() and following in self._data.unmarked_titles
        if core.isupper():  # "MR BROWN", but "MR scan" and "MS DOS" are something else
            is_name = after.core.isalpha() and after.core.isupper() and len(after.core) > 3
            return is_name and len(core) > 1 and core not in self._data.units and not self._is_initialism(after.core)
        is_possible = core[0].isupper() or core not in self._data.units
        is_revision = core == "Rev" and len(after.core) == 1
        return is_possible and not is_revision and after.core[:1].isupper()

    def _follows_name(self, context: TokenContext) -> bool:
        """Return True for "Main St." and "5th Ave", but not for "St. Mary"."""
        before, after = context.previous, context.next
        is_name = before.core[:1].isupper() or before.core[:1].isdigit()
        starts_name = after.core[:1].isupper() and not context.token.trailing.endswith(",")
        return is_name and not before.trailing and not starts_name

    def _capitals(self, context: TokenContext) -> str | None:
        core = context.core
        if core.upper() in self._data.pronunciations and (core.isupper() or core[-1:] == "s"):
            return self._data.pronunciations[core.upper()]
        found = _CAPITALS.fullmatch(core)
        if found is None:
            return None
        word, suffix = found[1], (found[2] or "").lower()
        if word in self._data.pronunciations:
            return self._data.pronunciations[word] + suffix
        if not self._initialisms and (_VOWELS & set(word) or len(word) > _MAX_INITIALISM_CHARS):
            return None
        if self._is_initialism(word, context):
            return " ".join(word) + (suffix if suffix[:1] in ("'", "’") else f"'{suffix}" if suffix else "")
        if word in self._ambiguous_initialisms:
            return core.lower()
        if word in self._acronyms or self._is_roman_numeral(word):
            return None
        return core.lower() if len(word) > 3 or word in self._all_caps_words else None

    def spell(self, letters: str) -> str:
        """Return the spoken form of letters between digits or symbols: separated if they are an initialism."""
        is_initialism = letters.isascii() and letters.isupper() and self._is_initialism(letters)
        return " ".join(letters) if is_initialism else letters

    def _is_initialism(self, word: str, context: TokenContext | None = None) -> bool:
        if word in self._acronyms:
            return False
        if word in self._ambiguous_initialisms:
            return context is None or not (_is_all_caps(context.previous) or _is_all_caps(context.next))
        if word in self._initialisms:
            return True
        if self._is_roman_numeral(word) or (context and word in self._all_caps_words) or not self._data.initialisms:
            return not _VOWELS & set(word) and not self._is_roman_numeral(word)
        return len(word) <= 3 or (len(word) <= _MAX_INITIALISM_CHARS and not _VOWELS & set(word))

    def _is_roman_numeral(self, word: str) -> bool:
        """Return whether a word is a roman numeral. Short ones with L, C, D or M are not: "ML", "CD"."""
        if word in self._not_roman_numerals:
            return False
        return bool(_SMALL_ROMAN.fullmatch(word)) or (len(word) > 3 and bool(_ROMAN.fullmatch(word)))


def _match_case(spoken: str, token: Token) -> str:
    return spoken[0].upper() + spoken[1:] if token.core[:1].isupper() else spoken


def _is_all_caps(token: Token) -> bool:
    return len(token.core) > 1 and token.core.isupper()
