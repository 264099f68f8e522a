"""`sayline keys`: API keys are made, listed and revoked. A running server sees it at once. Never shows a key twice."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sayline_tts.server.commands.terminal import Terminal, plainly

if TYPE_CHECKING:
    from sayline_tts.server.access.keys import KeyFile

EXAMPLES = """Examples:

sayline keys add phone --contexts 4 --chars-per-minute 6000

sayline keys list

sayline keys revoke phone"""

Name = Annotated[str, typer.Argument(metavar="NAME", help="Who holds the key: a name for lists, logs and metrics.")]
Place = Annotated[
    Path | None,
    typer.Option(
        "--keys-file", metavar="PATH", envvar="SAYLINE_KEYS_FILE", help="Where keys are kept; the server's setting too."
    ),
]
Contexts = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Streams of speech open at once.", show_default="no limit")
]
CharsPerMinute = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Characters of text a minute, on average.", show_default="no limit"),
]
Voice = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="The only voice it may use; may be given many times.", show_default="all"),
]
StoredVoices = Annotated[
    int | None,
    typer.Option(metavar="N", min=0, help="Voices it may keep on the server.", show_default="the server's limit"),
]


def make_app() -> typer.Typer:
    app = typer.Typer(
        help="API keys for those who use the server: make, list and revoke them.",
        epilog=EXAMPLES,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    for name, command in (("add", add), ("list", list_keys), ("revoke", revoke)):
        app.command(name)(plainly(command))
    return app


def add(
    name: Name,
    contexts: Contexts = None,
    chars_per_minute: CharsPerMinute = None,
    voice: Voice = None,
    stored_voices: StoredVoices = None,
    keys_file: Place = None,
) -> None:
    """Make a key and print it, this once: only a hash of it is kept.

    From then on the server asks everybody for a key.
    """
    from sayline_tts.server.access.limits import Limits

    limits = Limits(
        contexts=contexts,
        chars_per_minute=chars_per_minute,
        voices=tuple(voice) if voice else None,
        stored_voices=stored_voices,
    )
    file = _file(keys_file)
    typer.echo(file.add(name, limits))
    Terminal(quiet=False).tell(f"This is the key of {name}. It is shown only now; {file.path} holds a hash of it.")


def list_keys(keys_file: Place = None) -> None:
    """Show whose keys are good, and what each may."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    file = _file(keys_file)
    keys = file.read()
    if not keys:
        Terminal(quiet=False).tell(f"There are no keys in {file.path}; make one with: sayline keys add NAME")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("name", "contexts", "characters a minute", "voices", "stored voices", "made"):
        table.add_column(title, overflow="fold")
    for key in keys:
        limits = key.limits
        shown = (limits.contexts, limits.chars_per_minute, limits.voices and ", ".join(limits.voices))
        kept = "" if limits.stored_voices is None else str(limits.stored_voices)
        table.add_row(key.name, *(str(limit or "") for limit in shown), kept, key.created.partition("T")[0])
    Console().print(table)


def revoke(name: Name, keys_file: Place = None) -> None:
    """Make a key worthless, from this moment on. What is being spoken with it is spoken to its end."""
    _file(keys_file).revoke(name)
    Terminal(quiet=False).tell(f"The key of {name} is revoked.")


def _file(path: Path | None) -> "KeyFile":
    from sayline_tts.server.access.keys import KeyFile
    from sayline_tts.server.settings import Settings

    return KeyFile(Settings.load(keys_file=path and str(path)).keys_path)
