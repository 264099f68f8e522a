"""Verbalization of numbers that are no quantities, digit by digit: codes, postal codes and telephone numbers."""

import re

from sayline_tts.engine.text.normalization.language_data import LanguageData, word_set
from sayline_tts.engine.text.normalization.number_words import NumberWords
from sayline_tts.engine.text.normalization.token_context import Token, TokenContext

_DIGITS = re.compile(r"\d{2,19}", re.ASCII)
_GROUP = re.compile(r"\+?\d{1,8}", re.ASCII)
_EXTENDED_POSTAL_CODE = re.compile(r"\d{5}-\d{4}", re.ASCII)
_LOCAL_NUMBER = re.compile(r"0\d{8,10}", re.ASCII)
_GROUP_LENGTHS = {6: (3, 3), 7: (3, 4), 8: (4, 4), 10: (3, 3, 4), 11: (5, 3, 3), 12: (4, 4, 4), 16: (4, 4, 4, 4)}
_AMERICAN = {(3, 3, 4), (1, 3, 3, 4)}
_MAX_RUN_TOKENS = 7
_MAX_FILLERS = 5
_MAX_PHRASE_TOKENS = 6
_MIN_CODE_DIGITS, _MIN_REFERENCE_DIGITS, _MIN_TELEPHONE_DIGITS = 3, 4, 7
_POSTAL_CODE_DIGITS = 5


