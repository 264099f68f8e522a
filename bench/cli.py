"""`sayline bench`: measure how many listeners a server sustains, and its latency."""

from typing import TYPE_CHECKING, Annotated

import typer

from sayline_tts.server.commands.model_choice import WHICH_MODEL, Config
from sayline_tts.server.commands.terminal import Terminal, report_errors

if TYPE_CHECKING:
    from sayline_tts.bench.report.report import Report

EXAMPLES = """Examples:

sayline bench --quick

sayline bench --variant english --seconds 60 --runs 3

sayline bench --url ws://127.0.0.1:8000 --listeners 20

sayline bench --protocol elevenlabs --listeners 20 --only alone --only ramp"""

Url = Annotated[
    str | None,
    typer.Option(metavar="URL", help="URL of a running server. Default: start one here and stop it at the end."),
]
ApiKey = Annotated[
    str | None, typer.Option(envvar="SAYLINE_API_KEY", help="API key, if the server requires one.", show_envvar=True)
]
VoiceName = Annotated[str | None, typer.Option("--voice", help="Voice to use.", show_default="the server's default")]
Variant = Annotated[str, typer.Option(metavar="NAME", help=WHICH_MODEL)]
Listeners = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Measure this many concurrent listeners instead of searching."),
]
Seconds = Annotated[float, typer.Option(min=1.0, metavar="S", help="Length of a measurement, without an underrun.")]
Runs = Annotated[int, typer.Option(min=1, metavar="N", help="Number of runs; the median and the spread are reported.")]
FirstAudioMs = Annotated[
    float,
    typer.Option("--ttfa-ms", min=1.0, metavar="MS", help="Limit on the 95th percentile of time to first audio."),
]
MostListeners = Annotated[int, typer.Option(min=1, metavar="N", help="Upper bound of the search.")]
Only = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PHASE", help="Run only this phase: engine, start, alone, writer, memory, ramp or poisson. Repeatable."
    ),
]
Protocol = Annotated[
    str, typer.Option(metavar="NAME", help="Protocol of the listeners: native, openai (PCM over HTTP) or elevenlabs.")
]
Quick = Annotated[bool, typer.Option("--quick", help="Smoke test of some seconds; its numbers mean nothing.")]
Output = Annotated[str, typer.Option("--output", "-o", metavar="FOLDER", help="Folder for bench.json and steps.svg.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the results.")]


def register(app: typer.Typer) -> None:
    app.command("bench", epilog=EXAMPLES)(report_errors(bench))


def bench(  # more than eight parameters: Typer makes an option of each
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
    protocol: Protocol = "native",
    quick: Quick = False,
    output: Output = "build/bench",
    quiet: Quiet = False,
) -> None:
    """Measure how many listeners a server sustains, and its latency.

    Simulated listeners connect through real WebSockets and play audio in
    real time from the first packet; a listener without audio to play has
    an underrun. The headline is the largest number of concurrent
    listeners without an underrun and with first audio in time. A second
    scenario has Poisson arrivals at 80 % of that load. Time to first audio
    runs from the last byte of the text.

    SAYLINE_* variables configure the server that this command starts.
    """
    import asyncio
    import contextlib
    import sys

    from rich.console import Console

    from sayline_tts.bench.bench_runner import Bench
    from sayline_tts.bench.load.stream import ConnectionLost
    from sayline_tts.bench.load.vendor_stream import PROTOCOLS
    from sayline_tts.bench.report.config import NATIVE_PHASES, PHASES, QUICK, BenchConfig, Size
    from sayline_tts.engine.errors import InputError

    if unknown := set(only or ()) - set(PHASES):
        raise InputError(f"unknown phase {', '.join(sorted(unknown))}: --only takes {', '.join(PHASES)}")
    if protocol not in PROTOCOLS:
        raise InputError(f"unknown protocol {protocol}: --protocol takes {', '.join(PROTOCOLS)}")
    possible = PHASES if protocol == "native" else tuple(phase for phase in PHASES if phase not in NATIVE_PHASES)
    if impossible := set(only or ()) - set(possible):
        raise InputError(f"--only {', '.join(impossible)} is measured with --protocol native only")
    size = QUICK if quick else Size(seconds=seconds, runs=runs, most_listeners=most)
    phases = tuple(only or possible)
    plan = Bench(
        BenchConfig(url, api_key, voice, variant, config, listeners, ttfa_ms, phases, size, protocol),
        Terminal(quiet).print_status,
    )
    interrupted = contextlib.suppress(KeyboardInterrupt)  # keep what was measured so far
    try:
        with interrupted:
            asyncio.run(plan.run())
    except* ConnectionLost as errors:
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
