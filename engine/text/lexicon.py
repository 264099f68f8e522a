"""Lexicons: how words and phrases are said, and how they are found in text.

Text is compared by *atoms*: runs of letters and digits, and single other characters. Each entry is kept under its
atoms, so the work at a place in the text depends on the length of the longest entry there and not on their number.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sayline_tts.engine.errors import InputError

MAX_ENTRIES = 10_000
MAX_WRITTEN_CHARS = 100
MAX_SAID_CHARS = 200

_MARKS = "\u0300-\u036f"  # combining marks, which belong to the letter before them
_ATOM = re.compile(rf"(?:[^\W_][{_MARKS}]*)+|.", re.DOTALL)
_APOSTROPHES = str.maketrans("’", "'")


class LexiconError(InputError):
    code = "bad_lexicon"


@dataclass(frozen=True, slots=True)
class Entry:
    """How `written` is said, a respelling in ordinary letters.

    `match_case` False: also with other capitals. `language` (a code) and `voice` restrict it; empty: any.
    """

    written: str
    said: str
    match_case: bool = False
    language: str = ""
    voice: str = ""

    @property
    def rank(self) -> tuple[bool, bool, bool]:
        """Of entries for the same text, the one that says most about its use has the highest rank."""
        return self.voice != "", self.language != "", self.match_case

    @property
    def identity(self) -> tuple[str, str, str]:
        """What distinguishes it from the other entries of a lexicon: of two with the same, the later one holds."""
        written = _canonical(self.written)
        return (written if self.match_case else f"\0{fold(written)}"), self.language, self.voice

    def check(self) -> None:
        """Raises `LexiconError`."""
        shown = repr(self.written[:MAX_WRITTEN_CHARS])
        if not any(map(str.isalnum, self.written)) or len(self.written) > MAX_WRITTEN_CHARS:
            raise LexiconError(f"entry {shown} has to be 1 to {MAX_WRITTEN_CHARS} characters with a letter or a digit")
        if not any(map(str.isalnum, self.said)) or len(self.said) > MAX_SAID_CHARS:
            message = f"entry {shown} has to be said in 1 to {MAX_SAID_CHARS} characters with a letter or a digit"
            raise LexiconError(f"{message}, such as 'SAY-line'")


class Lexicon:
    """Entries, arranged for `LexiconMatcher`. Compared by identity: a changed lexicon is another one.

    Raises `LexiconError` for an invalid entry, or too many.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = merged(entries)
        self._by_text: dict[str, tuple[Entry, ...]] = {}
        self._prefixes: set[str] = set()
        self.first_atoms: set[str] = set()
        for entry in self.entries:
            self._add(entry)

    def _add(self, entry: Entry) -> None:
        parts = fold_atoms(atoms(_canonical(entry.written)))
        self.first_atoms.add(parts[0])
        *prefix, last = parts
        text = ""
        for atom in prefix:
            text += atom
            self._prefixes.add(text)
        text += last
        self._by_text[text] = (*self._by_text.get(text, ()), entry)

    def has_prefix(self, text: str) -> bool:
        """Return whether an entry goes on after these folded atoms."""
        return text in self._prefixes

    def find(self, folded: str) -> Sequence[Entry]:
        """Return the entries for a text, given its folded atoms; their use may be restricted."""
        return self._by_text.get(folded, ())


def merged(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Return the entries, checked, without those that a later one replaces. Raises `LexiconError`."""
    by_identity: dict[tuple[str, str, str], Entry] = {}
    for entry in entries:
        entry.check()
        by_identity[entry.identity] = entry
        if len(by_identity) > MAX_ENTRIES:
            raise LexiconError(f"a lexicon has at most {MAX_ENTRIES} entries; split it")
    return tuple(by_identity.values())


def atoms(text: str) -> list[str]:
    """Split text into its atoms, which together are the text."""
    return _ATOM.findall(text)


def fold_atoms(parts: Sequence[str]) -> list[str]:
    """Return atoms without differences that do not matter: of capitals, apostrophes, and the encoding of accents."""
    return [part.lower() if part.isascii() else fold(part) for part in parts]


def fold(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold()).translate(_APOSTROPHES)


def is_same_case(written: str, text: str) -> bool:
    """Return whether an entry that keeps its case is meant by `text`, which equals it otherwise."""
    return unicodedata.normalize("NFC", _canonical(written)).translate(_APOSTROPHES) == unicodedata.normalize(
        "NFC", text
    ).translate(_APOSTROPHES)


def _canonical(written: str) -> str:
    return " ".join(written.split())
