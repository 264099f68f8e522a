"""The `sayline` command: `pipe`, and the commands of every package that offers some. Knows no protocol.

A package offers commands with an entry point in the group `sayline.commands`: a function that is given the app.
"""

import asyncio
import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sayline.pipe import Request

GROUP = "sayline.commands"
HELP = "Speech while the text is still being written."


def main() -> None:
    make_app()()


def make_app() -> typer.Typer:
    app = typer.Typer(help=HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    app.callback()(lambda: None)  # or the one command of a machine with the client alone would lose its name
    app.command()(pipe)
    for entry_point in entry_points(group=GROUP):
        try:
            entry_point.load()(app)
        except Exception as error:  # another package's fault, whatever it is, must not take our commands away
            say(f"warning: the commands of {entry_point.name!r} ({entry_point.value}) are missing: {error!r}")
    return app


def pipe(
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="WAV file to write, - for standard output. Without it: play."),
    ] = None,
    voice: Annotated[str | None, typer.Option(help="Which voice; the server's own choice otherwise.")] = None,
    url: Annotated[str, typer.Option(envvar="SAYLINE_URL", help="The server.")] = "ws://127.0.0.1:8000",
    api_key: Annotated[
        str | None, typer.Option(envvar="SAYLINE_API_KEY", help="For a server that wants one.", show_envvar=True)
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="In which numbers, dates and the like are said; the voice's own otherwise.")
    ] = None,
    speed: Annotated[
        float | None, typer.Option(min=0.5, max=2.0, help="Slower or faster, without a change of pitch.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="The same seed speaks the same text the same way.")] = None,
    temperature: Annotated[
        float | None, typer.Option(min=0.0, help="Liveliness: 0 is flat, 1 is wild; the model's own otherwise.")
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="With -o: bare samples without a WAV header (16-bit, mono, 24 kHz).")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
) -> None:
    """Speak the text on standard input while it is still being written.

    Text goes to the server word by word as it comes, and the sound is
    played, or written to the file, while the text is still coming:

        my-llm "Tell me a story" | sayline pipe

        echo "Hello there." | sayline pipe -o hello.wav

    Ctrl-C stops the speech; the file then holds what was spoken so far.
    At the end one line tells how fast it went. "First audio" counts from
    the moment the last letter of the first segment (the first text that
    can be spoken) was sent, to the first sound coming in.
    """
    from sayline.pipe import FILE_LEAD_MS, Request

    if sys.stdin.isatty() and not quiet:
        say("Type what to speak; Ctrl-D ends it.")
    lead_ms = None if output is None else FILE_LEAD_MS
    request = Request(url, api_key, voice, language, speed, seed, temperature, lead_ms)
    raise typer.Exit(run_pipe(request, output, raw, quiet))


def run_pipe(request: "Request", output: str | None, raw: bool, quiet: bool) -> int:
    """The exit code: as a shell expects it for an error, for Ctrl-C and for SIGTERM."""
    from sayline.errors import SaylineError
    from sayline.pipe import Pipe
    from sayline.sinks import open_sink
    from sayline.text_input import TextInput

    exit_code = 0
    try:
        sink = open_sink(output, raw)
        run = Pipe(request, TextInput(sys.stdin.fileno()), sink)
    except SaylineError as error:
        say(f"sayline: {error}")
        return 1
    try:
        asyncio.run(run.run())
    except SaylineError as error:
        say(f"sayline: {error}")
        exit_code = 1
    except KeyboardInterrupt:
        exit_code = 130
    except asyncio.CancelledError:
        exit_code = 143
    if places := run.text.damaged_places:
        damage = "1 place that is" if places == 1 else f"{places} places that are"
        say(f"warning: left out {damage} not UTF-8; convert the text first, for example with iconv -t utf-8")
    if exit_code and run.stopwatch.speech_ms and output is not None:
        say(f"What had come until then is in {sink.name}.")
    if run.stopwatch.speech_ms and not quiet:
        say(run.stopwatch.summary())
    return exit_code


def say(message: str) -> None:
    typer.echo(message, err=True)
