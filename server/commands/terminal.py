"""What commands say to people, on standard error, and how they end. Knows no command."""

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

USERS_MISTAKE = 2  # as typer has it for options that cannot be
INTERRUPTED, PIPE_CLOSED = 130, 141  # 128 and the number of the signal, as a shell has it

Arguments = ParamSpec("Arguments")


def plainly(command: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """The command with its users' mistakes as one line each. What is left with a traceback is our fault."""

    @functools.wraps(command)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except InputError as error:
            complain(error)
            exit_code = USERS_MISTAKE
        except BrokenPipeError:
            _discard_output()
            exit_code = PIPE_CLOSED
        except KeyboardInterrupt:
            exit_code = INTERRUPTED
        else:
            return
        raise typer.Exit(exit_code)

    return run


def complain(error: InputError, about: str = "") -> None:
    """One line, whatever `quiet` says. `about` is put in front of a message that does not name it."""
    message = " ".join(line.strip() for line in str(error).splitlines())
    typer.echo(f"sayline: {about}: {message}" if about not in message else f"sayline: {message}", err=True)


@dataclass(frozen=True)
class Terminal:
    """Says what goes on; with `quiet` it says nothing."""

    quiet: bool

    def tell(self, message: str) -> None:
        if not self.quiet:
            typer.echo(message, err=True)

    def hush(self) -> None:
        """With `quiet`, keep the libraries silent too."""
        from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

        logging.basicConfig(level=logging.ERROR if self.quiet else logging.WARNING, format="sayline: %(message)s")
        if self.quiet:
            disable_progress_bars()

    @contextmanager
    def bar(self, title: str, total: float, unit: str) -> Iterator[Callable[[float], None]]:
        """A progress bar; gives what takes it forward. Nothing where nobody watches a terminal."""
        # Here, because every command, the client's too, loads this module, and few show a bar.
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:g}" + unit),
            TimeElapsedColumn(),
        )
        unseen = self.quiet or not sys.stderr.isatty()
        # Standard output stays untouched: it may be what carries the speech.
        console = Console(stderr=True)
        with Progress(*columns, console=console, disable=unseen, transient=True, redirect_stdout=False) as progress:
            task = progress.add_task(title, total=total)
            yield lambda step: progress.advance(task, step)


def _discard_output() -> None:
    """Or Python would try once more, at its end, to write what nobody reads, and complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
