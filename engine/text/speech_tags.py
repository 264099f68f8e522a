"""Tags that may stand in a text: which ask for a pause, which only lay it out, and which are none at all."""

import re
from enum import Enum, auto

MOST_PAUSE_MS = 10_000.0  # for one tag; what is longer is this long
_STRENGTHS_MS = {"none": 0.0, "x-weak": 100.0, "weak": 200.0, "medium": 400.0, "strong": 700.0, "x-strong": 1000.0}

_BREAK = re.compile(r"<break(?=[\s/>])([^<>]*)>", re.IGNORECASE)
_TIME = re.compile(r"\btime\s?=\s?[\"']?\s?\+?(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})\s?(m?s)\b", re.IGNORECASE)
_STRENGTH = re.compile(r"\bstrength\s?=\s?[\"']?([a-z-]{1,9})\b", re.IGNORECASE)
_PAUSE = re.compile(r"\[pause:\s?(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})\s?(m?s)?\]", re.IGNORECASE)
_HALF_PAUSE = re.compile(r"\[p(?:a(?:u(?:s(?:e(?::\s?[\d.]*\s?m?s?)?)?)?)?)?", re.IGNORECASE)
_HALF_NOTE = re.compile(r"\[\^[^\s\[\]]*")
_NAME = re.compile(r"</?([a-z][a-z0-9-]*)", re.IGNORECASE)
_COMMENT = re.compile(r"<!--.*-->", re.DOTALL)


class Layout(Enum):
    """What a tag does to the text around it."""

    NONE = auto()
    LINE = auto()
    BLOCK = auto()


_INLINE = (
    "a abbr audio b bdi bdo big cite code data del dfn em emphasis font i img ins kbd lang mark phoneme prosody q s "
    "samp say-as small span speak strike strong sub sup time token tt u var voice w wbr"
)
_BLOCKS = (
    "article aside blockquote body center dd details div dl dt figcaption figure footer form h1 h2 h3 h4 h5 h6 head "
    "header hr html li main nav ol p pre s section sentence summary table tbody td tfoot th thead title tr ul"
)
_LAYOUT = {
    **dict.fromkeys(_BLOCKS.split(), Layout.BLOCK),
    **dict.fromkeys(_INLINE.split(), Layout.NONE),
    "br": Layout.LINE,
}


def pause_of(tag: str) -> float | None:
    """Milliseconds of silence that a whole tag asks for. None where it is another tag."""
    if asked := _PAUSE.fullmatch(tag):
        return _ms(asked[1], asked[2] or "s")
    asked = _BREAK.fullmatch(tag)
    if asked is None:
        return None
    if time := _TIME.search(asked[1]):
        return _ms(time[1], time[2])
    strength = _STRENGTH.search(asked[1])
    return _STRENGTHS_MS.get(strength[1].lower() if strength else "medium", _STRENGTHS_MS["medium"])


def layout_of(tag: str) -> Layout | None:
    """None where it is no tag, but a person's "<"."""
    if _COMMENT.fullmatch(tag):
        return Layout.NONE
    name = _NAME.match(tag)
    if name is None or tag[name.end()] not in " \t/>":
        return None
    if name[1].lower() == "break":
        return Layout.NONE  # one that closes
    return _LAYOUT.get(name[1].lower())


def may_be_tag(beginning: str, markdown: bool) -> bool:
    """Is it worth waiting for the ">"? Asked at a blank or a slash."""
    if beginning == "<":
        return True
    if beginning.startswith("<!"):
        return markdown and "<!--".startswith(beginning[:4])
    name = _NAME.match(beginning)
    if name is None:
        return beginning == "</"
    return name[1].lower() == "break" or (markdown and name[1].lower() in _LAYOUT)


def half_bracket(beginning: str, markdown: bool) -> bool:
    """May it become "[pause:0.5]", or the number of a footnote, "[^1]"?"""
    pause = _HALF_PAUSE.fullmatch(beginning)
    return pause is not None or (markdown and _HALF_NOTE.fullmatch(beginning) is not None)


def _ms(number: str, unit: str) -> float:
    ms = float(number) * (1 if unit.lower() == "ms" else 1000)
    return min(ms, MOST_PAUSE_MS)
