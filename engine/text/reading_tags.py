"""SSML tags that tell how the text in them is read: `<sub alias="...">` and `<say-as interpret-as="...">`."""

import html
import re

from sayline_tts.engine.text.lexicon import MAX_SAID_CHARS
from sayline_tts.engine.text.normalization.protocol import ReadingTag

_TAG = re.compile(r"<(/?)(sub|say-as)(?=[\s/>])([^<>]*?)(/?)>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""(?<=\s)([\w:-]+)\s?=\s?(?:"([^"]*)"|'([^']*)'|([^\s"'>/]+))""")
# Other names of the kinds, as different vendors have them.
_KINDS = {
    "characters": "characters", "character": "characters", "spell-out": "characters", "verbatim": "characters",
    "letters": "characters", "digits": "digits", "digit": "digits", "telephone": "telephone", "phone": "telephone",
    "date": "date", "ordinal": "ordinal", "cardinal": "cardinal", "number": "cardinal",
}  # fmt: skip


def is_reading_tag(tag: str) -> bool:
    """Return whether a complete tag is one of these, opening or closing."""
    return _TAG.fullmatch(tag) is not None


def parse_reading_tag(tag: str) -> ReadingTag | None:
    """Return the reading that a tag begins. None: it ends one, or it says nothing, as HTML's `<sub>`."""
    found = _TAG.fullmatch(tag)
    if found is None or found[1] or found[4]:
        return None
    attributes = {name.lower(): a or b or c for name, a, b, c in _ATTRIBUTE.findall(found[3])}
    if found[2].lower() == "sub":
        alias = " ".join(html.unescape(attributes.get("alias", ""))[:MAX_SAID_CHARS].split())
        return ReadingTag(alias=alias) if any(map(str.isalnum, alias)) else None
    kind = _KINDS.get(attributes.get("interpret-as", "").lower())
    return ReadingTag(kind=kind, format=attributes.get("format", "").lower()) if kind else None
