"""`sayline data`: export, import and check the data folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sayline_tts.server.commands.terminal import Terminal, command_group

if TYPE_CHECKING:
    from sayline_tts.server.data_folder import DataFolder

EXAMPLES = """Examples:

sayline data export backup.tar.gz

sayline data import backup.tar.gz --data /var/lib/sayline

sayline data check"""

DAMAGED = 1  # exit code

Archive = Annotated[Path, typer.Argument(metavar="FILE", help="The archive, a .tar.gz.")]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="PATH", envvar="SAYLINE_DATA", help="The server's data folder."),
]


def make_app() -> typer.Typer:
    about = "Back up, move and check stored voices, lexicons, keys and usage."
    return command_group(about, EXAMPLES, ("export", export), ("import", restore), ("check", check))


def export(file: Archive, data: Data = None) -> None:
    """Write voices, lexicons, keys and usage to an archive. The server may run."""
    folder = _folder(data)
    try:
        names = folder.export(file)
    except OSError as error:
        raise _failed("write", file, error) from None
    Terminal(quiet=False).print_status(f"Exported {len(names)} files of {folder.path} to {file}.")


def restore(file: Archive, data: Data = None) -> None:
    """Restore an archive into an empty data folder.

    A running server sees the voices after its next start.
    """
    folder = _folder(data)
    try:
        names = folder.restore(file)
    except OSError as error:
        raise _failed("write", folder.path, error) from None
    Terminal(quiet=False).print_status(f"Imported {len(names)} files into {folder.path}.")


def check(data: Data = None) -> None:
    """Check every file of the data folder. Exits with 1 if one is damaged."""
    folder = _folder(data)
    problems = list(folder.problems())
    for problem in problems:
        typer.echo(problem)
    if problems:
        raise typer.Exit(DAMAGED)
    Terminal(quiet=False).print_status(f"{folder.path}: {len(folder.names())} files, all intact.")


def _folder(path: Path | None) -> "DataFolder":
    from sayline_tts.server.data_folder import DataFolder
    from sayline_tts.server.settings import Settings

    return DataFolder(Settings.load(data=path and str(path)).data_path)


def _failed(what: str, path: Path, error: OSError) -> Exception:
    from sayline_tts.engine.errors import InputError

    return InputError(f"cannot {what} {path} ({error.strerror}); check its owner and the free space")
