"""The `sayline` command: `speak`, `pipe`, and the commands of every package that offers some. Knows no protocol.

A package offers commands with an entry point in the group `sayline.commands`: a function that is given the app.
"""

import asyncio
import sys
from collections.abc import AsyncIterable
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sayline.pipe import Request

GROUP = "sayline.commands"
HELP = "Speech while the text is still being written."

Output = Annotated[
    str | None,
    typer.Option("--output", "-o", help="File to write, .wav or .raw; - for standard output. Without it: play."),
]
Voice = Annotated[str | None, typer.Option(help="Which voice; the server's own choice otherwise.")]
Url = Annotated[str, typer.Option(envvar="SAYLINE_URL", help="The server.")]
ApiKey = Annotated[
    str | None, typer.Option(envvar="SAYLINE_API_KEY", help="For a server that wants one.", show_envvar=True)
]
Language = Annotated[
    str | None, typer.Option(help="In which numbers, dates and the like are said; the voice's own otherwise.")
]
Speed = Annotated[float | None, typer.Option(min=0.5, max=2.0, help="Slower or faster, without a change of pitch.")]
Seed = Annotated[int | None, typer.Option(min=0, help="The same seed speaks the same text the same way.")]
Temperature = Annotated[
    float | None, typer.Option(min=0.0, help="Liveliness: 0 is flat, 1 is wild; the model's own otherwise.")
]
DecodeSteps = Annotated[
    int | None, typer.Option(min=1, max=16, help="Work on each frame; more is slower, and may sound better.")
]
Raw = Annotated[bool, typer.Option("--raw", help="Bare samples without a WAV header (16-bit, mono, 24 kHz).")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
URL = "ws://127.0.0.1:8000"


def main() -> None:
    make_app()()


def make_app() -> typer.Typer:
    app = typer.Typer(help=HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    app.command()(speak)
    app.command()(pipe)
    for entry_point in entry_points(group=GROUP):
        try:
            entry_point.load()(app)
        except Exception as error:  # another package's fault, whatever it is, must not take our commands away
            say(f"warning: the commands of {entry_point.name!r} ({entry_point.value}) are missing: {error!r}")
    return app


def speak(
    text: Annotated[str | None, typer.Argument(help="What to say.")] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="A text file to read out.")] = None,
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

    Ctrl-C stops the speech; a file then holds what was spoken so far.
    """
    from sayline.pipe import Request
    from sayline.text_input import TextInput
    from sayline.text_stream import text_of

    if (text is None) == (file is None):
        raise typer.BadParameter(
            "say either what to speak, or with -f in which file it is; `sayline pipe` reads a pipe"
        )
    request = Request(url, api_key, voice, language, speed, seed, temperature, decode_steps)
    if file is None:
        raise typer.Exit(run(request, text_of(text or ""), output, raw, quiet))
    try:
        with file.open("rb") as opened:
            raise typer.Exit(run(request, TextInput(opened.fileno()), output, raw, quiet))
    except OSError as error:
        say(f"sayline: cannot read {file}: {error.strerror or error}")
        raise typer.Exit(1) from None


def pipe(
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
    from sayline.pipe import Request
    from sayline.text_input import TextInput

    if sys.stdin.isatty() and not quiet:
        say("Type what to speak; Ctrl-D ends it.")
    request = Request(url, api_key, voice, language, speed, seed, temperature, decode_steps)
    raise typer.Exit(run(request, TextInput(sys.stdin.fileno()), output, raw, quiet))


def run(request: "Request", text: AsyncIterable[str], output: str | None, raw: bool, quiet: bool) -> int:
    """The exit code: as a shell expects it for an error, for Ctrl-C and for SIGTERM."""
    from sayline.errors import SaylineError
    from sayline.pipe import Pipe
    from sayline.sinks import open_sink

    exit_code = 0
    try:
        sink = open_sink(output, raw)
    except SaylineError as error:
        say(f"sayline: {error}")
        return 1
    run = Pipe(request, text, sink)
    try:
        asyncio.run(run.run())
    except SaylineError as error:
        say(f"sayline: {error}")
        exit_code = 1
    except KeyboardInterrupt:
        exit_code = 130
    except asyncio.CancelledError:
        exit_code = 143
    if places := getattr(text, "damaged_places", 0):
        damage = "1 place that is" if places == 1 else f"{places} places that are"
        say(f"warning: left out {damage} not UTF-8; convert the text first, for example with iconv -t utf-8")
    if exit_code and run.stopwatch.speech_ms and output is not None:
        say(f"What had come until then is in {sink.name}.")
    if run.stopwatch.speech_ms and not quiet:
        say(run.stopwatch.summary())
    return exit_code


def say(message: str) -> None:
    typer.echo(message, err=True)


if __name__ == "__main__":
    main()
