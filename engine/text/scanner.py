"""Incremental scanner that separates text from markup and pauses.

A possible tag, link target or code fence is buffered until it is complete, for at most `_MAX_BUFFERED_CHARS`
characters. If it turns out to be none, it becomes text.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from sayline_tts.engine.text.html_entities import decode_entity, is_entity_prefix
from sayline_tts.engine.text.latex import is_formula, is_formula_prefix
from sayline_tts.engine.text.reading_tags import is_reading_tag
from sayline_tts.engine.text.speech_tags import (
    MAX_REASONING_TAG_CHARS,
    Layout,
    closes_reasoning,
    is_bracket_prefix,
    is_tag_prefix,
    opens_reasoning,
    parse_layout,
    parse_pause,
)

_MAX_BUFFERED_CHARS = 1000
_MAX_TAG_CHARS = 256
_MAX_BRACKET_CHARS = 32
_MAX_FENCE_CHARS = 100
_MAX_OPEN_BRACKETS = 100
# Characters that can end a state. The text before them is skipped.
_IN_TEXT = re.compile(r"[<\[\]\n]")
_IN_MARKDOWN_TEXT = re.compile(r"[<\[\]\n&$\\]")
_IN_TAG = re.compile(r"[<>\[\]\n]|[\s/]")
_IN_TARGET = re.compile(r"[()\[\]<\n]")
_TARGET = re.compile(r"\((?:[^\s()]|\([^\s()]*\))*(?:\s+(?:\"[^\"]*\"|'[^']*'))?\s*\)")
_PROSE_INFO_STRINGS = frozenset(("markdown", "md", "text", "txt", "plaintext", "plain"))


class TokenKind(Enum):
    TEXT = auto()
    ENTITY = auto()  # an HTML character reference
    FORMULA = auto()  # in LaTeX
    MARKUP = auto()  # inside or next to a word, and not spoken
    READING_TAG = auto()  # markup that tells how the text in it is read
    LINE_END = auto()
    PARAGRAPH_END = auto()
    PAUSE = auto()


@dataclass(frozen=True)
class MarkupToken:
    """A span of the source text. `text` is empty for a line end that a tag implies."""

    kind: TokenKind
    text: str
    start: int
    duration_ms: float = 0.0  # of a pause


class _State(Enum):
    LINE_START = auto()
    TEXT = auto()
    ENTITY = auto()  # after "&"
    FORMULA = auto()  # after "$" or "\\"
    TAG = auto()  # after "<"
    BRACKET = auto()  # after "["
    AFTER_BRACKET = auto()  # after the "]" of an open bracket
    TARGET = auto()  # after "]("
    QUOTE = auto()  # after ">" at the start of a line
    FENCE = auto()  # in a line that starts like a code fence
    CODE = auto()
    REASONING = auto()  # after "<think>"


class Scanner:
    """State machine over the characters of a stream. Without `markdown` it recognizes pauses only.

    It has one method for each state, which returns how many characters it consumed and the tokens that they complete.
    """

    def __init__(self, markdown: bool) -> None:
        self._markdown = markdown
        self._stop = _IN_MARKDOWN_TEXT if markdown else _IN_TEXT
        self._offset = 0  # of the current character
        self._reset()

    def _reset(self) -> None:
        self._state = _State.LINE_START
        self.buffered = ""
        self._open_brackets = 0
        self._fence = ""  # the opening fence of the current code block
        self._line = ""  # the current line of code, truncated
        self._last_char = ""

    def push(self, text: str) -> Iterator[MarkupToken]:
        i = 0
        while i < len(text):
            consumed, tokens = _STEPS[self._state](self, text, i)
            yield from tokens
            i += consumed
            self._offset += consumed
        self._last_char = text[-1:] or self._last_char

    def flush(self) -> Iterator[MarkupToken]:
        """Return the buffered characters as text and start over. This also ends an unclosed code block."""
        if self._state is _State.ENTITY:
            yield from self._release_entity()
        elif self._state is _State.FORMULA and is_formula(self.buffered):
            yield self._release(TokenKind.FORMULA)
        elif self.buffered:
            yield self._token(TokenKind.TEXT, self.buffered, -len(self.buffered))
        self._reset()

    def _token(self, kind: TokenKind, text: str, relative: int = 0, duration_ms: float = 0.0) -> MarkupToken:
        return MarkupToken(kind, text, self._offset + relative, duration_ms)

    def _buffer(self, text: str, state: _State) -> tuple[int, list[MarkupToken]]:
        self.buffered += text
        self._state = state
        return len(text), []

    def _release(self, kind: TokenKind = TokenKind.TEXT) -> MarkupToken:
        """Return the buffered characters as a token that ends before the current character."""
        text, self.buffered = self.buffered, ""
        self._state = _State.TEXT
        return self._token(kind, text, -len(text))

    def _complete(self, end: str, kind: TokenKind, duration_ms: float = 0.0) -> MarkupToken:
        """Return the buffered characters and `end`, which begins at the current one, as a token."""
        text, self.buffered = self.buffered + end, ""
        self._state = _State.TEXT
        return self._token(kind, text, len(end) - len(text), duration_ms)

    def _at_line_start(self, text: str, i: int) -> tuple[int, list[MarkupToken]]:
        char = text[i]
        if self._markdown and char in "`~":
            return self._buffer(char, _State.FENCE)
        if self._markdown and char == ">":
            return self._buffer(char, _State.QUOTE)
        if char in " \t":
            return 1, [self._token(TokenKind.TEXT, char)]
        self._state = _State.TEXT
        return 0, []

    def _in_quote(self, text: str, i: int) -> tuple[int, list[MarkupToken]]:
        """Treat ">" as a quote, except in ">5" and ">="."""
        if text[i].isdigit() or text[i] == "=":
            return 0, [self._release()]
        token = self._release(TokenKind.MARKUP)
        self._state = _State.LINE_START
        return 0, [token]

    def _in_text(self, text: str, i: int) -> tuple[int, list[MarkupToken]]:
        found = self._stop.search(text, i)
        end = found.start() if found else len(text)
        if end > i:
            return end - i, [self._token(TokenKind.TEXT, text[i:end])]
        char = text[i]
        if char == "&":
            return self._buffer(char, _State.ENTITY)
        if char in "$\\":
            previous = text[i - 1] if i else self._last_char
            if previous.isalnum() or previous in ("\\", "`"):
                return 1, [self._token(TokenKind.TEXT, char)]
            return self._buffer(char, _State.FORMULA)
        if char == "<":
            return self._buffer(char, _State.TAG)
        if char == "[":
            return self._buffer(char, _State.BRACKET)
        if char == "\n":
            self._state = _State.LINE_START
            return 1, [self._token(TokenKind.LINE_END, char)]
        if self._markdown and self._open_brackets:
            self._open_brackets -= 1
            self._state = _State.AFTER_BRACKET
        return 1, [self._token(TokenKind.TEXT, char)]

    def _in_entity(self, text: str, i: int) -> tuple[int, list[MarkupToken]]:
        reference = self.buffered + text[i]
        if is_entity_prefix(reference):
            decoded = decode_entity(reference)
            if decoded is None or decoded == "&":
                return self._buffer(text[i], _State.ENTITY)
            return 1, [self._complete(text[i], TokenKind.ENTITY)]
        if decode_entity(reference) is not None:
            return 1, [self._complete(text[i], TokenKind.ENTITY)]
        return 0, self._release_entity()

    def _release_entity(self) -> list[MarkupToken]:
        """Return the buffered characters as a complete reference, if they start with one, and text."""
        reference, _, rest = self.buffered.rpartition(";")
        reference += ";" if reference else ""
        tokens = [self._token(TokenKind.ENTITY, reference, -len(self.buffered))] if reference else []
        self.buffered = rest
        text = self._release()
        return [*tokens, text] if rest else tokens

    def _in_formula(self, text: str, i: int) -> tuple[int, list[MarkupToken]]:
        char = text[i]
        if is_formula(self.buffered) and self.buffered + char != "$$":
            if char.isdigit() and self.buffered.endswith("$"):  # an amount: "$5-$6"
                return 0, [self._release()]
            return 0, [self._release(TokenKind.FORMULA)]
        if is_formula_prefix(self.buffered + char) or is_formula(self.buffered + char):
            return self._buffer(char, _State.FORMULA)
        return 0, [self._release()]

    def _in_tag(self, text: str, i: int) -> tuple[int, list[MarkupToken]]:
        if self.buffered == "<" and not (text[i].isalpha() or text[i] in "/!"):
            return 0, [self._release()]
        found = _IN_TAG.search(text, i)
        end = found.start() if found else len(text)
        if len(self.buffered) + end - i > _MAX_TAG_CHARS:
            return 0, [self._release()]
        if end > i:
            return self._buffer(text[i:end], _State.TAG)
        if text[i] == ">":
            return 1, self._end_tag()
        if text[i] in "<[]\n" or not is_tag_prefix(self.buffered, self._markdown):
            return 0, [self._release()]
        return self._buffer(text[i], _State.TAG)

    def _end_tag(self) -> list[MarkupToken]:
        tag = self.buffered + ">"
        if (duration_ms := parse_pause(tag)) is not None:
            return [self._complete(">", TokenKind.PAUSE, duration_ms)]
        layout = parse_layout(tag) if self._markdown else None
        if layout is None:
            return [self._complete(">", TokenKind.TEXT)]
        tokens = [self._complete(">", TokenKind.READING_TAG if is_reading_tag(tag) else TokenKind.MARKUP)]
        if layout is Layout.LINE_BREAK:
            tokens.append(self._token(TokenKind.LINE_END, "", 1))
        elif layout is Layout.BLOCK:
            tokens.append(self._token(TokenKind.PARAGRAPH_END, "", 1))
        if opens_reasoning(tag):
            self._line = ""
            self._state = _State.REASONING
        return tokens

    def _in_reasoning(self, text: str, i: int) -> tuple[int, list[MarkupToken]]:
        end = text.find(">", i) + 1 or len(text)
        part = text[i:end]
        self._line = (self._line + part[-MAX_REASONING_TAG_CHARS:])[-MAX_REASONING_TAG_CHARS:]
        if closes_reasoning(self._line):
            self._line = ""
            self._state = _State.LINE_START
        return len(part), [self._token(TokenKind.MARKUP, part)]

    def _in_bracket(self, text: str, i: int) -> tuple[int, list[MarkupToken]]:
        if text[i] == "]":
            if (duration_ms := parse_pause(self.buffered + "]")) is not None:
                return 1, [self._complete("]", TokenKind.PAUSE, duration_ms)]
            if self._markdown and self.buffered.startswith("[^") and len(self.buffered) > 2:
                return 1, [self._complete("]", TokenKind.MARKUP)]
        elif len(self.buffered) < _MAX_BRACKET_CHARS and is_bracket_prefix(self.buffered + text[i], self._markdown):
            return self._buffer(text[i], _State.BRACKET)
        self._open_brackets = min(self._open_brackets + 1, _MAX_OPEN_BRACKETS)
        return 0, [self._release()]

    def _after_bracket(self, text: str, i: int) -> tuple[int, list[MarkupToken]]:
        if text[i] == "(":
            return self._buffer("(", _State.TARGET)
        self._state = _State.TEXT
        return 0, []

    def _in_target(self, text: str, i: int) -> tuple[int, list[MarkupToken]]:
        found = _IN_TARGET.search(text, i)
        end = found.start() if found else len(text)
        if len(self.buffered) + end - i >= _MAX_BUFFERED_CHARS:
            return 0, [self._release()]
        if end > i:
            return self._buffer(text[i:end], _State.TARGET)
        if text[i] == "(":
            return self._buffer("(", _State.TARGET)
        if text[i] == ")":
            target = self.buffered + ")"
            if target.count("(") > target.count(")"):
                return self._buffer(")", _State.TARGET)
            if _TARGET.fullmatch(target):
                return 1, [self._complete(")", TokenKind.MARKUP)]
        return 0, [self._release()]

    def _in_fence(self, text: str, i: int) -> tuple[int, list[MarkupToken]]:
        char, fence_char = text[i], self.buffered[0]
        fence_length = len(self.buffered) - len(self.buffered.lstrip(fence_char))
        if char == "\n" and fence_length >= 3:
            return 0, self._end_fence(fence_length)
        only_fence = fence_length == len(self.buffered)
        if fence_length >= 3 and not (only_fence and char == fence_char):
            invalid = char in "<[]\n`"
        else:
            invalid = char != fence_char
        if invalid or len(self.buffered) >= _MAX_FENCE_CHARS:
            return 0, [self._release()]
        return self._buffer(char, _State.FENCE)

    def _end_fence(self, fence_length: int) -> list[MarkupToken]:
        """Open or close a code block. Of a block of prose the fences are removed and the text is kept.

        The closing fence of such a block is handled like an opening one.
        """
        fence, info = self.buffered[:fence_length], self.buffered[fence_length:].split()
        closes = self._fence != "" and not info
        is_prose = closes or (bool(info) and info[0].lower() in _PROSE_INFO_STRINGS)
        tokens = [self._release(TokenKind.MARKUP), self._token(TokenKind.PARAGRAPH_END, "")]
        self._fence = "" if closes else fence
        self._line = ""
        self._state = _State.TEXT if is_prose else _State.CODE
        return tokens

    def _in_code(self, text: str, i: int) -> tuple[int, list[MarkupToken]]:
        end = text.find("\n", i)
        part = text[i:] if end < 0 else text[i:end]
        self._line += part[: _MAX_BUFFERED_CHARS - len(self._line)]
        if end < 0:
            return len(part), [self._token(TokenKind.MARKUP, part)]
        line, self._line = self._line.strip(" \t\r>"), ""
        if line.startswith(self._fence) and not line.strip(self._fence[0]):
            self._fence = ""
            self._state = _State.LINE_START
        return len(part) + 1, [self._token(TokenKind.MARKUP, part + "\n")]


_Step = Callable[[Scanner, str, int], tuple[int, list[MarkupToken]]]
_STEPS: dict[_State, _Step] = {
    _State.LINE_START: Scanner._at_line_start,
    _State.TEXT: Scanner._in_text,
    _State.ENTITY: Scanner._in_entity,
    _State.FORMULA: Scanner._in_formula,
    _State.TAG: Scanner._in_tag,
    _State.BRACKET: Scanner._in_bracket,
    _State.AFTER_BRACKET: Scanner._after_bracket,
    _State.TARGET: Scanner._in_target,
    _State.QUOTE: Scanner._in_quote,
    _State.FENCE: Scanner._in_fence,
    _State.CODE: Scanner._in_code,
    _State.REASONING: Scanner._in_reasoning,
}
