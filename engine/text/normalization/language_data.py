"""What a language's file says about how it is read aloud. The files are `languages/*.yaml`."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_FOLDER = Path(__file__).parent / "languages"


@dataclass(frozen=True)
class Table:
    """Lists are written as words with blanks between them."""

    group: str = ","  # between thousands
    group_is_blank: bool = False  # "1 000"
    decimal: str = "."
    words: Mapping[str, str] = field(default_factory=dict)
    signs: Mapping[str, str] = field(default_factory=dict)  # at the front of a number
    symbols: Mapping[str, str] = field(default_factory=dict)  # by themselves
    between: Mapping[str, str] = field(default_factory=dict)
    currencies: Mapping[str, list[str]] = field(default_factory=dict)
    scales: Mapping[str, str] = field(default_factory=dict)
    scale_words: str = ""
    units: Mapping[str, list[str]] = field(default_factory=dict)
    tight_units: str = ""
    per: Mapping[str, str] = field(default_factory=dict)
    months: str = ""
    short_months: Mapping[str, str] = field(default_factory=dict)
    weekdays: Mapping[str, str] = field(default_factory=dict)
    year_after: str = ""
    date: str = "{cardinal} {month} {year}"
    day: str = "{cardinal}"
    day_of_month: str = "{cardinal}"
    date_order: str = "dmy"
    time: str = "{hour} {minute}"
    time_sharp: str = "{hour}"
    time_of_day: str = "{hour}"
    time_seconds: str = "{second}"
    oh: str = ""
    hour_words: str = ""  # behind a time that says them already
    ordinal: str = ""  # what stands behind a number that is one, as a regular expression
    number_goes_on: bool = False  # "3. Mai": a full stop behind a number ends no sentence
    fractions: Mapping[str, str] = field(default_factory=dict)
    abbreviations: Mapping[str, str] = field(default_factory=dict)
    enders: str = ""  # abbreviations that a sentence may end with
    titles: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)
    counters: Mapping[str, str] = field(default_factory=dict)
    spelled: str = ""
    spelled_alone: str = ""
    acronyms: str = ""
    sounds_like: Mapping[str, str] = field(default_factory=dict)
    shouted: str = ""
    not_roman: str = ""
    silent: str = ""
    love: str = ""
    love_after: str = ""
    entities: Mapping[str, str] = field(default_factory=dict)
    domains: str = ""
    file_names: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return not self.words

    def word(self, name: str) -> str:
        return self.words.get(name, "")


@cache
def languages() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


@cache
def table_of(language: str) -> Table:
    """An empty one for a language that has none."""
    if language not in languages():
        return Table()
    path = _FOLDER / f"{language}.yaml"
    entries = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)
    unknown = entries.keys() - {each.name for each in fields(Table)}
    if unknown:
        raise ValueError(f"{path.name}: unknown key {min(unknown)!r}")
    return Table(**entries)


@cache
def words_of(text: str) -> frozenset[str]:
    return frozenset(text.split())
