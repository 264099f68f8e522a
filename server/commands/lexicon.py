"""`sayline lexicon`: how words are to be said. A running server applies changes at once."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sayline_tts.server.commands.terminal import Terminal, command_group

if TYPE_CHECKING:
    from sayline_tts.engine.text.lexicon import Entry
    from sayline_tts.server.lexicons.store import LexiconStore

EXAMPLES = """Examples:

sayline lexicon add Nguyen win

sayline lexicon add "Siobhan Byrne" "shi-VAWN burn" --voice clara

sayline lexicon import names.csv --lexicon names --key phone

sayline lexicon export names.csv --lexicon names --key phone

sayline lexicon remove Nguyen"""

Written = Annotated[str, typer.Argument(metavar="WRITTEN", help="The word or phrase in the text.")]
Said = Annotated[str, typer.Argument(metavar="SAID", help="How it is said: a respelling in ordinary letters.")]
OptionalWritten = Annotated[
    str | None, typer.Argument(metavar="WRITTEN", help="The word or phrase.", show_default="the whole lexicon")
]
Name = Annotated[
    str, typer.Option("--lexicon", metavar="NAME", help="Name of the lexicon; `default` holds unless others are named.")
]
OptionalName = Annotated[
    str | None, typer.Option("--lexicon", metavar="NAME", help="List its entries.", show_default="list all lexicons")
]
KeyName = Annotated[
    str | None, typer.Option("--key", metavar="NAME", help="API key that it belongs to.", show_default="everybody's")
]
MatchCase = Annotated[bool, typer.Option("--match-case", help="Only with these capitals.")]
Language = Annotated[str, typer.Option(metavar="CODE", help="Only in text of this language.", show_default="any")]
Voice = Annotated[str, typer.Option(metavar="NAME", help="Only in this voice.", show_default="any")]
File = Annotated[Path, typer.Argument(metavar="FILE", help="A .csv file, or W3C's PLS (.pls or .xml); - is CSV.")]
CsvFile = Annotated[Path, typer.Argument(metavar="FILE", help="The CSV file to write; - is the standard output.")]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="PATH", envvar="SAYLINE_DATA", help="The server's data folder."),
]
DEFAULT = "default"
STANDARD_STREAM = Path("-")


def make_app() -> typer.Typer:
    about = "Say names and other words right: lexicons of the server."
    commands = (("add", add), ("list", list_lexicons), ("remove", remove), ("import", import_file), ("export", export))
    return command_group(about, EXAMPLES, *commands)


def add(
    written: Written,
    said: Said,
    lexicon: Name = DEFAULT,
    key: KeyName = None,
    match_case: MatchCase = False,
    language: Language = "",
    voice: Voice = "",
    data: Data = None,
) -> None:
    """Add an entry, or replace the one for the same text, language and voice."""
    from sayline_tts.engine.text.lexicon import Entry
    from sayline_tts.engine.text.normalization.normalizer import language_code

    entry = Entry(written, said, match_case, language_code(language), voice)
    count = len(_store(data).add(lexicon, _owner(key), [entry]).entries)
    Terminal(quiet=False).print_status(f"{written} is said {said} now; lexicon {lexicon} has {count} entries.")


def list_lexicons(lexicon: OptionalName = None, key: KeyName = None, data: Data = None) -> None:
    """List all lexicons, or the entries of one."""
    store = _store(data)
    if lexicon is not None:
        _print(("written", "said", "case", "language", "voice"), map(_row, _entries(store, lexicon, key)))
        return
    stored = store.all()
    if not stored:
        Terminal(quiet=False).print_status("No lexicons; add an entry with: sayline lexicon add WRITTEN SAID")
        return
    _print(
        ("lexicon", "key", "entries"),
        ((each.name, "" if each.owner == _owner(None) else each.owner, str(len(each.entries))) for each in stored),
    )


def remove(written: OptionalWritten = None, lexicon: Name = DEFAULT, key: KeyName = None, data: Data = None) -> None:
    """Remove all entries for a word or phrase, or a whole lexicon."""
    from sayline_tts.engine.errors import InputError
    from sayline_tts.engine.text.lexicon import fold

    store = _store(data)
    entries = _entries(store, lexicon, key)
    kept = [] if written is None else [each for each in entries if fold(each.written) != fold(written)]
    if len(kept) == len(entries):
        raise InputError(f"lexicon {lexicon} has no entry for {written!r}; `sayline lexicon list --lexicon` shows all")
    if kept:
        store.put(lexicon, _owner(key), kept)
    else:
        store.delete(lexicon, _owner(key))
    Terminal(quiet=False).print_status(f"Removed {len(entries) - len(kept)} entries of lexicon {lexicon}.")


def import_file(file: File, lexicon: Name = DEFAULT, key: KeyName = None, data: Data = None) -> None:
    """Add all entries of a file. CSV has the columns written and said, or names its columns in the first row."""
    from sayline_tts.engine.text import lexicon_files

    try:
        content = sys.stdin.buffer.read() if file == STANDARD_STREAM else file.read_bytes()
    except OSError as error:
        raise _failed("read", file, error) from None
    is_pls = file.suffix.lower() in (".pls", ".xml")
    entries, skipped = lexicon_files.parse_pls(content) if is_pls else (lexicon_files.parse_csv(content), 0)
    count = len(_store(data).add(lexicon, _owner(key), entries).entries)
    note = f" Skipped {skipped} that have phonemes and no alias." if skipped else ""
    Terminal(quiet=False).print_status(f"Read {len(entries)} entries; lexicon {lexicon} has {count}.{note}")


def export(file: CsvFile, lexicon: Name = DEFAULT, key: KeyName = None, data: Data = None) -> None:
    """Write a lexicon as CSV."""
    from sayline_tts.engine.text import lexicon_files

    text = lexicon_files.to_csv(_entries(_store(data), lexicon, key))
    if file == STANDARD_STREAM:
        typer.echo(text, nl=False)
        return
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise _failed("write", file, error) from None
    Terminal(quiet=False).print_status(f"Wrote lexicon {lexicon} to {file}.")


def _entries(store: "LexiconStore", name: str, key: str | None) -> "tuple[Entry, ...]":
    from sayline_tts.engine.errors import InputError

    if stored := store.get(name, _owner(key)):
        return stored.entries
    whose = f" of key {key}" if key else ""
    raise InputError(f"no lexicon {name!r}{whose}; `sayline lexicon list` shows all")


def _row(entry: "Entry") -> tuple[str, ...]:
    return entry.written, entry.said, "as written" if entry.match_case else "", entry.language, entry.voice


def _print(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _owner(key: str | None) -> str:
    from sayline_tts.server.access.limits import ANONYMOUS

    return key or ANONYMOUS


def _store(path: Path | None) -> "LexiconStore":
    from sayline_tts.server.lexicons.store import LexiconStore
    from sayline_tts.server.settings import Settings

    return LexiconStore(Settings.load(data=path and str(path)).lexicons_path)


def _failed(what: str, path: Path, error: OSError) -> Exception:
    from sayline_tts.engine.errors import InputError

    return InputError(f"cannot {what} {path} ({error.strerror}); check its path and owner")
