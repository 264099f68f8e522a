"""Lexicons as files: CSV, and the aliases of W3C's Pronunciation Lexicon Specification (PLS)."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from xml.parsers import expat

from sayline_tts.engine.text.lexicon import Entry, LexiconError
from sayline_tts.engine.text.normalization.normalizer import language_code

MAX_BYTES = 4 * 1024 * 1024
CSV_HEADER = ("written", "said", "match_case", "language", "voice")
_TRUE = ("true", "yes", "1", "x")
_MAX_SHOWN_CHARS = 100


def parse_csv(data: bytes) -> list[Entry]:
    """Read rows of `written,said`, with more columns if the first row names them. Raises `LexiconError`.

    Columns are separated by commas, semicolons or tabs, whichever the first row has.
    """
    text = _decode(data)
    first_line = text.partition("\n")[0]
    delimiter = next((char for char in "\t,;" if char in first_line), ",")
    entries: list[Entry] = []
    columns: tuple[str, ...] = CSV_HEADER[:2]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for number, row in enumerate(reader):
            cells = [cell.strip() for cell in row]
            if number == 0 and cells[:1] == [CSV_HEADER[0]]:
                columns = _columns(cells)
            elif any(cells):
                entries.append(_entry(columns, cells, reader.line_num))
    except csv.Error as error:
        raise LexiconError(f"line {reader.line_num} is no valid CSV ({error}); correct it") from None
    return entries


def to_csv(entries: Iterable[Entry]) -> str:
    """Return rows that `parse_csv` reads, with their header."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    for entry in entries:
        writer.writerow((entry.written, entry.said, "true" if entry.match_case else "", entry.language, entry.voice))
    return out.getvalue()


@dataclass
class _Pls:
    """What is read of a document so far. `skipped`: lexemes without an alias, which have only phonemes."""

    entries: list[Entry] = field(default_factory=list)
    skipped: int = 0
    language: str = ""
    path: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    graphemes: list[str] = field(default_factory=list)
    alias: str = ""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.path.append(name)
        self.text = []
        if len(self.path) == 1:
            if name != "lexicon":
                raise LexiconError(f"<{name[:_MAX_SHOWN_CHARS]}> is no PLS document; it has to begin with <lexicon>")
            self.language = language_code(attributes.get("xml:lang", ""))
        if name == "lexeme":
            self.graphemes, self.alias = [], ""

    def add_text(self, text: str) -> None:
        self.text.append(text)

    def end(self, name: str) -> None:
        text = " ".join("".join(self.text).split())
        self.path.pop()
        self.text = []
        if name == "grapheme":
            self.graphemes.append(text)
        elif name == "alias":
            self.alias = self.alias or text
        elif name == "lexeme" and self.alias:
            self.entries += [Entry(written, self.alias, True, self.language) for written in self.graphemes]
        elif name == "lexeme":
            self.skipped += 1


def parse_pls(data: bytes) -> tuple[list[Entry], int]:
    """Read a PLS document: its entries, and how many lexemes were skipped for they have phonemes and no alias.

    A document type declaration is refused, and with it entities and whatever is outside of the file. Raises
    `LexiconError`.
    """
    _check_size(data)
    pls, parser = _Pls(), expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = pls.start, pls.end
    parser.CharacterDataHandler = pls.add_text
    parser.StartDoctypeDeclHandler = _refuse_declaration
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise LexiconError(f"the file is no valid XML ({error}); correct it") from None
    return pls.entries, pls.skipped


def _refuse_declaration(*_: object) -> None:
    raise LexiconError("the file has a document type declaration (<!DOCTYPE ...>); remove it")


def _columns(header: list[str]) -> tuple[str, ...]:
    if unknown := [name for name in header if name not in CSV_HEADER] or len(set(header)) < len(header):
        shown = repr(unknown[0][:_MAX_SHOWN_CHARS]) if isinstance(unknown, list) else "the same"
        raise LexiconError(f"the first row has {shown} as a column; use each of {', '.join(CSV_HEADER)} at most once")
    return tuple(header)


def _entry(columns: tuple[str, ...], cells: list[str], line: int) -> Entry:
    if len(cells) < 2 or len(cells) > len(columns):
        raise LexiconError(f"line {line} has {len(cells)} columns; it has to be: {','.join(columns)}")
    values = dict(zip(columns, cells, strict=False))
    entry = Entry(
        values["written"],
        values.get("said", ""),
        values.get("match_case", "").lower() in _TRUE,
        language_code(values.get("language", "")),
        values.get("voice", ""),
    )
    try:
        entry.check()
    except LexiconError as error:
        raise LexiconError(f"line {line}: {error}") from None
    return entry


def _decode(data: bytes) -> str:
    _check_size(data)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LexiconError(f"the file is not UTF-8 (byte {error.start}); save it as UTF-8") from None


def _check_size(data: bytes) -> None:
    if len(data) > MAX_BYTES:
        raise LexiconError(f"the file is larger than {MAX_BYTES // 1024 // 1024} MB; split it")
