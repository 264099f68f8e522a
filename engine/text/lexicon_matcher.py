"""Finding the entries of lexicons in a sequence of words: the longest ones, and whole words only."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sayline_tts.engine.text.lexicon import Entry, Lexicon, atoms, fold_atoms, is_same_case

_OPENING = re.escape("\"'“”‘’«‹»›„‚([{¿¡*")
_CLOSING = re.escape("\"'”’“‘»›«‹)]},.;:!?…。！？、，；：*™®©")
_DASHES = "–—-"
# Where a word is more than an entry and punctuation, it can be a compound, an elision or a possessive.
_BEFORE = re.compile(rf"[{_OPENING}]*(?:[\w'’{_DASHES}]*[{_DASHES}])?(\w+['’])?[{_OPENING}]*")
_AFTER = re.compile(rf"(?:['’]s)?[{_CLOSING}]*(?:[{_DASHES}][\w'’{_DASHES}]*[{_CLOSING}]*)?")
_MAX_CONTRACTION_CHARS = 2  # behind an apostrophe: no entry "m" is meant in "I'm", and none "ll" in "we'll"


class MatchedWord:
    """A word of the text, as the matcher sees it.

    `joins`: whether an entry may contain it together with the word before it. `is_whole`: whether both of its ends are
    ends of a word, and not a place where a long one was cut.
    """

    __slots__ = ("folded", "is_whole", "joins", "text")

    def __init__(self, text: str, joins: bool = True, is_whole: bool = True) -> None:
        self.text, self.joins, self.is_whole = text, joins, is_whole
        self.folded = atoms(text.lower()) if text.isascii() else fold_atoms(atoms(text))

    def offset(self, index: int) -> int:
        """Return where the atom at `index` begins in the text."""
        return sum(map(len, atoms(self.text)[:index]))


@dataclass(frozen=True)
class Match:
    """An entry that ends before the atom at `end` of the word at `word`, counted from the word in which it begins."""

    entry: Entry
    word: int
    end: int


class LexiconMatcher:
    """The lexicons of one text, the more important ones first. `language` and `voice` are those of the text."""

    def __init__(self, lexicons: Sequence[Lexicon], language: str = "", voice: str = "") -> None:
        self._lexicons = tuple(lexicons)
        self._language, self._voice = language, voice

    @property
    def is_empty(self) -> bool:
        return not self._lexicons

    def may_begin_in(self, word: MatchedWord) -> bool:
        """Return whether an entry begins like a part of this word. False for nearly all words, and fast."""
        return not all(lexicon.first_atoms.isdisjoint(word.folded) for lexicon in self._lexicons)

    def find(self, words: Sequence[MatchedWord], index: int) -> tuple[Match | None, bool]:
        """Return the longest entry that begins at the atom at `index` of the first word.

        The second value tells whether words after these can make it longer, or make one.
        """
        best: Match | None = None
        can_grow = False
        for lexicon in self._lexicons:
            if words[0].folded[index] not in lexicon.first_atoms:
                continue
            if not self._can_begin(words[0], index):
                return None, False
            match, grows = self._find_in(lexicon, words, index)
            can_grow |= grows
            if match and (best is None or (match.word, match.end) > (best.word, best.end)):
                best = match
        return best, can_grow

    def _find_in(self, lexicon: Lexicon, words: Sequence[MatchedWord], index: int) -> tuple[Match | None, bool]:
        best, text, i, end = None, "", 0, index
        while True:
            text += words[i].folded[end]
            end += 1
            found = lexicon.find(text)
            if found and (entry := self._usable(found, words[: i + 1], index, end)):
                best = Match(entry, i, end)
            if not lexicon.has_prefix(text):
                return best, False
            if end == len(words[i].folded):
                text += " "
                if not words[i].is_whole or not lexicon.has_prefix(text):
                    return best, False
                if i + 1 == len(words):
                    return best, True
                if not words[i + 1].joins or not words[i + 1].is_whole:
                    return best, False
                i, end = i + 1, 0

    def _usable(self, entries: Sequence[Entry], words: Sequence[MatchedWord], index: int, end: int) -> Entry | None:
        """Return the entry of the highest rank that holds for this text, if a word can end there."""
        last = words[-1]
        if not _AFTER.fullmatch(last.text, last.offset(end)):
            return None
        usable = [entry for entry in entries if self._is_for_text(entry)]
        if any(entry.match_case for entry in usable):
            parts = [word.text for word in words]
            parts[-1] = parts[-1][: last.offset(end)]
            parts[0] = parts[0][words[0].offset(index) :]
            text = " ".join(parts)
            usable = [entry for entry in usable if not entry.match_case or is_same_case(entry.written, text)]
        return max(usable, key=lambda entry: entry.rank, default=None)

    def _is_for_text(self, entry: Entry) -> bool:
        return entry.language in ("", self._language) and entry.voice in ("", self._voice)

    def _can_begin(self, word: MatchedWord, index: int) -> bool:
        if not word.is_whole:
            return False
        if index == 0:
            return True
        found = _BEFORE.fullmatch(word.text, 0, word.offset(index))
        return found is not None and (not found[1] or len(word.folded[index]) > _MAX_CONTRACTION_CHARS)


NO_LEXICONS = LexiconMatcher(())
