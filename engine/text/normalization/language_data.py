"""Data of each language for text normalization, read from `languages/*.yaml`."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_FOLDER = Path(__file__).parent / "languages"


@dataclass(frozen=True)
class LanguageData:
    """Contents of a language's YAML file. Lists are strings of words separated by spaces.

    Keys of abbreviations are in lower case, with their period.
    """

    # Numbers
    group_separator: str = ","  # between thousands
    space_groups: bool = False  # thousands may be separated by spaces: "1 000"
    decimal_separator: str = "."
    ordinal_suffixes: str = ""  # a regular expression
    period_marks_ordinal: bool = False  # "3. Mai"; such a period ends no sentence
    fractions: Mapping[str, str] = field(default_factory=dict)
    scales: Mapping[str, str] = field(default_factory=dict)
    scale_words: str = ""
    # Money and measures
    currencies: Mapping[str, list[str]] = field(default_factory=dict)  # singular, plural, and those of the hundredths
    units: Mapping[str, list[str]] = field(default_factory=dict)  # after a number: singular, plural; or one for both
    attached_units: str = ""  # units only without a space before them
    per_units: Mapping[str, str] = field(default_factory=dict)
    # Symbols
    words: Mapping[str, str] = field(default_factory=dict)  # names of symbols and connecting words
    number_signs: Mapping[str, str] = field(default_factory=dict)  # before a number
    symbols: Mapping[str, str] = field(default_factory=dict)  # standing alone
    operators: Mapping[str, str] = field(default_factory=dict)  # between two operands
    functions: Mapping[str, str] = field(default_factory=dict)  # names of functions in formulas, and "∘": of
    # Dates and times
    months: str = ""
    month_abbreviations: Mapping[str, str] = field(default_factory=dict)
    weekday_abbreviations: Mapping[str, str] = field(default_factory=dict)
    year_cues: str = ""  # words after which a number is a year
    date_order: str = "dmy"
    weekdays: str = ""
    date_cues: str = ""  # words before a date without a year
    weak_date_cues: str = ""  # the same, unless it is a common fraction
    fraction_words: str = ""  # words after a fraction
    date_format: str = "{cardinal} {month} {year}"
    day_format: str = "{cardinal}"  # after a month
    day_of_month_format: str = "{cardinal}"  # before a month
    time_format: str = "{hour} {minute}"
    full_hour_format: str = "{hour}"
    hour_format: str = "{hour}"  # in a range or with AM or PM
    seconds_format: str = "{second}"
    leading_zero: str = ""  # of minutes
    hour_words: str = ""  # after a time, whose format already includes them
    # Abbreviations
    abbreviations: Mapping[str, str] = field(default_factory=dict)
    final_abbreviations: str = ""  # those that may end a sentence
    titles: Mapping[str, str] = field(default_factory=dict)
    unmarked_titles: Mapping[str, str] = field(default_factory=dict)  # without a period, before a name
    unambiguous_titles: str = ""  # those that are titles whatever follows, with their case
    street_suffixes: Mapping[str, str] = field(default_factory=dict)
    street_types: str = ""  # in lower case; "St Andrew Lane" is a saint's lane
    street_names: str = ""  # before "St", whatever follows
    not_street_names: str = ""  # before "St", which is a saint then
    words_after_streets: str = ""
    street_endings: Mapping[str, str] = field(default_factory=dict)  # of compounds
    saint_prefixes: Mapping[str, str] = field(default_factory=dict)  # before a hyphen and a name
    numbered_abbreviations: Mapping[str, str] = field(default_factory=dict)  # only before a number: "Fig. 3"
    # Sentences
    sentence_openers: str = ""  # in lower case; after a period, they start a sentence even without a space before them
    line_joining_words: str = ""  # after which no line ends, except by wrapping
    prepositions: str = ""  # before which a sentence that is too long can be divided
    nouns_are_capitalized: bool = False
    # Words in capitals
    initialisms: str = ""  # spelled, though they could be pronounced as words
    ambiguous_initialisms: str = ""
    acronyms: str = ""  # pronounced as words
    pronunciations: Mapping[str, str] = field(default_factory=dict)
    all_caps_words: str = ""
    # Codes and telephone numbers; words are in lower case
    code_words: str = ""  # in the same phrase as a code
    reference_words: str = ""  # immediately before a number
    code_fillers: str = ""  # between such a word and the number
    code_copulas: str = ""
    possessives: str = ""  # before "number"
    words_before_verbs: str = ""  # "to order 1500" is a quantity
    clause_conjunctions: str = ""
    call_words: str = ""
    short_telephone_numbers: str = ""
    telephone_pairs: bool = False  # two digits of a telephone number are one number
    postal_regions: str = ""  # before a postal code
    # Roman numerals; words before them are in lower case
    not_roman_numerals: str = ""
    roman_strong_cues: str = ""  # after which even V and X are numerals
    roman_cues: str = ""
    roman_ordinal_cues: str = ""  # words after an ordinal
    rulers: str = ""  # names of rulers and popes
    ruler_format: str = "{ordinal}"  # `{noun}` is the capitalized ordinal
    max_ruler_ordinal: int = 1000  # larger ones are cardinals
    words_after_letters: str = ""  # after "IV" and the like, which are letters then
    # Electronic text
    emoticons: str = ""  # silent
    heart_emoticon: str = ""
    heart_subjects: str = ""  # words after which the heart is a verb
    top_level_domains: str = ""
    file_extensions: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return not self.words

    def word(self, name: str) -> str:
        return self.words.get(name, "")


@cache
def available_languages() -> tuple[str, ...]:
    """Return the codes of the languages that have a file."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


@cache
def load_language(code: str) -> LanguageData:
    """Read a language's file; empty data if it has none. Raises `ValueError` for an unknown key."""
    if code not in available_languages():
        return LanguageData()
    path = _FOLDER / f"{code}.yaml"
    entries = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)
    unknown = entries.keys() - {each.name for each in fields(LanguageData)}
    if unknown:
        raise ValueError(f"{path.name}: unknown key {min(unknown)!r}; see LanguageData for the known ones")
    return LanguageData(**entries)


@cache
def word_set(text: str) -> frozenset[str]:
    return frozenset(text.split())
