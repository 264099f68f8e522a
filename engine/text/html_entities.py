"""HTML character references: "&amp;", "&#39;", "&#x27;", also those that were escaped twice ("&amp;#39;")."""

import html
import re
from bisect import bisect_left
from functools import cache
from html.entities import html5

_MAX_ESCAPES = 3
_ESCAPED_AMPERSAND = re.compile(rf"&(?:amp;){{0,{_MAX_ESCAPES - 1}}}")
_NUMERIC = re.compile(r"#(?:[0-9]{1,7}|[xX][0-9a-fA-F]{1,6});")
_NUMERIC_PREFIX = re.compile(r"#(?:[0-9]{0,7}|[xX][0-9a-fA-F]{0,6})")


def is_entity_prefix(prefix: str) -> bool:
    """Return whether `prefix`, which starts with "&", can become a character reference, or a longer one."""
    ampersand = _ESCAPED_AMPERSAND.match(prefix)
    if ampersand is None:
        return False
    rest = prefix[ampersand.end() :]
    if _NUMERIC_PREFIX.fullmatch(rest):
        return True
    names = _names()
    i = bisect_left(names, rest)
    return i < len(names) and names[i].startswith(rest)


def decode_entity(text: str) -> str | None:
    """Return the character, or the few characters, of a complete character reference, or None for other text."""
    ampersand = _ESCAPED_AMPERSAND.match(text)
    if ampersand is None or len(text) == 1:
        return None
    rest = text[ampersand.end() :]
    if rest and not (rest in html5 and rest[-1] == ";") and not _NUMERIC.fullmatch(rest):
        return None
    return html.unescape(f"&{rest}") if rest else "&"


@cache
def _names() -> list[str]:
    return sorted(name for name in html5 if name.endswith(";"))
