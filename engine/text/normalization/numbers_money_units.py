"""Numbers and what they count: money, percent, units, ordinals, ranges, years."""

import re
from dataclasses import dataclass

from sayline_tts.engine.text.normalization.language_data import Table, words_of
from sayline_tts.engine.text.normalization.number_words import Numerals
from sayline_tts.engine.text.normalization.token_context import Sight

_SIGN = r"(?:[<>]=|[-−–+~≈±<>=≤≥№§])"
_TO = r"\s?[-–—~]\s?"
_YEAR = re.compile(r"1\d{3}|20\d\d")
_RECENT = re.compile(r"19\d\d|20\d\d")
_FIRST_GROUP = re.compile(r"\d{1,3}", re.ASCII)
_GROUP = re.compile(r"\d{3}", re.ASCII)
_MOST_GROUPS = 5
_PLURAL = re.compile(r"['’]?s")


@dataclass(frozen=True)
class Number:
    whole: str  # digits only
    part: str  # decimals
    grouped: bool

    @property
    def is_one(self) -> bool:
        return self.whole == "1" and not self.part

    @property
    def is_plain(self) -> bool:
        return not self.part and not self.grouped


class Amounts:
    def __init__(self, table: Table, numerals: Numerals) -> None:
        self._table = table
        self._numerals = numerals
        group, decimal = re.escape(table.group), re.escape(table.decimal)
        other = rf"\d{{1,3}}(?:{decimal}\d{{3}})+{group}\d{{1,2}}(?!\d)"  # as half of the world writes it
        grouped = rf"\d{{1,3}}(?:[{group}\u00a0\u202f’]\d{{3}})+(?:{decimal}\d+)?(?!\d)"
        number = rf"{other}|{grouped}|\d+(?:{decimal}\d+)?|{decimal}\d+"
        money = "|".join(re.escape(sign) for sign in sorted(table.currencies, key=len, reverse=True)) or r"(?!)"
        self._amount = re.compile(rf"({_SIGN})?({money})?({_SIGN})?({number})(.*)", re.ASCII | re.DOTALL)
        self._range = re.compile(rf"({money})?({_TO})({money})?({number})(.*)", re.ASCII | re.DOTALL)
        self._ordinal = re.compile(table.ordinal or r"(?!)", re.IGNORECASE)
        self._scale_words = words_of(table.scale_words)
        self._tight = words_of(table.tight_units)
        self._year_after = words_of(table.year_after)

    def say(self, sight: Sight) -> str | None:
        """None where it is no amount, or one that nobody has thought of."""
        if self._is_sign_of_next(sight) or self._is_group(sight):
            return ""  # the number says it
        said = self._behind_number(sight)
        if said is not None:
            return said
        found = self._amount.fullmatch(self._with_groups(sight))
        if found is None:
            return None
        sign, money, sign_inside, digits, rest = found.groups()
        number = self.number(digits)
        if not money and not rest:
            money = self._money_beside(sight, number)
        words = self._counted(sight, number, money, rest, alone=not (sign or sign_inside))
        if words is None:
            return None
        return " ".join(filter(None, (self._table.signs.get(sign or sign_inside or "", ""), words)))

    def _is_sign_of_next(self, sight: Sight) -> bool:
        """ "€ 5", and not the one of "5 € 10"."""
        return (
            sight.core in self._table.currencies
            and sight.touches_number_after
            and not sight.term.trail
            and not (sight.before.core[-1:].isdigit() and sight.touches_before)
        )

    def _money_beside(self, sight: Sight, number: Number) -> str | None:
        """Of "€ 5", and of "5,99 €", which is said in two parts."""
        if sight.touches_before and self._is_sign_of_next(Sight(sight.terms, max(0, sight.at - 1))):
            return sight.before.core
        return sight.after.core if self._is_sign_of_cents(sight, number) else None

    def _is_sign_of_cents(self, sight: Sight, number: Number) -> bool:
        return (
            len(number.part) == 2 and sight.touches_after and len(self._table.currencies.get(sight.after.core, ())) > 2
        )

    def _is_group(self, sight: Sight) -> bool:
        """The second half of "1 000"."""
        groups = self._groups(sight)
        return len(groups) > 1 and groups[0] != sight.at

    def _with_groups(self, sight: Sight) -> str:
        """A number with the groups behind it that its language writes with blanks."""
        groups = self._groups(sight)
        return "".join(sight.terms[at].core for at in groups) if len(groups) > 1 else sight.core

    def _groups(self, sight: Sight) -> range:
        """Where the words of one number stand. More than a few are no number that anybody would write."""
        terms, first, behind = sight.terms, sight.at, sight.at + 1
        if not (self._table.group_is_blank and _FIRST_GROUP.fullmatch(sight.core)):
            return range(first, behind)
        while first and _GROUP.fullmatch(terms[first].core) and terms[first].touches(terms[first - 1]):
            if not _FIRST_GROUP.fullmatch(terms[first - 1].core) or behind - first > _MOST_GROUPS:
                break
            first -= 1
        while behind < len(terms) and _GROUP.fullmatch(terms[behind].core) and terms[behind].touches(terms[behind - 1]):
            if behind - first > _MOST_GROUPS:
                break
            behind += 1
        good = behind - first <= _MOST_GROUPS and terms[first].core[0] != "0"
        return range(first, behind) if good else range(sight.at, sight.at + 1)

    def number(self, digits: str) -> Number:
        decimal, group = self._table.decimal, self._table.group
        if group in digits and digits.rfind(decimal) < digits.rfind(group) and decimal in digits:
            decimal = group
        whole, _, part = digits.rpartition(decimal) if decimal in digits else (digits, "", "")
        return Number("".join(filter(str.isdigit, whole)) or "0", part, not whole.isdigit() and whole != "")

    def plain(self, number: Number) -> str:
        return self._numerals.decimal(number.whole, number.part)

    def money(self, number: Number, sign: str, scale: str = "") -> str:
        one, many, *cents = self._table.currencies[sign]
        if scale:
            return f"{self.plain(number)} {scale} {many}"
        if len(number.part) == 2 and cents:
            said = []
            if int(number.whole) or not int(number.part):
                said.append(f"{self._numerals.cardinal(number.whole)} {one if number.whole == '1' else many}")
            if int(number.part):
                hundredths = number.part.lstrip("0")
                said.append(f"{self._numerals.cardinal(hundredths)} {cents[0] if hundredths == '1' else cents[1]}")
            return f" {self._table.word('and')} ".join(said)
        return f"{self.plain(number)} {one if number.is_one else many}"

    def year(self, digits: str) -> str:
        return self._numerals.year(digits)

    def _counted(self, sight: Sight, number: Number, money: str | None, rest: str, alone: bool) -> str | None:
        if found := self._range.fullmatch(rest):
            return self._from_to(sight, number, money, found)
        if money:
            return self._paid(sight, number, money, rest)
        if not rest:
            return self._bare(sight, number, alone)
        if _PLURAL.fullmatch(rest) and number.is_plain and self._is_decade(sight, number.whole):
            return self._plural(number.whole)
        if rest in self._table.scales and not number.part and self._is_named(sight):
            return f"{self.plain(number)} {rest}"
        return self._with_rest(number, rest)

    def _is_named(self, sight: Sight) -> bool:
        """ "Room 204B", "221B Baker Street": no billions."""
        before = sight.touches_before and sight.before.core[:1].isupper() and sight.at > 1
        return before or (sight.touches_after and sight.after.core[:1].isupper())

    def _is_decade(self, sight: Sight, digits: str) -> bool:
        """ "90s" are seconds, "the 90s" are years."""
        quoted = sight.term.lead.endswith(("'", "’"))
        if len(digits) == 2:
            return digits[1] == "0" and (quoted or sight.before.core.lower() in self._year_after | {"the"})
        return _YEAR.fullmatch(digits) is not None and digits[3] == "0"

    def _from_to(self, sight: Sight, number: Number, money: str | None, found: re.Match[str]) -> str | None:
        _, _, money_again, digits, rest = found.groups()
        last = self.number(digits)
        money = money or found[1] or money_again
        years = number.is_plain and _YEAR.fullmatch(number.whole) and not rest and not money
        if years and (_YEAR.fullmatch(last.whole) or len(last.whole) == 2):
            first = self.year(number.whole)
            second = self.year(last.whole) if len(last.whole) == 4 else self._numerals.cardinal(last.whole)
            return f"{first} {self._table.word('to')} {second}"
        if money:
            second_said = self._paid(sight, last, money, rest)
        else:
            second_said = self._with_rest(last, rest) if rest else self.plain(last)
        return second_said and f"{self.plain(number)} {self._table.word('to')} {second_said}"

    def _paid(self, sight: Sight, number: Number, money: str, rest: str) -> str | None:
        amount, _, per = rest.partition("/")
        amount, plus = amount.removesuffix("+"), amount.endswith("+")
        scale = self._table.scales.get(amount)
        if amount and scale is None and not amount.startswith("-"):
            return None
        if not rest and sight.touches_after and sight.after.core in self._scale_words:
            return self.plain(number)  # "$5 million": the currency comes behind the million
        if amount.startswith("-"):
            return f"{self.plain(number)} {amount[1:]} {self._table.currencies[money][0]}"
        said = self.money(number, money, scale or "")
        if plus:
            said += f" {self._table.word('plus')}"
        return f"{said} {self._per(per)}" if per else said

    def _per(self, what: str) -> str:
        units = self._table.units
        return f"{self._table.word('per')} {self._table.per.get(what) or (units[what][0] if what in units else what)}"

    def _bare(self, sight: Sight, number: Number, alone: bool) -> str:
        if alone and number.is_plain and self._is_year(sight, number.whole):
            return self.year(number.whole)
        return self.plain(number)

    def _is_year(self, sight: Sight, digits: str) -> bool:
        if not _YEAR.fullmatch(digits):
            return False
        after = sight.after.core
        if sight.touches_after and (after in self._table.units or after in self._scale_words):
            return False
        return bool(_RECENT.fullmatch(digits)) or sight.before.core.lower() in self._year_after

    def _with_rest(self, number: Number, rest: str) -> str | None:
        """What is written right behind it."""
        table = self._table
        if rest in table.units:
            return f"{self.plain(number)} {self._unit(number, rest)}"
        if rest in table.scales:
            return f"{self.plain(number)} {table.scales[rest]}"
        if rest in table.fractions:
            return f"{self.plain(number)} {table.word('and')} {table.fractions[rest]}"
        if rest in table.currencies:
            return self.money(number, rest)
        if self._ordinal.fullmatch(rest) and number.is_plain:
            return self._numerals.ordinal(number.whole)
        if _PLURAL.fullmatch(rest) and number.is_plain:
            return self._plural(number.whole)
        if rest.endswith("+") and (said := self._with_rest(number, rest[:-1]) if rest[:-1] else self.plain(number)):
            return f"{said} {table.word('plus')}"
        unit, _, per = rest.partition("/")
        if per.isalpha() and (not unit or unit in table.units or unit in table.scales):
            said = (self._with_rest(number, unit) if unit else self.plain(number)) or ""
            return f"{said} {self._per(per)}"
        if rest[0] in "-‑" and rest[1:] in table.units:
            return f"{self.plain(number)} {table.units[rest[1:]][0]}"
        if rest[0] in "-‑" and rest[1:].replace("-", "").isalpha():
            return f"{self.plain(number)}-{rest[1:]}"
        return None

    def _plural(self, digits: str) -> str:
        """ "1990s", "747s"."""
        decade = _YEAR.fullmatch(digits) and digits.endswith("0")
        said = self.year(digits) if decade else self._numerals.cardinal(digits)
        return f"{said[:-1]}ies" if said.endswith("y") else said + ("es" if said.endswith("x") else "s")

    def _behind_number(self, sight: Sight) -> str | None:
        """A unit, or "million" behind money: "5 km", "$5 million"."""
        core = sight.core
        is_unit = core in self._table.units and core not in self._tight
        is_money = core in self._table.currencies
        is_scale = core in self._scale_words
        if not (is_unit or is_money or is_scale) or not sight.touches_before:
            return None
        found = self._amount.fullmatch(sight.before.core)
        if found is None:
            return self._behind_scale(sight) if is_money else None
        _, money, _, digits, rest = found.groups()
        range_ends = self._range.fullmatch(rest)
        if is_scale:
            money = money or (range_ends and range_ends[3])
            return f"{core} {self._table.currencies[money][1]}" if money else None
        if money or (rest and rest not in self._table.scales and range_ends is None):
            return None
        number = self.number(digits)
        if is_money and not rest and len(number.part) == 2 and len(self._table.currencies[core]) > 2:
            return ""
        if is_unit:
            return self._table.units[core][-1] if rest else self._unit(number, core)
        return self._table.currencies[core][0 if number.is_one and not rest else 1]

    def _behind_scale(self, sight: Sight) -> str | None:
        return self._table.currencies[sight.core][1] if sight.before.core in self._scale_words else None

    def _unit(self, number: Number, unit: str) -> str:
        forms = self._table.units[unit]
        return forms[0] if number.is_one else forms[-1]
