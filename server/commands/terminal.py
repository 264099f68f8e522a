"""Status and error messages of commands on standard error, and exit codes."""

import functools
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ParamSpec

import typer

from sayline_tts.engine.errors import InputError

USAGE_ERROR = 2  # as typer uses it for invalid options
INTERRUPTED, PIPE_CLOSED = 130, 141  # 128 plus the signal number, as in shells

Arguments = ParamSpec("Arguments")


def report_errors(command: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Decorator that prints each `InputError` as one line. Other exceptions keep their traceback: they are bugs."""

    @functools.wraps(command)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except InputError as error:
            print_error(error)
            exit_code = USAGE_ERROR
        except BrokenPipeError:
            _discard_output()
            exit_code = PIPE_CLOSED
        except KeyboardInterrupt:
            exit_code = INTERRUPTED
        else:
            return
        raise typer.Exit(exit_code)

    return run


def command_group(help: str, epilog: str, *commands: tuple[str, Callable[..., None]]) -> typer.Typer:
    """A command with subcommands, which report their errors."""
    app = typer.Typer(help=help, epilog=epilog, no_args_is_help=True, pretty_exceptions_enable=False)
    for name, command in commands:
        app.command(name)(report_errors(command))
    return app


def print_error(error: InputError, about: str = "") -> None:
    """Print one line, regardless of `--quiet`. `about` is prepended if the message does not contain it."""
    message = " ".join(line.strip() for line in str(error).splitlines())
    typer.echo(f"sayline: {about}: {message}" if about not in message else f"sayline: {message}", err=True)


@dataclass(frozen=True)
class Terminal:
    """Prints status messages and progress, unless `quiet`."""

    quiet: bool

    def print_status(self, message: str) -> None:
        if not self.quiet:
            typer.echo(message, err=True)

    def configure_libraries(self) -> None:
        """Reduce other libraries' log output and, with `quiet`, their progress bars."""
        from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

        logging.basicConfig(level=logging.ERROR if self.quiet else logging.WARNING, format="sayline: %(message)s")
        if self.quiet:
            disable_progress_bars()

    @contextmanager
    def progress(self, title: str, total: float, unit: str) -> Iterator[Callable[[float], None]]:
        """A progress bar, advanced by the yielded function. Hidden if standard error is not a terminal."""
        # Imported here, because every command loads this module and few show a bar.
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:g}" + unit),
            TimeElapsedColumn(),
        )
        hidden = self.quiet or not sys.stderr.isatty()
        # Standard output may carry the speech.
        console = Console(stderr=True)
        with Progress(*columns, console=console, disable=hidden, transient=True, redirect_stdout=False) as progress:
            task = progress.add_task(title, total=total)
            yield lambda step: progress.advance(task, step)


def _discard_output() -> None:
    """Redirect standard output to null, so that Python does not fail to flush it at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
