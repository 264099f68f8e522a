"""Verbalization of dates and times of day."""

import re
import unicodedata

from sayline_tts.engine.text.normalization.language_data import LanguageData, word_set
from sayline_tts.engine.text.normalization.number_words import NumberWords
from sayline_tts.engine.text.normalization.token_context import Token, TokenContext

_TIME = re.compile(
    r"(\d{1,2})(?:[:h](\d\d)(?::(\d\d))?|h)?(?:\.\d+)?\s?(am|pm|a\.m|p\.m|AM|PM|A\.M|P\.M|Z|h)?", re.ASCII
)
_RANGE = re.compile(r"([^-–—]+)[-–—]([^-–—]+)")
_ISO_DATE = re.compile(r"(\d{4})-(\d\d)(?:-(\d\d))?(?:T(.+))?", re.ASCII)
_YEAR_FIRST_DATE = re.compile(r"([12]\d{3})([/.])(\d\d)\2(\d\d)", re.ASCII)
_SHORT_DATE = re.compile(r"(\d{1,2})([/.])(\d{1,2})", re.ASCII)
_YEAR_IN_FORMAT = re.compile(r",?( de)? \{year\}$")
_NUMERIC_DATE = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4}|\d\d)", re.ASCII)
_DAY = re.compile(r"(0?[1-9]|[12]\d|3[01])(st|nd|rd|th|er|º|ª|o|e)?", re.ASCII)
_YEAR = re.compile(r"['’]?(\d\d|[12]\d{3})", re.ASCII)
_PERIODS = {"am": "A M", "pm": "P M"}


