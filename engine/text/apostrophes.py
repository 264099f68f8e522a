"""Characters that are typed in place of an apostrophe."""

import re

_LETTER = r"[^\W\d_]"
# Between letters, each of them is an apostrophe. A prime after a digit means feet, a backtick at an edge is Markdown.
_BETWEEN_LETTERS = re.compile(rf"(?<={_LETTER})[`´ʼ＇′‘‛ʹʻꞌ](?={_LETTER})")
_NEXT_TO_LETTER = re.compile(rf"(?<={_LETTER})[´ʼ＇‛ꞌ]|[´ʼ＇‛ꞌ](?={_LETTER})")


def replace_apostrophes(word: str) -> str:
    """Return the word with ASCII apostrophes. Typographic ones ("’") are kept. Preserves the length."""
    return word if word.isascii() and "`" not in word else _NEXT_TO_LETTER.sub("'", _BETWEEN_LETTERS.sub("'", word))


def is_backtick_apostrophe(word: str, i: int) -> bool:
    """Return whether the only backtick of a word is between two letters, as in "he`ll"."""
    return word.count("`") == 1 and word[i - 1 : i].isalpha() and word[i + 1 : i + 2].isalpha()
