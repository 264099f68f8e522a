"""LaTeX formulas in text: where they are, and their plain form, which normalization reads like any other formula.

`$3x + 4 \\leq 10$` becomes `3x + 4 ≤ 10`. The delimiters follow Pandoc's rules, so that amounts of money are not
taken for formulas: no space after the opening dollar and before the closing one, and no digit behind that.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator

MAX_FORMULA_CHARS = 300
_CLOSING = {"$": "$", "$$": "$$", r"\(": r"\)", r"\[": r"\]"}
_OPENING = re.compile(r"\$\$?|\\[(\[]")
# An amount and a word behind it; "$3 + 4$" goes on with an operator.
_AMOUNT = re.compile(r"\d[\d.,]*[A-Za-z]{0,3}[^\w\s\\^$+=<>*/-]*\s+[^\s+=<>*/\\^-]")
_PROSE = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}[,;:]?\s+[A-Za-z]{2,}(?![A-Za-z]*\{)")
_QUOTED_TEXT = re.compile(r"\\(?:text|mathrm|textbf|textit|operatorname)\s*\{[^{}]*\}?")
_LEXEME = re.compile(r"\\[A-Za-z]+\*?|\\.|\s+|\d+(?:[.,]\d+)*|.", re.DOTALL)

_SYMBOLS = {
    r"\leq": "≤", r"\le": "≤", r"\geq": "≥", r"\ge": "≥", r"\neq": "≠", r"\ne": "≠", r"\approx": "≈", r"\sim": "~",
    r"\pm": "±", r"\times": "×", r"\cdot": "×", r"\ast": "×", "*": "×", r"\div": "÷", r"\to": "→",
    r"\rightarrow": "→", r"\leftarrow": "←", r"\in": "∈", r"\sum": "∑", r"\prod": "∏", r"\int": "∫", r"\lt": "<",
    r"\gt": ">", r"\partial": "∂", r"\Rightarrow": "⇒", r"\implies": "⇒", "+": "+", "=": "=", "<": "<", ">": ">",
    "/": "∕",
}  # fmt: skip
_LIMIT_OPERATORS = {r"\sum", r"\prod", r"\int"}
_UPPER_LIMIT = re.compile(r"\s*(?:_(?:\{[^{}]*\}|\\?\w+)\s*)?\^")
_IS_NUMERIC_FRACTION = re.compile(r"\{\d+\}\{\d+\}")
_SPACES = {r"\,", r"\;", r"\:", r"\ ", r"\quad", r"\qquad", "~", "&"}
_WITHOUT_SOUND = {
    r"\left", r"\right", r"\big", r"\Big", r"\bigl", r"\bigr", r"\!", r"\limits", r"\displaystyle", r"\textstyle",
    r"\text", r"\textbf", r"\textit", r"\mathrm", r"\mathbf", r"\mathit", r"\mathbb", r"\mathcal", r"\operatorname",
    r"\begin", r"\end", r"\boxed", r"\vec", r"\hat", r"\bar", r"\overline", r"\underline", r"\tag",
}  # fmt: skip
_FRACTIONS = {r"\frac", r"\dfrac", r"\tfrac"}
_LITERALS = {r"\%": "%", r"\$": "$", r"\#": "#", r"\&": "&", r"\_": " ", r"\{": "", r"\}": "", r"\\": ",",
             r"\infty": "∞", r"\degree": "°", r"\circ": "°", r"\ldots": "…", r"\cdots": "…", r"\dots": "…",
             r"\prime": "′", r"\pi": "π"}  # fmt: skip
_SHORT_POWERS = {"2": "²", "3": "³"}
_FUNCTIONS = (
    r"\sin", r"\cos", r"\tan", r"\cot", r"\sec", r"\csc", r"\arcsin", r"\arccos", r"\arctan", r"\sinh", r"\cosh",
    r"\tanh", r"\exp", r"\log", r"\ln", r"\lim", r"\max", r"\min", r"\gcd", r"\det",
)  # fmt: skip
FUNCTION, APPLIED = "∙", "∘"  # marks in the plain form
_SILENT, _SPACE = ("", "", ""), ("", " ", "")
_PIECES = {
    **{lexeme: (" ", symbol, " ") for lexeme, symbol in _SYMBOLS.items()},
    **{lexeme: ("", literal, "") for lexeme, literal in _LITERALS.items()},
    **dict.fromkeys(_WITHOUT_SOUND, _SILENT),
    **dict.fromkeys((*_SPACES, "_"), _SPACE),
    r"\sqrt": (" ", "√", " "),
}
_GREEK_VARIANTS = {"lambda": "lamda", "varepsilon": "epsilon", "varphi": "phi", "vartheta": "theta"}


def is_formula_prefix(text: str) -> bool:
    """Return whether more characters can make this text a formula."""
    if text == "\\":
        return True
    opening = _OPENING.match(text)
    if opening is None or len(text) > MAX_FORMULA_CHARS or "\n\n" in text:
        return False
    if opening[0] != "$":
        return True
    body = text[1:]
    if body[:1].isspace() or "$" in body or _AMOUNT.match(body):
        return False
    return _PROSE.search(_QUOTED_TEXT.sub("", body)) is None


def is_formula(text: str) -> bool:
    """Return whether the text is a formula from its opening to its closing delimiter."""
    opening = _OPENING.match(text)
    if opening is None:
        return False
    closing = _CLOSING[opening[0]]
    body = text[len(opening[0]) : -len(closing)]
    is_closed = len(text) >= len(opening[0]) + len(closing) and text.endswith(closing)
    return is_closed and bool(body.strip()) and (opening[0] != "$" or not body[-1].isspace())


def plain_pieces(formula: str) -> Iterator[tuple[str, str]]:
    """Yield the plain form of a formula in pieces, each with its source. The sources together are the formula.

    Braces are replaced by order: a fraction is "numerator ∕ denominator", a power "base ↑ exponent". The name of a
    function has a mark behind it, two if a subscript follows; what it is applied to follows another mark: "sin∙∘ x",
    "log∙∙ 2∘ x".
    """
    opening = _OPENING.match(formula)
    assert opening is not None, "not a formula"
    width = len(opening[0])
    yield "", formula[:width]
    yield from _PlainForm(_LEXEME.findall(formula[width:-width])).pieces()
    yield "", formula[-width:]


_Piece = tuple[str, str, str]  # the plain form of a lexeme, between what has no source


class _PlainForm:
    """The plain form of the lexemes of a formula, in their order."""

    def __init__(self, lexemes: list[str]) -> None:
        self._lexemes = lexemes
        self._groups: list[str] = []  # what the open braces are
        self._at_operand = True  # a minus here is a sign
        self._has_limits = self._is_number = False
        self._argument = -1  # the index of the last lexeme before the argument of a function

    def pieces(self) -> Iterator[tuple[str, str]]:
        for i, lexeme in enumerate(self._lexemes):
            write = _WRITERS.get(lexeme)
            before, plain, after = write(self, i) if write else _PIECES.get(lexeme) or _other_piece(lexeme)
            if i == self._argument:
                plain, after = plain + APPLIED, " "
            if before:
                yield before, ""
            yield plain, lexeme
            if after:
                yield after, ""
            if lexeme.strip():
                self._at_operand = lexeme in _SYMBOLS or lexeme in "([{-−^"

    def _fraction(self, i: int) -> _Piece:
        self._groups.append("numerator")
        self._is_number = _IS_NUMERIC_FRACTION.match("".join(self._lexemes[i + 1 :])) is not None
        return _SILENT

    def _open(self, i: int) -> _Piece:
        if self._groups and self._groups[-1] in ("numerator", "denominator"):
            self._groups[-1] += " open"
        else:
            self._groups.append("")
        return _SILENT

    def _close(self, i: int) -> _Piece:
        if not self._groups or self._groups.pop() != "numerator open":
            return _SILENT
        self._groups.append("denominator")
        return ("", "/", "") if self._is_number else (" ", "∕", " ")

    def _power(self, i: int) -> _Piece:
        if self._has_limits:
            self._has_limits = False
            return " ", "→", " "
        content = _group(self._lexemes[i + 1 :])
        return _SILENT if content in _SHORT_POWERS or content in (r"\circ", r"\prime") else (" ", "↑", " ")

    def _short_power(self, i: int) -> _Piece:
        lexeme = self._lexemes[i]
        return "", _SHORT_POWERS[lexeme] if _is_exponent(self._lexemes, i) else lexeme, ""

    def _minus(self, i: int) -> _Piece:
        is_sign = self._at_operand and self._lexemes[i + 1 : i + 2] and self._lexemes[i + 1][0].isdigit()
        return ("", "-", "") if is_sign else (" ", "−", " ")

    def _limit_operator(self, i: int) -> _Piece:
        self._has_limits = _UPPER_LIMIT.match("".join(self._lexemes[i + 1 :])) is not None
        return " ", _SYMBOLS[self._lexemes[i]], " "

    def _function(self, i: int) -> _Piece:
        end = _end_of_scripts(self._lexemes, i)
        is_applied = "".join(self._lexemes[end + 1 :]).strip()[:1] not in ("", *"})],&^_")
        self._argument = end if is_applied else -1
        has_base = "_" in self._lexemes[i + 1 : i + 2]
        return " ", self._lexemes[i][1:] + FUNCTION * (1 + has_base), "" if end > i else " "


_WRITERS: dict[str, Callable[[_PlainForm, int], _Piece]] = {
    **dict.fromkeys(_FRACTIONS, _PlainForm._fraction),
    **dict.fromkeys(_SHORT_POWERS, _PlainForm._short_power),
    **dict.fromkeys("-−", _PlainForm._minus),
    **dict.fromkeys(_LIMIT_OPERATORS, _PlainForm._limit_operator),
    **dict.fromkeys(_FUNCTIONS, _PlainForm._function),
    "{": _PlainForm._open,
    "}": _PlainForm._close,
    "^": _PlainForm._power,
}


def _other_piece(lexeme: str) -> _Piece:
    if lexeme.isspace():
        return _SPACE
    if lexeme.startswith("\\"):
        return "", _greek_letter(lexeme[1:]) or f" {lexeme[1:]} ", ""
    return "", lexeme, ""


def _end_of_scripts(lexemes: list[str], i: int) -> int:
    """Return the index of the last lexeme of the subscript and the exponent behind the lexeme at `i`, or `i`."""
    while lexemes[i + 1 : i + 2] and lexemes[i + 1] in ("^", "_") and i + 2 < len(lexemes):
        i += 2
        if lexemes[i] == "{":
            depth = 1
            while depth and i + 1 < len(lexemes):
                i += 1
                depth += {"{": 1, "}": -1}.get(lexemes[i], 0)
    return i


def _group(lexemes: list[str]) -> str:
    """The content of a group of one lexeme, in braces or not; "" for a longer one."""
    if lexemes[:1] == ["{"]:
        return lexemes[1] if lexemes[2:3] == ["}"] else ""
    return lexemes[0] if lexemes else ""


def _is_exponent(lexemes: list[str], i: int) -> bool:
    if i and lexemes[i - 1] == "^":
        return True
    return i > 1 and lexemes[i - 2 : i] == ["^", "{"] and lexemes[i + 1 : i + 2] == ["}"]


def _greek_letter(name: str) -> str:
    lower = _GREEK_VARIANTS.get(name.lower(), name.lower())
    size = "CAPITAL" if name[:1].isupper() else "SMALL"
    try:
        return unicodedata.lookup(f"GREEK {size} LETTER {lower.upper()}")
    except KeyError:
        return ""
