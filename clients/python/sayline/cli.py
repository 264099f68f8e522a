"""The `sayline` command: `speak`, `pipe`, and the commands that other packages register.

A package registers commands with an entry point in the group `sayline.commands`: a function that receives the app.
"""

import asyncio
import sys
from collections.abc import AsyncIterable
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sayline.pipe import Request

GROUP = "sayline.commands"
PACKAGES = "sayline", "sayline-client"  # the server, which may not be installed, and this one
HELP = "Speak text while it is still being written."

Output = Annotated[
    str | None,
    typer.Option("--output", "-o", help="File to write (.wav or .raw); - for standard output. Default: play."),
]
Voice = Annotated[str | None, typer.Option(help="Voice. Default: the server's.")]
Url = Annotated[str, typer.Option(envvar="SAYLINE_URL", help="URL of the server.")]
ApiKey = Annotated[
    str | None, typer.Option(envvar="SAYLINE_API_KEY", help="API key, if the server requires one.", show_envvar=True)
]
Language = Annotated[str | None, typer.Option(help="Language of text normalization. Default: the voice's.")]
Speed = Annotated[float | None, typer.Option(min=0.5, max=2.0, help="Speaking rate, at constant pitch.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed; the same seed gives the same audio for the same text.")]
Temperature = Annotated[
    float | None, typer.Option(min=0.0, help="Sampling temperature: 0 is flat, 1 is lively. Default: the model's.")
]
DecodeSteps = Annotated[
    int | None, typer.Option(min=1, max=16, help="Flow steps for each frame; more are slower and may sound better.")
]
LookaheadWords = Annotated[
    int | None,
    typer.Option(
        min=0, max=20, help="Speak a sentence while it is written, so many words behind; 0 waits for whole clauses."
    ),
]
Raw = Annotated[bool, typer.Option("--raw", help="Write raw samples without a WAV header (16-bit, mono, 24 kHz).")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors.")]
URL = "ws://127.0.0.1:8000"


def main() -> None:
    make_app()()


def make_app() -> typer.Typer:
    app = typer.Typer(
        help=HELP,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    app.command()(speak)
    app.command()(pipe)
    for entry_point in entry_points(group=GROUP):
        try:
            entry_point.load()(app)
        except Exception as error:  # a broken package must not disable the other commands
            print_message(f"warning: cannot load the commands of {entry_point.name!r} ({entry_point.value}): {error!r}")
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        for package in PACKAGES:
            try:
                typer.echo(f"{package} {version(package)}")
            except PackageNotFoundError:
                continue
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the versions and exit.")
    ] = False,
) -> None:
    pass


def speak(  # more than eight parameters: Typer makes an option of each
    text: Annotated[str | None, typer.Argument(help="Text to speak.")] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Text file to speak.")] = None,
    output: Output = None,
    voice: Voice = None,
    url: Url = URL,
    api_key: ApiKey = None,
    language: Language = None,
    speed: Speed = None,
    seed: Seed = None,
    temperature: Temperature = None,
    decode_steps: DecodeSteps = None,
    raw: Raw = False,
    quiet: Quiet = False,
) -> None:
    """Speak a text, or a text file.

    sayline speak "Hello there."

    sayline speak -f letter.txt -o letter.wav

    Ctrl-C stops; an output file keeps the speech so far.
    """
    from sayline.pipe import Request
    from sayline.text_input import TextInput
    from sayline.text_stream import text_of

    if (text is None) == (file is None):
        raise typer.BadParameter("give either TEXT or --file; `sayline pipe` reads standard input")
    request = Request(url, api_key, voice, language, speed, seed, temperature, decode_steps)
    if file is None:
        raise typer.Exit(run(request, text_of(text or ""), output, raw, quiet))
    try:
        with file.open("rb") as opened:
            raise typer.Exit(run(request, TextInput(opened.fileno()), output, raw, quiet))
    except OSError as error:
        print_message(f"sayline: cannot read {file}: {error.strerror or error}")
        raise typer.Exit(1) from None


def pipe(  # more than eight parameters: Typer makes an option of each
    output: Output = None,
    voice: Voice = None,
    url: Url = URL,
    api_key: ApiKey = None,
    language: Language = None,
    speed: Speed = None,
    seed: Seed = None,
    temperature: Temperature = None,
    decode_steps: DecodeSteps = None,
    lookahead_words: LookaheadWords = None,
    raw: Raw = False,
    quiet: Quiet = False,
) -> None:
    """Speak standard input while it is still being written.

    Text is sent to the server as it arrives, and audio is played, or
    written to the file, while text is still arriving:

        my-llm "Tell me a story" | sayline pipe

        echo "Hello there." | sayline pipe -o hello.wav

    With --lookahead-words 2 a sentence is spoken while it is written, two
    words behind, instead of once a clause is complete.

    Ctrl-C stops; an output file keeps the speech so far. The last line
    reports the speed. "First audio" is the time from sending the last
    character of the first segment (the first speakable text) to receiving
    the first audio.
    """
    from sayline.pipe import Request
    from sayline.text_input import TextInput

    if sys.stdin.isatty() and not quiet:
        print_message("Type text to speak; Ctrl-D ends it.")
    request = Request(url, api_key, voice, language, speed, seed, temperature, decode_steps, lookahead_words)
    raise typer.Exit(run(request, TextInput(sys.stdin.fileno()), output, raw, quiet))


def run(request: "Request", text: AsyncIterable[str], output: str | None, raw: bool, quiet: bool) -> int:
    """Return the exit code: 1 for an error, 130 for Ctrl-C, 143 for SIGTERM."""
    from sayline.errors import SaylineError
    from sayline.pipe import Pipe
    from sayline.sinks import open_sink

    exit_code = 0
    try:
        sink = open_sink(output, raw)
    except SaylineError as error:
        print_message(f"sayline: {error}")
        return 1
    run = Pipe(request, text, sink)
    try:
        asyncio.run(run.run())
    except SaylineError as error:
        print_message(f"sayline: {error}")
        exit_code = 1
    except KeyboardInterrupt:
        exit_code = 130
    except asyncio.CancelledError:
        exit_code = 143
    if places := getattr(text, "damaged_places", 0):
        damage = "1 place that is" if places == 1 else f"{places} places that are"
        print_message(f"warning: skipped {damage} not UTF-8; convert the text, for example with iconv -t utf-8")
    if exit_code and run.stopwatch.speech_ms and output is not None:
        print_message(f"The speech received so far is in {sink.name}.")
    if run.stopwatch.speech_ms and not quiet:
        print_message(run.stopwatch.summary())
    return exit_code


def print_message(message: str) -> None:
    typer.echo(message, err=True)


if __name__ == "__main__":
    main()