class DateTimeVerbalizer:
    """Verbalizer of dates, times, months and weekdays."""

    def __init__(self, data: LanguageData, number_words: NumberWords) -> None:
        self._data = data
        self._number_words = number_words
        self._months = data.months.split()
        self._month_names = {name.lower(): name for name in self._months} | dict(data.month_abbreviations)
        self._short_date_format = _YEAR_IN_FORMAT.sub("", data.date_format)
        self._weekdays = {*data.weekday_abbreviations.values(), *word_set(data.weekdays)}
        self._date_cues = word_set(data.date_cues)
        self._weak_date_cues = word_set(data.weak_date_cues)
        self._fractions = {unicodedata.normalize("NFKC", sign).replace("⁄", "/") for sign in data.fractions}
        self._hour_words = word_set(data.hour_words)

    def verbalize(self, context: TokenContext) -> str | None:
        """Return the spoken form of the core, or None if it is not of this class."""
        core = context.core
        if core[0].isdigit():
            return (
                self.numeric_date(core)
                or self._short_date(context)
                or self._time(context)
                or self._day(context)
                or self._year(context)
            )
        if core in self._hour_words and context.adjoins_previous and self._clock_time(context.previous.core):
            return ""
        if core[0] in "'’" or context.token.leading.endswith(("'", "’")):
            return self._year(context)
        return self._month_or_weekday(context) or self._period(context)

    def numeric_date(self, core: str) -> str | None:
        """Return the spoken form of a date in digits, with its year; None for anything else."""
        if found := _ISO_DATE.fullmatch(core):
            year, month, day, time = found.groups()
            date = self.format_date(int(month), int(day) if day else None, year)
            clock_time = self._clock_time(time) if time else None
            return f"{date}, {clock_time}" if date and clock_time else date
        if found := _YEAR_FIRST_DATE.fullmatch(core):
            return self.format_date(int(found[3]), int(found[4]), found[1])
        if found := _NUMERIC_DATE.fullmatch(core):
            first, separator, second, year = found[1], found[2], found[3], found[4]
            if len(year) == 2 and separator != "/":
                return None
            month_first = self._data.date_order == "mdy" and separator != "." and int(first) <= 12
            month, day = (first, second) if month_first else (second, first)
            return self.format_date(int(month), int(day), year if len(year) == 4 else f"20{year}")
        return None

    def _short_date(self, context: TokenContext) -> str | None:
        """Verbalize a date without a year. "3/4" can also be a fraction, and "15.3" a version."""
        found = _SHORT_DATE.fullmatch(context.core)
        if found is None or not self._months or not self._is_short_date(context, found):
            return None
        first, second = int(found[1]), int(found[3])
        month_first = self._data.date_order == "mdy" and first <= 12
        month, day = (first, second) if month_first else (second, first)
        return self.month_and_day(month, day)

    def _is_short_date(self, context: TokenContext, found: re.Match[str]) -> bool:
        after, before = context.next.core, context.previous.core
        follows_cue = before.lower() in self._date_cues and context.adjoins_previous
        if found[2] == ".":
            return self._data.period_marks_ordinal and context.token.trailing[:1] == "." and follows_cue
        if context.adjoins_next and (after in self._data.units or after in word_set(self._data.fraction_words)):
            return False
        if follows_cue or before in self._weekdays or (found[1][0] == "0") != (found[3][0] == "0"):
            return True
        if found[1][0] == "0" or (after and _TIME.fullmatch(after) and not after.isdigit()):
            return True
        follows_weak_cue = before.lower() in self._weak_date_cues and context.adjoins_previous
        return follows_weak_cue and found[0] not in self._fractions and int(found[3]) not in (8, 10)

    def month_and_day(self, month: int, day: int) -> str | None:
        if not 1 <= month <= len(self._months) or not 1 <= day <= 31:
            return None
        return self._format_day(day, self._short_date_format, month=self._months[month - 1])

    def format_date(self, month: int, day: int | None, year: str) -> str | None:
        if not 1 <= month <= len(self._months) or not 1 <= (day or 1) <= 31:
            return None
        name, year = self._months[month - 1], self._number_words.year(year)
        if day is None:
            return f"{name} {year}"
        return self._format_day(day, self._data.date_format, month=name, year=year)

    def _format_day(self, day: int, template: str, **other: str) -> str:
        """Fill in a template. `{first}` is an ordinal on the first day of a month, and a cardinal on the others."""
        ordinal, cardinal = self._number_words.ordinal(str(day)), self._number_words.cardinal(str(day))
        return template.format(ordinal=ordinal, cardinal=cardinal, first=ordinal if day == 1 else cardinal, **other)

    def _time(self, context: TokenContext) -> str | None:
        core = context.core
        if (times := _RANGE.fullmatch(core)) and (":" in core or core.lower().endswith(("am", "pm"))):
            start, end = self._clock_time(times[1], allow_bare_hour=True), self._clock_time(times[2])
            return f"{start} {self._data.word('to')} {end}" if start and end else None
        period_follows = self._is_period(context.next) and context.adjoins_next
        return self._clock_time(core, period_follows=period_follows)

    def _clock_time(self, written: str, period_follows: bool = False, allow_bare_hour: bool = False) -> str | None:
        """Verbalize a time. `allow_bare_hour` accepts a number without minutes and period, as in "9-5pm"."""
        found = _TIME.fullmatch(written)
        if found is None:
            return None
        hour, minute, second = int(found[1]), found[2], found[3]
        period = (found[4] or "").lower().replace(".", "")
        needs_no_minutes = period in _PERIODS or period_follows or allow_bare_hour
        if hour > 24 or int(minute or 0) > 59 or (minute is None and not needs_no_minutes):
            return None
        if minute is None and period == "h":
            return None
        spoken = self._hour_and_minute(hour, int(minute or 0), needs_no_minutes)
        if second:
            spoken += " " + self._data.seconds_format.format(second=self._number_words.cardinal(str(int(second))))
        return f"{spoken} {_PERIODS[period]}" if period in _PERIODS else spoken

    def _hour_and_minute(self, hour: int, minute: int, needs_no_minutes: bool) -> str:
        data, cardinal = self._data, self._number_words.cardinal
        if minute:
            spoken_minute = cardinal(str(minute))
            if minute < 10 and data.leading_zero:
                spoken_minute = f"{data.leading_zero} {spoken_minute}"
            return data.time_format.format(hour=cardinal(str(hour)), minute=spoken_minute)
        if needs_no_minutes:
            return data.hour_format.format(hour=cardinal(str(hour)))
        if hour > 12 and data.leading_zero:
            return f"{cardinal(str(hour))} hundred"
        return data.full_hour_format.format(hour=cardinal(str(hour)))

    def _is_period(self, token: Token) -> bool:
        """Return whether a token is "am" or "pm"."""
        return token.core.lower().replace(".", "") in _PERIODS and self._data.leading_zero != ""

    def _period(self, context: TokenContext) -> str | None:
        """Verbalize "pm" after a time."""
        if self._is_period(context.token) and context.adjoins_previous and _TIME.fullmatch(context.previous.core):
            return _PERIODS[context.core.lower().replace(".", "")]
        return None

    def _month_or_weekday(self, context: TokenContext) -> str | None:
        """Verbalize the abbreviations of weekdays, and those of months next to a number."""
        data, key = self._data, context.token.abbreviation_key
        if key in data.weekday_abbreviations and context.core[0].isupper():
            return data.weekday_abbreviations[key]
        name = data.month_abbreviations.get(context.core.lower())
        if name is None or not context.core[0].isupper():
            return None
        after, before = context.next.core, context.previous.core
        is_date = _DAY.fullmatch(after) or _YEAR.fullmatch(after) or _DAY.fullmatch(before)
        return name if is_date else None

    def _is_month(self, token: Token) -> bool:
        return token.core[:1].isupper() and token.core.lower() in self._month_names

    def _day(self, context: TokenContext) -> str | None:
        found = _DAY.fullmatch(context.core)
        if found is None or not self._months:
            return None
        day = int(found[1])
        if self._is_month(context.previous) and context.previous.trailing in ("", "."):
            return self._format_day(day, self._data.day_format)
        if self._data.period_marks_ordinal and context.token.trailing == "." and self._is_month(context.next):
            return self._format_day(day, self._data.day_of_month_format)
        if self._is_month(context.next) and context.token.trailing in ("", "."):
            spoken = self._format_day(day, self._data.day_of_month_format)
            return spoken.removeprefix("the ") if context.previous.core.lower() == "the" else spoken
        return None

    def _year(self, context: TokenContext) -> str | None:
        """Verbalize the year of a date: "May 2024", "May 3, 2024", "Sep '24"."""
        found = _YEAR.fullmatch(context.core)
        if found is None or (len(found[1]) == 2 and not (context.token.leading or context.core[0] in "'’")):
            return None
        follows_day = _DAY.fullmatch(context.previous.core) is not None and self._is_month(context.preceding(2))
        if self._is_month(context.previous) or follows_day:
            return self._number_words.year(found[1]) if len(found[1]) == 4 else self._number_words.cardinal(found[1])
        return None