class DigitSequenceVerbalizer:
    """Verbalizer of digits that stand for themselves.

    Words around them decide: "code" or "PIN" in the same phrase, "order" or "account number" just before them, "call"
    before a telephone number. Telephone numbers in groups are known by a "+", a leading zero, or American groups.
    """

    def __init__(self, data: LanguageData, number_words: NumberWords) -> None:
        self._data = data
        self._number_words = number_words
        self._codes = word_set(data.code_words)
        self._references = word_set(data.reference_words)
        self._fillers = word_set(data.code_fillers)
        self._copulas = word_set(data.code_copulas)
        self._possessives = word_set(data.possessives)
        self._verb_cues = word_set(data.words_before_verbs)
        self._calls = word_set(data.call_words)
        self._short_numbers = word_set(data.short_telephone_numbers)
        self._regions = word_set(data.postal_regions)
        self._clause_starts = word_set(data.line_joining_words) & word_set(data.clause_conjunctions)
        self._quantity_words = word_set(data.scale_words) | data.units.keys() | data.currencies.keys()

    def verbalize(self, context: TokenContext) -> str | None:
        """Return the spoken form of the core, or None if it is not of this class."""
        core = context.core
        if not _GROUP.fullmatch(core) and not _DIGITS.fullmatch(core):
            is_postal_code = self._regions and _EXTENDED_POSTAL_CODE.fullmatch(core)
            return self._join(core.split("-")) if is_postal_code else None
        run = self._run(context)
        if self._is_telephone_number([context.tokens[i].core for i in run], context, run):
            spoken = self._telephone_group(core)
            is_last = context.index == run[-1] or context.token.trailing
            return spoken if is_last else f"{spoken},"
        if not _DIGITS.fullmatch(core) or len(run) > 1 or self._is_quantity(context):
            return None
        if _LOCAL_NUMBER.fullmatch(core) or self._is_called(context) or self._is_code(context):
            return self._join(digit_groups(core))
        return None

    def _join(self, groups: list[str]) -> str:
        return ", ".join(map(self._number_words.digits, groups))

    def _run(self, context: TokenContext) -> range:
        """Return the indices of the adjoining tokens of digits around the current one."""
        tokens, start, stop = context.tokens, context.index, context.index + 1
        while start and stop - start <= _MAX_RUN_TOKENS and _adjoins(tokens[start - 1], tokens[start]):
            start -= 1
        while stop < len(tokens) and stop - start <= _MAX_RUN_TOKENS and _adjoins(tokens[stop - 1], tokens[stop]):
            stop += 1
        return range(start, stop)

    def _is_telephone_number(self, groups: list[str], context: TokenContext, run: range) -> bool:
        if not 2 <= len(groups) <= _MAX_RUN_TOKENS or any("+" in group for group in groups[1:]):
            return False
        lengths = tuple(len(group.lstrip("+")) for group in groups)
        if not _MIN_TELEPHONE_DIGITS <= sum(lengths) <= 15:
            return False
        if groups[0][0] == "+" or (lengths in _AMERICAN and groups[-3][0] not in "01"):
            return True
        has_local_prefix = groups[0][0] == "0" and lengths[0] >= 2 and sum(lengths) >= 9
        return min(lengths) >= 2 and (has_local_prefix or self._follows_call(TokenContext(context.tokens, run[0])))

    def _telephone_group(self, group: str) -> str:
        plus, digits = group.startswith("+"), group.removeprefix("+")
        is_pair = self._data.telephone_pairs and len(digits) == 2
        spoken = self._number_words.cardinal(digits) if is_pair and not plus else self._number_words.digits(digits)
        return f"{self._data.word('plus')} {spoken}" if plus else spoken

    def _is_quantity(self, context: TokenContext) -> bool:
        return context.adjoins_next and context.next.core in self._quantity_words

    def _is_called(self, context: TokenContext) -> bool:
        """Return whether "call" precedes a number that can be a telephone number."""
        core = context.core
        is_long = len(core) >= _MIN_TELEPHONE_DIGITS and not core.endswith("000")
        return (is_long or core in self._short_numbers) and self._follows_call(context)

    def _follows_call(self, context: TokenContext) -> bool:
        """Return whether the number follows "call", "Tel." or "phone number is"."""
        before = context.previous.core.lower()
        if before in self._fillers | self._copulas:
            before = next((word for word in self._words_before(context) if word not in self._fillers), "")
        return before in self._calls

    def _words_before(self, context: TokenContext) -> list[str]:
        words = [context.preceding(distance).core.lower() for distance in range(1, _MAX_FILLERS + 1)]
        return [word for word in words if word not in self._copulas]

    def _is_code(self, context: TokenContext) -> bool:
        digits, before = context.core, context.previous
        if len(digits) == _POSTAL_CODE_DIGITS and before.core in self._regions and context.adjoins_previous:
            return True
        if len(digits) < _MIN_CODE_DIGITS:
            return False
        return self._follows_reference(context) or self._follows_code(context) or self._precedes_code(context)

    def _follows_reference(self, context: TokenContext) -> bool:
        """Return whether "order", "invoice number:" or "my number is" precedes, with nothing else between."""
        if len(context.core) < _MIN_REFERENCE_DIGITS:
            return False
        distance, has_number = 1, False
        while distance <= _MAX_FILLERS and context.preceding(distance).core.lower() in self._fillers | self._copulas:
            has_number |= context.preceding(distance).core.lower() == self._data.word("number")
            distance += 1
        cue, before = context.preceding(distance).core.lower(), context.preceding(distance + 1).core.lower()
        if has_number and (cue in self._possessives or cue in self._references):
            return True
        if cue not in self._references or before in self._verb_cues:
            return False
        after = context.next.core
        is_counted = context.adjoins_next and after.islower() and after.endswith("s") and after not in self._copulas
        return has_number or not is_counted

    def _follows_code(self, context: TokenContext) -> bool:
        """Return whether "code" precedes immediately, or in "the code for the door is"."""
        has_copula = False
        for distance in range(1, _MAX_PHRASE_TOKENS + 2):
            token = context.preceding(distance)
            word = token.core.lower()
            if not word or (distance > 1 and token.trailing not in ("", ":", ".")) or word in self._clause_starts:
                return False
            if word in self._codes:
                return distance == 1 or has_copula or self._only_fillers(context, distance)
            if word in self._copulas:
                if has_copula:
                    return False
                has_copula = distance == 1
                if not has_copula:
                    return False
        return False

    def _only_fillers(self, context: TokenContext, distance: int) -> bool:
        return all(context.preceding(i).core.lower() in self._fillers for i in range(1, distance))

    def _precedes_code(self, context: TokenContext) -> bool:
        """Return whether "is your code" or "as your PIN" follows."""
        if not context.adjoins_next or context.next.core.lower() not in self._copulas:
            return False
        for distance in range(2, _MAX_PHRASE_TOKENS):
            token = context.following(distance)
            if token.core.lower() in self._codes:
                return True
            if token.trailing or not token.core.isalpha():
                return False
        return False


def _adjoins(left: Token, right: Token) -> bool:
    is_joined = left.trailing in ("", ")") and right.leading in ("", "(")
    return is_joined and bool(_GROUP.fullmatch(left.core)) and bool(_GROUP.fullmatch(right.core))


def digit_groups(digits: str) -> list[str]:
    """Split digits into groups of three or four, as they are usually spoken."""
    if len(digits) <= _POSTAL_CODE_DIGITS:
        return [digits]
    if len(digits) == 11 and digits[0] == "1":
        return [digits[0], *digit_groups(digits[1:])]
    groups, start = list[str](), 0
    lengths = _GROUP_LENGTHS.get(
        len(digits), (3,) * (len(digits) // 3) + ((len(digits) % 3,) if len(digits) % 3 else ())
    )
    for length in lengths:
        groups.append(digits[start : start + length])
        start += length
    return groups
