"""Text with markup, of which pauses are kept."""

import html
import re

_TAG = re.compile(r"<(?!break\b)[^<>]*>")


def without_tags(text: str) -> str:
    """The text of SSML; `<break>` stays, because the text's reader understands it."""
    return html.unescape(_TAG.sub("", text))
