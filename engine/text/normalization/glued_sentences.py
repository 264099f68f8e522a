"""Detection of sentences that no space separates: "I found it.It is here."."""

import re
from collections.abc import Collection, Sequence

from sayline_tts.engine.text.normalization.language_data import LanguageData, word_set

_OPEN = "\"'“‘«([¿¡"
_CLOSE = "\"'”’»)\\]"
_END = rf"[.!?…]+[{_CLOSE}]*"
_CANDIDATE = re.compile(rf"[.!?…][{_OPEN}{_CLOSE}]{{0,3}}[^\W\d_]")
_PART = re.compile(rf"[{_OPEN}]*([^\W_]+(?:['’-][^\W_]+)*)%?[{_CLOSE}]*")
_TERMINAL = re.compile(_END)
_TRAILING = re.compile(rf"[.,;:!?…—–{_CLOSE}-]*")


class GluedSentences:
    """Finds the ends of sentences inside a word.

    Addresses, file names, versions and names in programs resemble two sentences. So all parts of the word have to be
    plain words, and the one after the punctuation is capitalized. It is a word that often starts a sentence, or the
    word before it is in lower case. "!" and "?" need no such word.
    """

    def __init__(self, data: LanguageData) -> None:
        self._openers = word_set(data.sentence_openers)
        self._never_sentences = word_set(data.top_level_domains) | set(data.file_extensions)
        self._abbreviations: Collection[str] = {*data.titles, *(f"{key}." for key in data.unmarked_titles)}
        self._nouns_are_capitalized = data.nouns_are_capitalized

    def starts(self, text: str) -> Sequence[int]:
        """Return the indices at which sentences start, without the first."""
        if not _CANDIDATE.search(text) or text.islower():
            return ()
        starts: list[int] = []
        end, before, punctuation = 0, "", ""
        while part := _PART.match(text, end):
            if before and not self._is_boundary(before, punctuation, part[1]):
                return ()
            if before:
                starts.append(end)
            terminal = _TERMINAL.match(text, part.end())
            if terminal is None or terminal.end() == len(text):
                return starts if _TRAILING.fullmatch(text, part.end()) else ()
            end, before, punctuation = terminal.end(), part[1], terminal[0]
        return ()

    def _is_boundary(self, before: str, punctuation: str, after: str) -> bool:
        first, *rest = re.split("['’]", after)
        is_word = first[:1].isupper() and (first[1:].islower() or len(first) == 1) and all(map(str.isalpha, rest))
        if not is_word:
            return False
        if len(before) == 1 and not before.isdigit():
            return False  # an initial
        if first.lower() in self._openers or f"{before.lower()}." in self._abbreviations:
            return True
        if len(first) == 1 or not before.replace("-", "").isalpha():
            return False
        if punctuation[0] in "!?…" or punctuation.startswith("..."):
            return True
        is_plain = before.islower() or (self._nouns_are_capitalized and before[1:].islower())
        return is_plain and first.lower() not in self._never_sentences
