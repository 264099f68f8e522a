"""Verbalization of fractions, ratios, dimensions, formulas, single symbols, and mixtures of letters and digits."""

import re
import unicodedata

from sayline_tts.engine.text.normalization.abbreviations import AbbreviationVerbalizer
from sayline_tts.engine.text.normalization.language_data import LanguageData
from sayline_tts.engine.text.normalization.number_parser import NumberParser
from sayline_tts.engine.text.normalization.number_words import NumberWords
from sayline_tts.engine.text.normalization.token_context import CHARACTER_RUNS, Token, TokenContext

_FRACTION = re.compile(r"(\d{1,4})[/⁄](\d{1,4})", re.ASCII)
_RATIO = re.compile(r"(\d{1,3}):(\d{1,3})", re.ASCII)
_DIMENSIONS = re.compile(r"\d+(?:[x×]\d+)+", re.ASCII)
_FEET_AND_INCHES = re.compile(r"(\d{1,3})['’′](?:(\d{1,2})[\"”″]?)?", re.ASCII)
_FORMULA = re.compile(r"[=^×÷√±≤≥≈≠²³⁰¹⁴-⁹]|[\d)][*+]\S|\*\*|(?<!\w)\w[*+]\w(?!\w)")
_FORMULA_PARTS = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_²³⁰¹⁴-⁹]+|\*\*|[<>=!]=|->|=>|.", re.DOTALL | re.ASCII)
_OPERAND = re.compile(r"[-−]?\w[\w.,]*|[)\]]", re.ASCII)
_EXPONENTS = {"²": "2", "³": "3", "⁰": "0", "¹": "1", "⁴": "4", "⁵": "5", "⁶": "6", "⁷": "7", "⁸": "8", "⁹": "9"}
_APPLIED = "∘"  # before what a function is applied to
_FUNCTION = re.compile(r"([a-z]+∙?)∙([²³]?)(∘?)")
_GREEK_LETTER = re.compile(r"GREEK (?:SMALL|CAPITAL) LETTER ([A-Z]+)$")
_FORMULA_WINDOW = 8  # tokens
_SCORE_DENOMINATORS = (10, 100)  # "9/10" is "nine out of ten"
_SYMBOL_NAMES = {"/": "slash", "@": "at", "&": "and", "+": "plus", "%": "percent", "=": "equals"}
_ALWAYS_SPOKEN = "°π∞"


