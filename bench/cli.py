"""`sayline bench`: how many listeners does a server keep supplied, and how soon do they hear it?"""

from typing import TYPE_CHECKING, Annotated

import typer

from sayline_tts.server.commands.model_choice import WHICH_MODEL, Config
from sayline_tts.server.commands.terminal import Terminal, plainly

if TYPE_CHECKING:
    from sayline_tts.bench.report.report import Report

EXAMPLES = """Examples:

sayline bench --quick

sayline bench --variant english --seconds 60 --runs 3

sayline bench --url ws://127.0.0.1:8000 --listeners 20"""

Url = Annotated[
    str | None,
    typer.Option(metavar="URL", help="A server that runs. Without it: start one here, and stop it at the end."),
]
ApiKey = Annotated[
    str | None, typer.Option(envvar="SAYLINE_API_KEY", help="For a server that wants one.", show_envvar=True)
]
VoiceName = Annotated[str | None, typer.Option("--voice", help="Which voice.", show_default="the server's own")]
Variant = Annotated[str, typer.Option(metavar="NAME", help=WHICH_MODEL)]
Listeners = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Measure so many at once instead of searching for the most.")
]
Seconds = Annotated[float, typer.Option(min=1.0, metavar="S", help="How long nobody may run dry.")]
Runs = Annotated[int, typer.Option(min=1, metavar="N", help="How often each is measured; the spread is reported.")]
FirstAudioMs = Annotated[
    float,
    typer.Option(
        "--ttfa-ms", min=1.0, metavar="MS", help="Listeners count only while 95 % have their first audio so soon."
    ),
]
MostListeners = Annotated[int, typer.Option(min=1, metavar="N", help="Search no further than this.")]
Only = Annotated[
    list[str] | None,
    typer.Option(metavar="PHASE", help="Only engine, start, alone, memory, ramp or poisson. May be given again."),
]
Quick = Annotated[bool, typer.Option("--quick", help="Seconds, not minutes: does it work? Its numbers mean nothing.")]
Output = Annotated[
    str, typer.Option("--output", "-o", metavar="FOLDER", help="Where bench.json and steps.svg are written.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say only the results.")]


def register(app: typer.Typer) -> None:
    app.command("bench", epilog=EXAMPLES)(plainly(bench))


def bench(
    url: Url = None,
    api_key: ApiKey = None,
    voice: VoiceName = None,
    variant: Variant = "auto",
    config: Config = None,
    listeners: Listeners = None,
    seconds: Seconds = 60.0,
    runs: Runs = 3,
    ttfa_ms: FirstAudioMs = 100.0,
    most: MostListeners = 256,
    only: Only = None,
    quick: Quick = False,
    output: Output = "build/bench",
    quiet: Quiet = False,
) -> None:
    """Measure a server: how many listeners it keeps supplied, and how
    soon they hear it.

    Listeners come through real WebSockets and play what they get in real
    time from the first packet on; who has nothing to play has run dry.
    The headline is the most listeners at once of whom none runs dry while
    first audio comes in time. Then listeners come by chance, at 80 % of
    that. First audio counts from the last byte of the text.

    Settings of the server it starts are SAYLINE_* variables, as ever.
    """
    import asyncio
    import contextlib
    import sys

    from rich.console import Console

    from sayline_tts.bench.bench_runner import Bench
    from sayline_tts.bench.load.stream import Lost
    from sayline_tts.bench.report.config import PHASES, QUICK, Goal, Size
    from sayline_tts.engine.errors import InputError

    if unknown := set(only or ()) - set(PHASES):
        raise InputError(f"there is no phase {', '.join(sorted(unknown))}; there are: {', '.join(PHASES)}")
    size = QUICK if quick else Size(seconds=seconds, runs=runs, most_listeners=most)
    phases = tuple(only or PHASES)
    plan = Bench(Goal(url, api_key, voice, variant, config, listeners, ttfa_ms, phases, size), Terminal(quiet).tell)
    interrupted = contextlib.suppress(KeyboardInterrupt)  # what was measured until then is worth having
    try:
        with interrupted:
            asyncio.run(plan.run())
    except* Lost as errors:
        raise InputError(str(errors.exceptions[0])) from None
    write(plan.report, output)
    plan.report.print(Console(width=None if sys.stdout.isatty() else 120))
    typer.echo(f"Written to {output}.")


def write(report: "Report", output: str) -> None:
    from pathlib import Path

    from sayline_tts.bench.report.svg_chart import draw_steps

    folder = Path(output).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_text(report.to_json(), "utf-8")
    if report.engine is not None:
        engine = report.engine
        title = f"A step of the engine: {engine.model}, {engine.precision}, {report.machine.cores} cores"
        (folder / "steps.svg").write_text(draw_steps(engine.steps, 80.0, title), "utf-8")
