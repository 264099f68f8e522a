"""Verbalization of numbers and what they count: money, percentages, units, ordinals, ranges and years."""

import re

from sayline_tts.engine.text.normalization.language_data import LanguageData, word_set
from sayline_tts.engine.text.normalization.number_parser import Number, NumberParser
from sayline_tts.engine.text.normalization.number_words import NumberWords
from sayline_tts.engine.text.normalization.token_context import TokenContext

_SIGN = r"(?:[<>]=|[-−–+~≈±<>=≤≥№§])"
_TO = r"\s?[-–—~]\s?"
_YEAR = re.compile(r"1\d{3}|20\d\d")
_RECENT_YEAR = re.compile(r"19\d\d|20\d\d")
_PLURAL = re.compile(r"['’]?s")


class QuantityVerbalizer:
    """Verbalizer of cardinals, ordinals, money, measures, ranges and bare years."""

    def __init__(self, data: LanguageData, number_words: NumberWords, parser: NumberParser) -> None:
        self._data = data
        self._number_words = number_words
        self._parser = parser
        number = parser.pattern
        currency = "|".join(re.escape(sign) for sign in sorted(data.currencies, key=len, reverse=True)) or r"(?!)"
        self._quantity = re.compile(rf"({_SIGN})?({currency})?({_SIGN})?({number})(.*)", re.ASCII | re.DOTALL)
        self._range_end = re.compile(rf"({currency})?({_TO})({currency})?({number})(.*)", re.ASCII | re.DOTALL)
        self._ordinal_suffix = re.compile(data.ordinal_suffixes or r"(?!)", re.IGNORECASE)
        self._scale_words = word_set(data.scale_words)
        self._attached_units = word_set(data.attached_units)
        self._year_cues = word_set(data.year_cues)

    def verbalize(self, context: TokenContext) -> str | None:
        """Return the spoken form of the core, or None if it is not of this class."""
        if self._is_currency_of_next(context) or self._parser.is_later_group(context):
            return ""  # verbalized with the number
        spoken = self._after_number(context)
        if spoken is not None:
            return spoken
        found = self._quantity.fullmatch(self._parser.join_groups(context))
        if found is None:
            return None
        sign, currency, inner_sign, digits, suffix = found.groups()
        number = self._parser.parse(digits)
        if not currency and not suffix:
            currency = self._adjoining_currency(context, number)
        unsigned = self._unsigned(context, number, currency, suffix, has_sign=bool(sign or inner_sign))
        if unsigned is None:
            return None
        return " ".join(filter(None, (self._data.number_signs.get(sign or inner_sign or "", ""), unsigned)))

    def _is_currency_of_next(self, context: TokenContext) -> bool:
        """Return whether the token is the currency in "€ 5", but not in "5 € 10"."""
        return (
            context.core in self._data.currencies
            and context.is_before_number
            and not context.token.trailing
            and not (context.previous.core[-1:].isdigit() and context.adjoins_previous)
        )

    def _adjoining_currency(self, context: TokenContext, number: Number) -> str | None:
        """Return the currency of "€ 5", and of "5,99 €", which is verbalized in two parts."""
        previous = TokenContext(context.tokens, max(0, context.index - 1))
        if context.adjoins_previous and self._is_currency_of_next(previous):
            return context.previous.core
        last = self._parser.last_group(context)
        return last.next.core if self._has_hundredths(last, number) else None

    def _has_hundredths(self, context: TokenContext, number: Number) -> bool:
        currency_forms = self._data.currencies.get(context.next.core, ())
        return len(number.fraction) == 2 and context.adjoins_next and len(currency_forms) > 2

    def _decimal(self, number: Number) -> str:
        return self._number_words.decimal(number.integer, number.fraction)

    def _money(self, number: Number, currency: str, scale: str = "") -> str:
        one, many, *cents = self._data.currencies[currency]
        if scale:
            return f"{self._decimal(number)} {scale} {many}"
        if len(number.fraction) == 2 and cents:
            spoken = []
            if int(number.integer) or not int(number.fraction):
                unit = one if number.integer == "1" else many
                spoken.append(f"{self._number_words.cardinal(number.integer)} {unit}")
            if int(number.fraction):
                hundredths = number.fraction.lstrip("0")
                unit = cents[0] if hundredths == "1" else cents[1]
                spoken.append(f"{self._number_words.cardinal(hundredths)} {unit}")
            return f" {self._data.word('and')} ".join(spoken)
        return f"{self._decimal(number)} {one if number.is_one else many}"

    def _unsigned(
        self, context: TokenContext, number: Number, currency: str | None, suffix: str, has_sign: bool
    ) -> str | None:
        if found := self._range_end.fullmatch(suffix):
            return self._range(context, number, currency, found)
        if currency:
            return self._money_with_suffix(context, number, currency, suffix)
        if not suffix:
            return self._bare_number(context, number, has_sign)
        if _PLURAL.fullmatch(suffix) and number.is_plain and self._is_decade(context, number.integer):
            return self._plural(number.integer)
        if suffix in self._data.scales and not number.fraction and self._is_in_name(context):
            return f"{self._decimal(number)} {suffix}"
        return self._number_with_suffix(number, suffix)

    def _is_in_name(self, context: TokenContext) -> bool:
        """Return whether a capitalized word is next to it: "Room 204B" and "221B Baker Street" are not billions."""
        after_name = context.adjoins_previous and context.previous.core[:1].isupper() and context.index > 1
        return after_name or (context.adjoins_next and context.next.core[:1].isupper())

    def _is_decade(self, context: TokenContext, digits: str) -> bool:
        """Return whether a number with "s" is a decade: "the 90s" is, "90s" is seconds."""
        is_quoted = context.token.leading.endswith(("'", "’"))
        if len(digits) == 2:
            return digits[1] == "0" and (is_quoted or context.previous.core.lower() in self._year_cues | {"the"})
        return _YEAR.fullmatch(digits) is not None and digits[3] == "0"

    def _range(
        self, context: TokenContext, start: Number, currency: str | None, range_end: re.Match[str]
    ) -> str | None:
        start_currency, _, end_currency, digits, suffix = range_end.groups()
        end = self._parser.parse(digits)
        currency = currency or start_currency or end_currency
        is_year = start.is_plain and _YEAR.fullmatch(start.integer) and not suffix and not currency
        if is_year and (_YEAR.fullmatch(end.integer) or len(end.integer) == 2):
            start_year = self._number_words.year(start.integer)
            end_year = (
                self._number_words.year(end.integer)
                if len(end.integer) == 4
                else self._number_words.cardinal(end.integer)
            )
            return f"{start_year} {self._data.word('to')} {end_year}"
        if currency:
            spoken_end = self._money_with_suffix(context, end, currency, suffix)
        else:
            spoken_end = self._number_with_suffix(end, suffix) if suffix else self._decimal(end)
        return spoken_end and f"{self._decimal(start)} {self._data.word('to')} {spoken_end}"

    def _money_with_suffix(self, context: TokenContext, number: Number, currency: str, suffix: str) -> str | None:
        scale_symbol, _, per = suffix.partition("/")
        scale_symbol, has_plus = scale_symbol.removesuffix("+"), scale_symbol.endswith("+")
        scale = self._data.scales.get(scale_symbol)
        if scale_symbol and scale is None and not scale_symbol.startswith("-"):
            return None
        if not suffix and context.adjoins_next and context.next.core in self._scale_words:
            return self._decimal(number)  # "$5 million": the currency follows the scale
        if scale_symbol.startswith("-"):
            return f"{self._decimal(number)} {scale_symbol[1:]} {self._data.currencies[currency][0]}"
        spoken = self._money(number, currency, scale or "")
        if has_plus:
            spoken += f" {self._data.word('plus')}"
        return f"{spoken} {self._rate(per)}" if per else spoken

    def _rate(self, unit: str) -> str:
        units = self._data.units
        name = self._data.per_units.get(unit) or (units[unit][0] if unit in units else unit)
        return f"{self._data.word('per')} {name}"

    def _bare_number(self, context: TokenContext, number: Number, has_sign: bool) -> str:
        if not has_sign and number.is_plain and self._is_year(context, number.integer):
            return self._number_words.year(number.integer)
        return self._decimal(number)

    def _is_year(self, context: TokenContext, digits: str) -> bool:
        if not _YEAR.fullmatch(digits):
            return False
        after = context.next.core
        if context.adjoins_next and (after in self._data.units or after in self._scale_words):
            return False
        return bool(_RECENT_YEAR.fullmatch(digits)) or context.previous.core.lower() in self._year_cues

    def _number_with_suffix(self, number: Number, suffix: str) -> str | None:
        """Verbalize a number and what follows it without a space."""
        data = self._data
        if suffix in data.units:
            return f"{self._decimal(number)} {self._unit(number, suffix)}"
        if suffix in data.scales:
            return f"{self._decimal(number)} {data.scales[suffix]}"
        if suffix in data.fractions:
            return f"{self._decimal(number)} {data.word('and')} {data.fractions[suffix]}"
        if suffix in data.currencies:
            return self._money(number, suffix)
        if self._ordinal_suffix.fullmatch(suffix) and number.is_plain:
            return self._number_words.ordinal(number.integer)
        if _PLURAL.fullmatch(suffix) and number.is_plain:
            return self._plural(number.integer)
        if suffix.endswith("+"):
            inner = suffix[:-1]
            if spoken := self._number_with_suffix(number, inner) if inner else self._decimal(number):
                return f"{spoken} {data.word('plus')}"
        unit, _, per = suffix.partition("/")
        if per.isalpha() and (not unit or unit in data.units or unit in data.scales):
            spoken = (self._number_with_suffix(number, unit) if unit else self._decimal(number)) or ""
            return f"{spoken} {self._rate(per)}"
        if suffix[0] in "-‑" and suffix[1:] in data.units:
            return f"{self._decimal(number)} {data.units[suffix[1:]][0]}"
        if suffix[0] in "-‑" and suffix[1:].replace("-", "").isalpha():
            return f"{self._decimal(number)}-{suffix[1:]}"
        return None

    def _plural(self, digits: str) -> str:
        """Verbalize "1990s" and "747s"."""
        is_decade = _YEAR.fullmatch(digits) and digits.endswith("0")
        spoken = self._number_words.year(digits) if is_decade else self._number_words.cardinal(digits)
        return f"{spoken[:-1]}ies" if spoken.endswith("y") else spoken + ("es" if spoken.endswith("x") else "s")

    def _after_number(self, context: TokenContext) -> str | None:
        """Verbalize a unit, a currency or a scale after a number: "5 km", "5 €", "$5 million"."""
        core = context.core
        is_unit = core in self._data.units and core not in self._attached_units
        is_currency = core in self._data.currencies
        is_scale = core in self._scale_words
        if not (is_unit or is_currency or is_scale) or not context.adjoins_previous:
            return None
        found = self._quantity.fullmatch(context.previous.core)
        if found is None:
            return self._currency_after_scale(context) if is_currency else None
        _, currency, _, digits, suffix = found.groups()
        range_end = self._range_end.fullmatch(suffix)
        if is_scale:
            currency = currency or (range_end and range_end[3])
            return f"{core} {self._data.currencies[currency][1]}" if currency else None
        if currency or (suffix and suffix not in self._data.scales and range_end is None):
            return None
        number = self._parser.parse(digits)
        if is_currency and not suffix and len(number.fraction) == 2 and len(self._data.currencies[core]) > 2:
            return ""
        if is_unit:
            return self._data.units[core][-1] if suffix else self._unit(number, core)
        return self._data.currencies[core][0 if number.is_one and not suffix else 1]

    def _currency_after_scale(self, context: TokenContext) -> str | None:
        is_after_scale = context.previous.core in self._scale_words
        return self._data.currencies[context.core][1] if is_after_scale else None

    def _unit(self, number: Number, unit: str) -> str:
        forms = self._data.units[unit]
        return forms[0] if number.is_one else forms[-1]