class MathVerbalizer:
    """Verbalizer of fractions and formulas, and of whatever is of no other class."""

    def __init__(
        self,
        data: LanguageData,
        number_words: NumberWords,
        parser: NumberParser,
        abbreviations: AbbreviationVerbalizer,
    ) -> None:
        self._data = data
        self._number_words = number_words
        self._parser = parser
        self._abbreviations = abbreviations
        self._named_fractions = {unicodedata.normalize("NFKC", sign): name for sign, name in data.fractions.items()}

    def verbalize_symbol(self, context: TokenContext) -> str:
        """Verbalize a token without letters and digits; most are silent."""
        text = context.core or context.token.text
        has_operands = (
            _OPERAND.match(context.previous.core) and _OPERAND.match(context.next.core) and context.adjoins_previous
        )
        if has_operands and text in self._data.operators and self._has_numeric_operand(context):
            if text == "-" and not self._is_in_formula(context):
                return self._data.word("to")
            return self._data.operators[text]
        return self._data.symbols.get(text, "") if not context.token.is_block_marker else ""

    def _has_numeric_operand(self, context: TokenContext) -> bool:
        """Return whether both neighbors contain digits or are single characters."""
        operands = (context.previous.core, context.next.core)
        return all(any(map(str.isdigit, operand)) or len(operand) == 1 for operand in operands)

    def _is_in_formula(self, context: TokenContext) -> bool:
        return any(token.core in ("=", "+", "*", "×") for token in context.window(_FORMULA_WINDOW))

    def verbalize(self, context: TokenContext) -> str | None:
        """Return the spoken form of the core, or None if it is not of this class."""
        core, word, cardinal = context.core, self._data.word, self._number_words.cardinal
        if found := _FUNCTION.fullmatch(core):
            name = self._data.functions.get(found[1].replace("∙", "_"), found[1].strip("∙"))
            return self._applied(f"{name} {self._power(_EXPONENTS[found[2]])}" if found[2] else name, found[3])
        if len(core) > 1 and core.endswith(_APPLIED):
            return self._applied(self._verbalize_alone(core[:-1]), _APPLIED)
        if core in self._data.fractions:
            return self._mixed_number(context, self._data.fractions[core])
        if found := _FRACTION.fullmatch(core):
            return self._fraction(context, found[1], found[2])
        if _DIMENSIONS.fullmatch(core):
            return f" {word('by')} ".join(map(self._dimension, re.split("[x×]", core)))
        if found := _RATIO.fullmatch(core):
            return f"{cardinal(found[1])} {word('to')} {cardinal(found[2])}"
        if (found := _FEET_AND_INCHES.fullmatch(core)) and "ft" in self._data.units:
            feet = self._data.units["ft"][0 if found[2] or found[1] == "1" else 1]
            return f"{cardinal(found[1])} {feet}" + (f" {cardinal(found[2])}" if found[2] else "")
        return self._formula(core) if _FORMULA.search(core) else None

    def _applied(self, spoken: str, mark: str) -> str:
        return f"{spoken} {self._data.functions.get(mark, '')}".strip() if mark else spoken

    def _verbalize_alone(self, core: str) -> str:
        """Return the spoken form of a base or a limit."""
        if core.isascii() and core.isdecimal():
            return self._number_words.cardinal(core)
        return self.verbalize(TokenContext([Token.parse(core)], 0)) or self.verbalize_mixture(core)

    def _dimension(self, digits: str) -> str:
        """Verbalize one side of "1920x1080" in pairs of digits."""
        if (len(digits) == 4 and digits[2:] != "00" and digits[1] != "0") or digits in ("1080", "2160"):
            return f"{self._number_words.cardinal(digits[:2])} {self._number_words.cardinal(digits[2:])}"
        return self._number_words.cardinal(digits)

    def _mixed_number(self, context: TokenContext, fraction: str) -> str:
        """Insert "and" before a fraction that follows a number, as in "1 ½"."""
        follows_number = context.previous.core.isdecimal() and context.adjoins_previous
        return f"{self._data.word('and')} {fraction}" if follows_number else fraction

    def _fraction(self, context: TokenContext, numerator: str, denominator: str) -> str:
        top, bottom = int(numerator), int(denominator)
        word, cardinal = self._data.word, self._number_words.cardinal
        sign = f"{numerator}⁄{denominator}"
        if sign in self._named_fractions:
            return self._mixed_number(context, self._named_fractions[sign])
        is_score = bottom in _SCORE_DENOMINATORS
        if not word("out_of") or not bottom or (len(numerator) > 2 and not is_score):
            return f"{cardinal(numerator)} {word('over')} {cardinal(denominator)}"
        if is_score and 1 < top <= bottom:
            return f"{cardinal(numerator)} {word('out_of')} {cardinal(denominator)}"
        if not 1 < bottom <= 20 or top > 20:
            return f"{cardinal(numerator)} {word('over')} {cardinal(denominator)}"
        name = {2: "half", 4: "quarter"}.get(bottom) or self._number_words.ordinal(denominator)
        plural = "halves" if bottom == 2 else f"{name}s"
        return self._mixed_number(context, f"{cardinal(numerator)} {name if top == 1 else plural}")

    def _formula(self, core: str) -> str:
        spoken: list[str] = []
        parts = [part for part in _FORMULA_PARTS.findall(core) if part.strip()]
        for i, part in enumerate(parts):
            before = parts[i - 1] if i else ""
            if before in ("^", "**"):
                spoken[-1] = self._power(part)
            elif part in ("^", "**"):
                spoken.append(part)
            elif part in _EXPONENTS:
                spoken.append(self._power(_EXPONENTS[part]))
            elif part[0].isdecimal():
                spoken.append(self._number(part))
            elif part.isalpha():
                spoken.append(greek_letter(part) or self._abbreviations.spell(part))
            else:
                spoken.append(self._operator(part))
        return " ".join(filter(None, (each.strip("^*") for each in spoken)))

    def _power(self, exponent: str) -> str:
        word = self._data.word
        name = {"2": word("squared"), "3": word("cubed")}.get(exponent)
        return name or f"{word('power')} {self._number(exponent) if exponent[0].isdecimal() else exponent}"

    def _operator(self, part: str) -> str:
        if part in "-−":
            return self._data.number_signs.get("-", "")
        return self._data.operators.get(part) or self._data.symbols.get(part, "")

    def _number(self, text: str) -> str:
        if not text.isascii():
            return self._number_words.digits(text)
        number = self._parser.parse(text)
        return self._number_words.decimal(number.integer, number.fraction)

    def verbalize_mixture(self, text: str) -> str:
        """Verbalize each run of letters, digits and symbols by itself. For text of no semiotic class."""
        spoken: list[str] = []
        for run in CHARACTER_RUNS.findall(text):
            if run[0].isdigit():
                spoken.append(self._digits(run))
            elif run.isalpha():
                spoken.append(greek_letter(run) or self._abbreviations.spell(run))
            elif run in ".,;:!?'’" and spoken:
                spoken[-1] += run if run in "'’" else ""
            elif name := self._symbol_name(run):
                spoken.append(name)
            else:
                spoken.append("")
        return " ".join(filter(None, spoken))

    def _symbol_name(self, symbol: str) -> str:
        if symbol in self._data.currencies:
            return self._data.currencies[symbol][1]
        if symbol in _SYMBOL_NAMES:
            return self._data.word(_SYMBOL_NAMES[symbol])
        return self._data.symbols.get(symbol, "") if symbol in _ALWAYS_SPOKEN else ""

    def _digits(self, run: str) -> str:
        digits = "".join(str(unicodedata.digit(digit, 0)) for digit in run)
        return self._number_words.cardinal(digits) if len(digits) <= 6 else self._number_words.digits(digits)


def greek_letter(text: str) -> str | None:
    """Return the name of a single Greek letter, which is nearly the same in all languages of the models."""
    if len(text) != 1 or not (found := _GREEK_LETTER.match(unicodedata.name(text, ""))):
        return None
    return found[1].lower().replace("lamda", "lambda")
