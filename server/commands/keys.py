"""`sayline keys`: create, list and revoke API keys. A running server applies changes at once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sayline_tts.server.commands.terminal import Terminal, command_group

if TYPE_CHECKING:
    from sayline_tts.server.access.keys import KeyFile

EXAMPLES = """Examples:

sayline keys add phone --contexts 4 --chars-per-minute 6000

sayline keys list

sayline keys revoke phone"""

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the key in lists, logs and metrics.")]
KeysFile = Annotated[
    Path | None,
    typer.Option(
        "--keys-file",
        metavar="PATH",
        envvar="SAYLINE_KEYS_FILE",
        help="File of API keys; give the server the same one.",
    ),
]
Contexts = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Contexts open at the same time.", show_default="no limit")
]
Sessions = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Sessions connected at the same time.",
        show_default="4 for each context, at least 16; without --contexts half of the server's",
    ),
]
CharsPerMinute = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Characters of text per minute, on average.", show_default="no limit"),
]
Voice = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="A voice that the key may use; repeat for several.", show_default="all"),
]
StoredVoices = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        help="Cloned voices that the key may store on the server.",
        show_default="the server's limit",
    ),
]
Cache = Annotated[bool, typer.Option("--cache/--no-cache", help="Speech may be kept in memory for repetition.")]
Operator = Annotated[bool, typer.Option("--operator", help="The key may see the usage of all keys.")]


def make_app() -> typer.Typer:
    about = "Create, list and revoke API keys of the server."
    return command_group(about, EXAMPLES, ("add", add), ("list", list_keys), ("revoke", revoke))


def add(
    name: Name,
    contexts: Contexts = None,
    sessions: Sessions = None,
    chars_per_minute: CharsPerMinute = None,
    voice: Voice = None,
    stored_voices: StoredVoices = None,
    cache: Cache = True,
    operator: Operator = False,
    keys_file: KeysFile = None,
) -> None:
    """Create a key and print it once; only its hash is stored.

    From the first key on, the server requires a key from every client.
    """
    from sayline_tts.server.access.limits import Limits

    limits = Limits(
        contexts=contexts,
        sessions=sessions,
        chars_per_minute=chars_per_minute,
        voices=tuple(voice) if voice else None,
        stored_voices=stored_voices,
        cache=cache,
    )
    file = _file(keys_file)
    typer.echo(file.add(name, limits, operator))
    Terminal(quiet=False).print_status(
        f"Created key {name}. The key itself is shown only now; {file.path} stores its hash."
    )


def list_keys(keys_file: KeysFile = None) -> None:
    """List all keys with their limits."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    file = _file(keys_file)
    keys = file.read()
    if not keys:
        Terminal(quiet=False).print_status(f"No keys in {file.path}; create one with: sayline keys add NAME")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    titles = ("name", "contexts", "sessions", "characters per minute", "voices", "stored voices", "operator", "created")
    for title in titles:
        table.add_column(title, overflow="fold")
    for key in keys:
        limits = key.limits
        columns = (
            limits.contexts,
            limits.sessions,
            limits.chars_per_minute,
            limits.voices and ", ".join(limits.voices),
        )
        stored_voices = "" if limits.stored_voices is None else str(limits.stored_voices)
        operator, created = "yes" if key.operator else "", key.created.partition("T")[0]
        table.add_row(key.name, *(str(limit or "") for limit in columns), stored_voices, operator, created)
    Console().print(table)


def revoke(name: Name, keys_file: KeysFile = None) -> None:
    """Revoke a key immediately. Contexts in progress are spoken to their end."""
    _file(keys_file).revoke(name)
    Terminal(quiet=False).print_status(f"Revoked key {name}.")


def _file(path: Path | None) -> "KeyFile":
    from sayline_tts.server.access.keys import KeyFile
    from sayline_tts.server.settings import Settings

    return KeyFile(Settings.load(keys_file=path and str(path)).keys_path)
