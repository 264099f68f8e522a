"""Raw text in whatever pieces it comes, told apart: what is to be read, what only marks it up, and pauses.

It looks at each character once. What may be a tag, a link's target or the fence of a code block is held back until
that is known, which takes at most `_LONGEST_HELD` characters; what turns out to be none is text after all.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from sayline_tts.engine.text.speech_tags import Layout, half_bracket, layout_of, may_be_tag, pause_of

_LONGEST_HELD = 1000
_LONGEST_TAG = 256
_LONGEST_BRACKET = 32
_LONGEST_FENCE = 100
_DEEPEST = 100
# What can end the state that one is in; all before it needs no look.
_IN_TEXT = re.compile(r"[<\[\]\n]")
_IN_TAG = re.compile(r"[<>\[\]\n]|[\s/]")
_IN_TARGET = re.compile(r"[()\[\]<\n]")
_TARGET = re.compile(r"\((?:[^\s()]|\([^\s()]*\))*(?:\s+(?:\"[^\"]*\"|'[^']*'))?\s*\)")
_PROSE = frozenset(("markdown", "md", "text", "txt", "plaintext", "plain"))


class Kind(Enum):
    TEXT = auto()
    MARKUP = auto()  # inside or beside a word, not to be read
    LINE_END = auto()
    PARAGRAPH_END = auto()
    PAUSE = auto()


@dataclass(frozen=True)
class Bit:
    kind: Kind
    text: str
    start: int
    duration_ms: float = 0.0


class _State(Enum):
    LINE_START = auto()
    TEXT = auto()
    TAG = auto()  # behind a "<"
    BRACKET = auto()  # behind a "["
    AFTER_BRACKET = auto()  # behind the "]" of one that was opened
    TARGET = auto()  # behind a "]("
    QUOTE = auto()  # behind a ">" at the start of a line
    FENCE = auto()  # on a line that begins like one
    CODE = auto()


class Scanner:
    """`markdown`: without it only pauses are taken out."""

    def __init__(self, markdown: bool) -> None:
        self._markdown = markdown
        self._at = 0  # characters that were sent before the one that is looked at
        self._start_over()

    def _start_over(self) -> None:
        self._state = _State.LINE_START
        self.held = ""
        self._open_brackets = 0
        self._fence = ""  # the marks that opened the block of code that this is
        self._line = ""  # of the code, as far as it can matter

    def push(self, text: str) -> Iterator[Bit]:
        at = 0
        while at < len(text):
            took, bits = _STEPS[self._state](self, text, at)
            yield from bits
            at += took
            self._at += took

    def flush(self) -> Iterator[Bit]:
        """What comes after starts like a new text: a code block that nobody closed ends here, too."""
        if self.held:
            yield self._bit(Kind.TEXT, self.held, -len(self.held))
        self._start_over()

    def _bit(self, kind: Kind, text: str, offset: int = 0, duration_ms: float = 0.0) -> Bit:
        return Bit(kind, text, self._at + offset, duration_ms)

    def _hold(self, text: str, state: _State) -> tuple[int, list[Bit]]:
        self.held += text
        self._state = state
        return len(text), []

    def _release(self, kind: Kind = Kind.TEXT) -> Bit:
        """What was held back is text, or markup, that ends here."""
        held, self.held = self.held, ""
        self._state = _State.TEXT
        return self._bit(kind, held, -len(held))

    def _close(self, text: str, kind: Kind, duration_ms: float = 0.0) -> Bit:
        """As `_release`, with the characters at hand that complete it."""
        held, self.held = self.held + text, ""
        self._state = _State.TEXT
        return self._bit(kind, held, len(text) - len(held), duration_ms)

    def _at_line_start(self, text: str, at: int) -> tuple[int, list[Bit]]:
        char = text[at]
        if self._markdown and char in "`~":
            return self._hold(char, _State.FENCE)
        if self._markdown and char == ">":
            return self._hold(char, _State.QUOTE)
        if char in " \t":
            return 1, [self._bit(Kind.TEXT, char)]
        self._state = _State.TEXT
        return 0, []

    def _in_quote(self, text: str, at: int) -> tuple[int, list[Bit]]:
        """ ">5" and ">=" are no quotes."""
        if text[at].isdigit() or text[at] == "=":
            return 0, [self._release()]
        bit = self._release(Kind.MARKUP)
        self._state = _State.LINE_START
        return 0, [bit]

    def _in_text(self, text: str, at: int) -> tuple[int, list[Bit]]:
        found = _IN_TEXT.search(text, at)
        end = found.start() if found else len(text)
        if end > at:
            return end - at, [self._bit(Kind.TEXT, text[at:end])]
        char = text[at]
        if char == "<":
            return self._hold(char, _State.TAG)
        if char == "[":
            return self._hold(char, _State.BRACKET)
        if char == "\n":
            self._state = _State.LINE_START
            return 1, [self._bit(Kind.LINE_END, char)]
        if self._markdown and self._open_brackets:
            self._open_brackets -= 1
            self._state = _State.AFTER_BRACKET
        return 1, [self._bit(Kind.TEXT, char)]

    def _in_tag(self, text: str, at: int) -> tuple[int, list[Bit]]:
        if self.held == "<" and not (text[at].isalpha() or text[at] in "/!"):
            return 0, [self._release()]
        found = _IN_TAG.search(text, at)
        end = found.start() if found else len(text)
        if len(self.held) + end - at > _LONGEST_TAG:
            return 0, [self._release()]
        if end > at:
            return self._hold(text[at:end], _State.TAG)
        if text[at] == ">":
            return 1, self._end_tag()
        if text[at] in "<[]\n" or not may_be_tag(self.held, self._markdown):
            return 0, [self._release()]
        return self._hold(text[at], _State.TAG)

    def _end_tag(self) -> list[Bit]:
        tag = self.held + ">"
        if (duration_ms := pause_of(tag)) is not None:
            return [self._close(">", Kind.PAUSE, duration_ms)]
        layout = layout_of(tag) if self._markdown else None
        if layout is None:
            return [self._close(">", Kind.TEXT)]
        bits = [self._close(">", Kind.MARKUP)]
        if layout is Layout.LINE:
            bits.append(self._bit(Kind.LINE_END, "", 1))
        elif layout is Layout.BLOCK:
            bits.append(self._bit(Kind.PARAGRAPH_END, "", 1))
        return bits

    def _in_bracket(self, text: str, at: int) -> tuple[int, list[Bit]]:
        if text[at] == "]":
            if (duration_ms := pause_of(self.held + "]")) is not None:
                return 1, [self._close("]", Kind.PAUSE, duration_ms)]
            if self._markdown and self.held.startswith("[^") and len(self.held) > 2:
                return 1, [self._close("]", Kind.MARKUP)]
        elif len(self.held) < _LONGEST_BRACKET and half_bracket(self.held + text[at], self._markdown):
            return self._hold(text[at], _State.BRACKET)
        self._open_brackets = min(self._open_brackets + 1, _DEEPEST)
        return 0, [self._release()]

    def _after_bracket(self, text: str, at: int) -> tuple[int, list[Bit]]:
        if text[at] == "(":
            return self._hold("(", _State.TARGET)
        self._state = _State.TEXT
        return 0, []

    def _in_target(self, text: str, at: int) -> tuple[int, list[Bit]]:
        found = _IN_TARGET.search(text, at)
        end = found.start() if found else len(text)
        if len(self.held) + end - at >= _LONGEST_HELD:
            return 0, [self._release()]
        if end > at:
            return self._hold(text[at:end], _State.TARGET)
        if text[at] == "(":
            return self._hold("(", _State.TARGET)
        if text[at] == ")":
            target = self.held + ")"
            if target.count("(") > target.count(")"):
                return self._hold(")", _State.TARGET)
            if _TARGET.fullmatch(target):
                return 1, [self._close(")", Kind.MARKUP)]
        return 0, [self._release()]

    def _in_fence(self, text: str, at: int) -> tuple[int, list[Bit]]:
        char, mark = text[at], self.held[0]
        marks = len(self.held) - len(self.held.lstrip(mark))
        if char == "\n" and marks >= 3:
            return 0, self._open_or_close(marks)
        in_marks = marks == len(self.held)
        wrong = char in "<[]\n`" if marks >= 3 and not (in_marks and char == mark) else char != mark
        if wrong or len(self.held) >= _LONGEST_FENCE:
            return 0, [self._release()]
        return self._hold(char, _State.FENCE)

    def _open_or_close(self, marks: int) -> list[Bit]:
        """A fence of prose is taken away and its text read, so the fence that closes it looks like one that opens."""
        fence, about = self.held[:marks], self.held[marks:].split()
        closes = self._fence != "" and not about
        prose = closes or (bool(about) and about[0].lower() in _PROSE)
        bits = [self._release(Kind.MARKUP), self._bit(Kind.PARAGRAPH_END, "")]
        self._fence = "" if closes else fence
        self._line = ""
        self._state = _State.TEXT if prose else _State.CODE
        return bits

    def _in_code(self, text: str, at: int) -> tuple[int, list[Bit]]:
        end = text.find("\n", at)
        part = text[at:] if end < 0 else text[at:end]
        self._line += part[: _LONGEST_HELD - len(self._line)]
        if end < 0:
            return len(part), [self._bit(Kind.MARKUP, part)]
        line, self._line = self._line.strip(" \t\r>"), ""
        if line.startswith(self._fence) and not line.strip(self._fence[0]):
            self._fence = ""
            self._state = _State.LINE_START
        return len(part) + 1, [self._bit(Kind.MARKUP, part + "\n")]


_Step = Callable[[Scanner, str, int], tuple[int, list[Bit]]]
_STEPS: dict[_State, _Step] = {
    _State.LINE_START: Scanner._at_line_start,
    _State.TEXT: Scanner._in_text,
    _State.TAG: Scanner._in_tag,
    _State.BRACKET: Scanner._in_bracket,
    _State.AFTER_BRACKET: Scanner._after_bracket,
    _State.TARGET: Scanner._in_target,
    _State.QUOTE: Scanner._in_quote,
    _State.FENCE: Scanner._in_fence,
    _State.CODE: Scanner._in_code,
}
