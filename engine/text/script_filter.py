"""Removal of text in scripts that a model cannot speak."""

import unicodedata
from collections.abc import Callable
from functools import lru_cache

# First words of the names of characters; other characters belong to the Latin script or to none.
_SCRIPTS = {
    **{name.upper(): f"the {name} script" for name in (
        "Arabic", "Armenian", "Bengali", "Bopomofo", "Cherokee", "Cyrillic", "Devanagari", "Ethiopic", "Georgian",
        "Greek", "Gujarati", "Gurmukhi", "Hangul", "Hebrew", "Hiragana", "Kannada", "Katakana", "Khmer", "Lao",
        "Malayalam", "Mongolian", "Myanmar", "Oriya", "Sinhala", "Tamil", "Telugu", "Thaana", "Thai", "Tibetan",
    )},
    "CJK": "Chinese characters",
    "HALFWIDTH": "the Katakana script",
}  # fmt: skip


class ScriptFilter:
    """Removes letters of scripts other than Latin that `is_known` says the tokenizer has no token for.

    A model without tokens for a script answers it with noise. Accented Latin letters are never removed: without a token
    of their own they are still near enough.
    """

    def __init__(self, is_known: Callable[[str], bool]) -> None:
        self._is_known = lru_cache(maxsize=4096)(is_known)
        self.removed: set[str] = set()  # names of the scripts that were found so far, as "the Thai script"

    def remove_unknown(self, text: str) -> str:
        """Return the text without them."""
        if text.isascii():
            return text
        return "".join(char for char in text if not self._is_removed(char))

    def _is_removed(self, char: str) -> bool:
        script = _script(char)
        if script is None or self._is_known(char):
            return False
        self.removed.add(script)
        return True


@lru_cache(maxsize=4096)
def _script(char: str) -> str | None:
    """The script of a letter or of a mark on letters, unless it is Latin or has none."""
    if char < "\u0370" or unicodedata.category(char)[0] not in "LM":
        return None
    return _SCRIPTS.get(unicodedata.name(char, "").split(" ")[0])
