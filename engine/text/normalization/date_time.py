"""Dates and times of day."""

import re

from sayline_tts.engine.text.normalization.language_data import Table, words_of
from sayline_tts.engine.text.normalization.number_words import Numerals
from sayline_tts.engine.text.normalization.token_context import Sight, Term

_TIME = re.compile(
    r"(\d{1,2})(?:[:h](\d\d)(?::(\d\d))?|h)?(?:\.\d+)?\s?(am|pm|a\.m|p\.m|AM|PM|A\.M|P\.M|Z|h)?", re.ASCII
)
_SPAN = re.compile(r"([^-–—]+)[-–—]([^-–—]+)")
_ISO = re.compile(r"(\d{4})-(\d\d)(?:-(\d\d))?(?:T(.+))?", re.ASCII)
_NUMERIC = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4}|\d\d)", re.ASCII)
_DAY = re.compile(r"(0?[1-9]|[12]\d|3[01])(st|nd|rd|th|er|º|ª|o|e)?", re.ASCII)
_YEAR = re.compile(r"['’]?(\d\d|[12]\d{3})", re.ASCII)
_HALVES = {"am": "A M", "pm": "P M"}


class Moments:
    def __init__(self, table: Table, numerals: Numerals) -> None:
        self._table = table
        self._numerals = numerals
        self._months = table.months.split()
        self._month_names = {name.lower(): name for name in self._months} | dict(table.short_months)
        self._hour_words = words_of(table.hour_words)

    def say(self, sight: Sight) -> str | None:
        core = sight.core
        if core[0].isdigit():
            return self._date(core) or self._time(sight, core) or self._day(sight) or self._year(sight)
        if core in self._hour_words and sight.touches_before and self._clock(sight.before.core):
            return ""
        if core[0] in "'’" or sight.term.lead.endswith(("'", "’")):
            return self._year(sight)
        return self._month(sight) or self._half(sight)

    def _date(self, core: str) -> str | None:
        if found := _ISO.fullmatch(core):
            year, month, day, time = found.groups()
            said = self._written_out(int(month), int(day) if day else None, year)
            clock = self._clock(time) if time else None
            return f"{said}, {clock}" if said and clock else said
        if found := _NUMERIC.fullmatch(core):
            first, mark, second, year = found[1], found[2], found[3], found[4]
            if len(year) == 2 and mark != "/":
                return None
            month_first = self._table.date_order == "mdy" and mark != "." and int(first) <= 12
            month, day = (first, second) if month_first else (second, first)
            return self._written_out(int(month), int(day), year if len(year) == 4 else f"20{year}")
        return None

    def _written_out(self, month: int, day: int | None, year: str) -> str | None:
        if not 1 <= month <= len(self._months) or not 1 <= (day or 1) <= 31:
            return None
        name, year = self._months[month - 1], self._numerals.year(year)
        if day is None:
            return f"{name} {year}"
        return self._day_words(day, self._table.date, month=name, year=year)

    def _day_words(self, day: int, template: str, **more: str) -> str:
        """`{first}` is an ordinal on the first of a month only."""
        ordinal, cardinal = self._numerals.ordinal(str(day)), self._numerals.cardinal(str(day))
        return template.format(ordinal=ordinal, cardinal=cardinal, first=ordinal if day == 1 else cardinal, **more)

    def _time(self, sight: Sight, core: str) -> str | None:
        if (span := _SPAN.fullmatch(core)) and (":" in core or core.lower().endswith(("am", "pm"))):
            first, last = self._clock(span[1], bare=True), self._clock(span[2])
            return f"{first} {self._table.word('to')} {last}" if first and last else None
        half_follows = self._is_half(sight.after) and sight.touches_after
        return self._clock(core, half_follows=half_follows)

    def _clock(self, written: str, half_follows: bool = False, bare: bool = False) -> str | None:
        """`bare`: a number alone is an hour, as in "9-5pm"."""
        found = _TIME.fullmatch(written)
        if found is None:
            return None
        hour, minute, second, half = int(found[1]), found[2], found[3], (found[4] or "").lower().replace(".", "")
        if (
            hour > 24
            or int(minute or 0) > 59
            or (minute is None and half not in _HALVES and not (bare or half_follows))
        ):
            return None
        if minute is None and half == "h":
            return None
        said = self._hour_and_minute(hour, int(minute or 0), half in _HALVES or half_follows or bare)
        if second:
            said += " " + self._table.time_seconds.format(second=self._numerals.cardinal(str(int(second))))
        return f"{said} {_HALVES[half]}" if half in _HALVES else said

    def _hour_and_minute(self, hour: int, minute: int, of_day: bool) -> str:
        table, words = self._table, self._numerals.cardinal
        if minute:
            said = words(str(minute))
            if minute < 10 and table.oh:
                said = f"{table.oh} {said}"
            return table.time.format(hour=words(str(hour)), minute=said)
        if of_day:
            return table.time_of_day.format(hour=words(str(hour)))
        if hour > 12 and table.oh:
            return f"{words(str(hour))} hundred"
        return table.time_sharp.format(hour=words(str(hour)))

    def _is_half(self, term: Term) -> bool:
        return term.core.lower().replace(".", "") in _HALVES and self._table.oh != ""

    def _half(self, sight: Sight) -> str | None:
        """ "pm" behind a time."""
        if self._is_half(sight.term) and sight.touches_before and _TIME.fullmatch(sight.before.core):
            return _HALVES[sight.core.lower().replace(".", "")]
        return None

    def _month(self, sight: Sight) -> str | None:
        """ "Jan.", and "Sep" beside a number."""
        table, dotted = self._table, sight.term.dotted
        if dotted in table.weekdays and sight.core[0].isupper():
            return table.weekdays[dotted]
        name = table.short_months.get(sight.core.lower())
        if name is None or not sight.core[0].isupper():
            return None
        beside = (
            _DAY.fullmatch(sight.after.core) or _YEAR.fullmatch(sight.after.core) or _DAY.fullmatch(sight.before.core)
        )
        return name if beside else None

    def _is_month(self, term: Term) -> bool:
        return term.core[:1].isupper() and term.core.lower() in self._month_names

    def _day(self, sight: Sight) -> str | None:
        found = _DAY.fullmatch(sight.core)
        if found is None or not self._months:
            return None
        day = int(found[1])
        if self._is_month(sight.before) and sight.before.trail in ("", "."):
            return self._day_words(day, self._table.day)
        if self._table.number_goes_on and sight.term.trail == "." and self._is_month(sight.after):
            return self._day_words(day, self._table.day_of_month)
        if self._is_month(sight.after) and sight.term.trail in ("", ".") and self._is_date_behind(sight):
            said = self._day_words(day, self._table.day_of_month)
            return said.removeprefix("the ") if sight.before.core.lower() == "the" else said
        return None

    def _is_date_behind(self, sight: Sight) -> bool:
        """ "May" and "March" are words, too: only a date if a year or nothing else stands behind them."""
        return sight.after.core not in ("May", "March") or not sight.after.core.islower()

    def _year(self, sight: Sight) -> str | None:
        """Behind a month: "May 2024", "May 3, 2024", "Sep '24"."""
        found = _YEAR.fullmatch(sight.core)
        if found is None or (len(found[1]) == 2 and not (sight.term.lead or sight.core[0] in "'’")):
            return None
        behind_day = _DAY.fullmatch(sight.before.core) is not None and self._is_month(sight.back(2))
        if self._is_month(sight.before) or behind_day:
            return self._numerals.year(found[1]) if len(found[1]) == 4 else self._numerals.cardinal(found[1])
        return None
