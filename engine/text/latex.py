"""LaTeX formulas in text: where they are, and their plain form, which normalization reads like any other formula.

`$3x + 4 \\leq 10$` becomes `3x + 4 ≤ 10`. The delimiters follow Pandoc's rules, so that amounts of money are not
taken for formulas: no space after the opening dollar and before the closing one, and no digit behind that.
"""

import re
import unicodedata
from collections.abc import Iterator

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

    Braces are replaced by order: a fraction is "numerator ∕ denominator", a power "base ↑ exponent".
    """
    opening = _OPENING.match(formula)
    assert opening is not None, "not a formula"
    width = len(opening[0])
    yield "", formula[:width]
    lexemes = _LEXEME.findall(formula[width:-width])
    groups: list[str] = []  # what to say at the end of each open brace
    at_operand = True  # a minus here is a sign
    has_limits = is_number = False
    for i, lexeme in enumerate(lexemes):
        before, plain, after = "", lexeme, ""
        if lexeme in _FRACTIONS:
            plain = ""
            groups.append("numerator")
            is_number = _IS_NUMERIC_FRACTION.match("".join(lexemes[i + 1 :])) is not None
        elif lexeme == "{":
            plain = ""
            if groups and groups[-1] in ("numerator", "denominator"):
                groups[-1] += " open"
            else:
                groups.append("")
        elif lexeme == "}":
            plain = ""
            if groups and groups.pop() == "numerator open":
                before, plain, after = ("", "/", "") if is_number else (" ", "∕", " ")
                groups.append("denominator")
        elif lexeme == "^":
            content = _group(lexemes[i + 1 :])
            if has_limits:
                before, plain, after = " ", "→", " "
                has_limits = False
            elif content in _SHORT_POWERS or content in (r"\circ", r"\prime"):
                plain = ""
            else:
                before, plain, after = " ", "↑", " "
        elif lexeme in _SHORT_POWERS and _is_exponent(lexemes, i):
            plain = _SHORT_POWERS[lexeme]
        elif lexeme == "_":
            plain = " "
        elif lexeme == r"\sqrt":
            before, plain, after = " ", "√", " "
        elif lexeme in "-−":
            is_sign = at_operand and lexemes[i + 1 : i + 2] and lexemes[i + 1][0].isdigit()
            before, plain, after = ("", "-", "") if is_sign else (" ", "−", " ")
        elif lexeme in _SYMBOLS:
            before, plain, after = " ", _SYMBOLS[lexeme], " "
            if lexeme in _LIMIT_OPERATORS:
                has_limits = _UPPER_LIMIT.match("".join(lexemes[i + 1 :])) is not None
        elif lexeme in _SPACES or lexeme.isspace():
            plain = " "
        elif lexeme in _WITHOUT_SOUND:
            plain = ""
        elif lexeme in _LITERALS:
            plain = _LITERALS[lexeme]
        elif lexeme.startswith("\\"):
            plain = _greek_letter(lexeme[1:]) or f" {lexeme[1:]} "
        if before:
            yield before, ""
        yield plain, lexeme
        if after:
            yield after, ""
        if lexeme.strip():
            at_operand = lexeme in _SYMBOLS or lexeme in "([{-−^"
    yield "", formula[-width:]


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
