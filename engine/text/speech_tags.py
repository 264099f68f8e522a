"""SSML-like and HTML tags: those that request a pause, those that lay out text, and text that only resembles a tag."""

import re
from enum import Enum, auto

MAX_PAUSE_MS = 10_000.0  # of one tag; longer pauses are shortened to this
_STRENGTHS_MS = {"none": 0.0, "x-weak": 100.0, "weak": 200.0, "medium": 400.0, "strong": 700.0, "x-strong": 1000.0}

_BREAK = re.compile(r"<break(?=[\s/>])([^<>]*)>", re.IGNORECASE)
_TIME = re.compile(r"\btime\s?=\s?[\"']?\s?\+?(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})\s?(m?s)\b", re.IGNORECASE)
_STRENGTH = re.compile(r"\bstrength\s?=\s?[\"']?([a-z-]{1,9})\b", re.IGNORECASE)
_PAUSE = re.compile(r"\[pause:\s?(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})\s?(m?s)?\]", re.IGNORECASE)
_PAUSE_PREFIX = re.compile(r"\[p(?:a(?:u(?:s(?:e(?::\s?[\d.]*\s?m?s?)?)?)?)?)?", re.IGNORECASE)
_FOOTNOTE_PREFIX = re.compile(r"\[\^[^\s\[\]]*")
_NAME = re.compile(r"</?([a-z][a-z0-9-]*)", re.IGNORECASE)
_FLAGS = "async|autoplay|checked|controls|defer|disabled|hidden|loop|muted|nowrap|open|required|reversed|selected"
_ATTRIBUTES = re.compile(
    rf"(?:\s+(?:[\w:@.-]+\s?=\s?(?:\"[^\"]*\"|'[^']*'|[^\s\"'>]+)|{_FLAGS}))*\s*/?>", re.IGNORECASE
)
_COMMENT = re.compile(r"<!--.*-->", re.DOTALL)


class Layout(Enum):
    """How a tag separates the text around it."""

    INLINE = auto()
    LINE_BREAK = auto()
    BLOCK = auto()


_INLINE = (
    "a abbr audio b bdi bdo big cite code data del dfn em emphasis font i img ins kbd lang mark phoneme prosody q s "
    "samp say-as small span speak strike strong sub sup time token tt u var voice w wbr"
)
_BLOCKS = (
    "article aside blockquote body center dd details div dl dt figcaption figure footer form h1 h2 h3 h4 h5 h6 head "
    "header hr html li main nav ol p pre s section sentence summary table tbody td tfoot th thead title tr ul"
)
_REASONING = ("think", "thinking", "thought", "reasoning")
_END_OF_REASONING = re.compile(rf"</(?:{'|'.join(_REASONING)})\s?>$", re.IGNORECASE)
MAX_REASONING_TAG_CHARS = 16
_LAYOUT = {
    **dict.fromkeys(_REASONING, Layout.BLOCK),
    **dict.fromkeys(_BLOCKS.split(), Layout.BLOCK),
    **dict.fromkeys(_INLINE.split(), Layout.INLINE),
    "br": Layout.LINE_BREAK,
}


def parse_pause(tag: str) -> float | None:
    """Return the pause in milliseconds that a complete tag requests, or None for any other tag."""
    if pause := _PAUSE.fullmatch(tag):
        return _to_ms(pause[1], pause[2] or "s")
    pause = _BREAK.fullmatch(tag)
    if pause is None:
        return None
    if time := _TIME.search(pause[1]):
        return _to_ms(time[1], time[2])
    strength = _STRENGTH.search(pause[1])
    return _STRENGTHS_MS.get(strength[1].lower() if strength else "medium", _STRENGTHS_MS["medium"])


def parse_layout(tag: str) -> Layout | None:
    """Return the layout of a complete tag, or None if the "<" is text."""
    if _COMMENT.fullmatch(tag):
        return Layout.INLINE
    name = _NAME.match(tag)
    if name is None or tag[name.end()] not in " \t/>":
        return None
    if not _ATTRIBUTES.fullmatch(tag, name.end()):
        return None  # "if a <b and c> d"
    if name[1].lower() == "break":
        return Layout.INLINE  # a closing tag; `parse_pause` takes the others
    return _LAYOUT.get(name[1].lower())


def opens_reasoning(tag: str) -> bool:
    """Return whether the text after a complete tag is a model's reasoning, which is not spoken."""
    name = _NAME.match(tag)
    return name is not None and not tag.startswith("</") and name[1].lower() in _REASONING and tag[-2] != "/"


def closes_reasoning(text: str) -> bool:
    """Return whether reasoning ends with `text`."""
    return _END_OF_REASONING.search(text) is not None


def is_tag_prefix(prefix: str, markdown: bool) -> bool:
    """Return whether `prefix`, which ends before a space or a slash, can become a tag at a later ">"."""
    if prefix == "<":
        return True
    if prefix.startswith("<!"):
        return markdown and "<!--".startswith(prefix[:4])
    name = _NAME.match(prefix)
    if name is None:
        return prefix == "</"
    return name[1].lower() == "break" or (markdown and name[1].lower() in _LAYOUT)


def is_bracket_prefix(prefix: str, markdown: bool) -> bool:
    """Return whether `prefix` can become "[pause:0.5]" or a footnote reference such as "[^1]"."""
    pause = _PAUSE_PREFIX.fullmatch(prefix)
    return pause is not None or (markdown and _FOOTNOTE_PREFIX.fullmatch(prefix) is not None)


def _to_ms(number: str, unit: str) -> float:
    ms = float(number) * (1 if unit.lower() == "ms" else 1000)
    return min(ms, MAX_PAUSE_MS)
