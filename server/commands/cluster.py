"""`sayline cluster`: engines on the machines of a Ray cluster."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sayline_tts.engine.errors import InputError
from sayline_tts.server.commands.serve import ALL_ARGUMENTS, run_with_options
from sayline_tts.server.commands.terminal import report_errors

if TYPE_CHECKING:
    from sayline_tts.server.cluster.report import EngineReport

EXAMPLES = """Examples:

ray start --head

SAYLINE_ENGINE_SECRET=a-long-random-word sayline cluster up --variant embedded --min-engines 2 --cpus-per-engine 1

SAYLINE_ENGINE_SECRET=a-long-random-word sayline serve --variant embedded --engines ray://

sayline cluster status

sayline cluster down"""

OWN_ADDRESS = "ray://"
PER_ENGINE = ("engines", "host", "port", "engine_port", "metrics_port")  # chosen on each machine
START_S = 300.0
STOP_S = 60.0

ADDRESS = typer.Option(
    "--address", metavar="ADDRESS", help="The Ray cluster, such as ray://head:10001; by default this machine's."
)
Address = Annotated[str, ADDRESS]
MinEngines = Annotated[int | None, typer.Option("--min-engines", metavar="NUMBER", help="Engines at least (1).")]
MaxEngines = Annotated[
    int | None,
    typer.Option(
        "--max-engines", metavar="NUMBER", help="Engines at most, as load asks for; by default --min-engines."
    ),
]
Cpus = Annotated[float | None, typer.Option("--cpus-per-engine", metavar="NUMBER", help="Cores of an engine (2).")]
Gpus = Annotated[float | None, typer.Option("--gpus-per-engine", metavar="NUMBER", help="GPUs of an engine (0).")]
Wait = Annotated[float | None, typer.Option("--wait-s", metavar="S", help="Wait so long for the engines (300).")]
Drain = Annotated[float, typer.Option("--wait-s", metavar="S", help="Time in which speech may end or move.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON list.")]


def make_app() -> typer.Typer:
    about = "Engines of a fleet on a Ray cluster, which places and restarts them. Needs the extra `cluster`."
    app = typer.Typer(help=about, epilog=EXAMPLES, no_args_is_help=True, pretty_exceptions_enable=False)
    app.command("up", context_settings=ALL_ARGUMENTS)(report_errors(up))
    app.command("status")(report_errors(status))
    app.command("down")(report_errors(down))
    return app


def up(context: typer.Context) -> None:
    """Start engines on the machines of a Ray cluster, and wait until they are ready.

    Ray places them by their cores and GPUs, and restarts those that die,
    elsewhere if their machine is gone. With --max-engines their number
    follows the load. The other options are those of `sayline engine`;
    files that they name must be on every machine.

    Servers use them with `sayline serve --engines ray://`.
    """
    more = {
        "address": Annotated[str | None, ADDRESS],
        "min_engines": MinEngines,
        "max_engines": MaxEngines,
        "cpus_per_engine": Cpus,
        "gpus_per_engine": Gpus,
        "wait_s": Wait,
    }
    run_with_options(context, up, EXAMPLES, _up, **more)


def _up(
    address: str = OWN_ADDRESS,
    min_engines: int = 1,
    max_engines: int | None = None,
    cpus_per_engine: float = 2,
    gpus_per_engine: float = 0,
    wait_s: float = START_S,
    **options: Any,
) -> None:
    max_engines = min_engines if max_engines is None else max_engines
    if not 1 <= min_engines <= max_engines:
        raise InputError(f"--min-engines {min_engines} and --max-engines {max_engines} contradict each other")
    environment = engine_environment(options)
    from sayline_tts.server.cluster import ray_cluster

    ray = ray_cluster.connect(address)
    check(options, ray_cluster.addresses(ray.nodes()))
    plan = ray_cluster.FleetPlan(min_engines, max_engines, cpus_per_engine, gpus_per_engine, environment)
    ray_cluster.start(ray, plan)
    told: set[str] = set()

    def tell(reports: "list[EngineReport]") -> None:
        for each in reports:
            if each.state == "ready" and each.name not in told:
                told.add(each.name)
                listeners = "listener" if each.capacity == 1 else "listeners"
                where = f"{each.host}:{each.port}"
                typer.echo(f"{each.name} is ready at {where}: about {each.capacity} {listeners} at once")

    typer.echo(f"Starting {min_engines} {'engine' if min_engines == 1 else 'engines'} ...")
    ray_cluster.wait_ready(ray, min_engines, wait_s, tell)
    typer.echo("Servers use them with: sayline serve --engines ray://")


def engine_environment(options: dict[str, Any]) -> dict[str, str]:
    """The settings of `sayline engine` as variables: those of this process, and options over them."""
    import os

    from sayline_tts.server.settings_table import settings

    names = {variable: each.name for each in settings() for variable in each.variables if variable != "PORT"}
    given = {name: value for name, value in os.environ.items() if names.get(name, PER_ENGINE[0]) not in PER_ENGINE}
    return given | {
        f"SAYLINE_{name.upper()}": ",".join(value) if isinstance(value, list) else str(value)
        for name, value in options.items()
        if name not in PER_ENGINE
    }


def check(options: dict[str, Any], addresses: list[str]) -> None:
    """Raises `SettingsError` for settings with which no engine would start on these machines."""
    from sayline_tts.server.settings import Settings

    for address in addresses:
        Settings.load(**{**options, "host": address}).check_engine_exposure()


def status(address: Address = OWN_ADDRESS, as_json: Json = False) -> None:
    """Show which engines there are, where, and how loaded."""
    from sayline_tts.server.cluster import ray_cluster

    ray = ray_cluster.connect(address)
    reports = ray_cluster.ask(ray, ray_cluster.require_registry(ray).reports.remote())
    typer.echo(json.dumps(ray_cluster.as_rows(reports)) if as_json else table(reports))


def table(reports: "list[EngineReport]") -> str:
    """For people: a line for each engine, and their sum."""
    head = ("engine", "state", "address", "cores", "speaking", "waiting", "capacity", "fronts", "")
    rows = []
    for each in reports:
        address = f"{each.host}:{each.port}" if each.port else each.host
        numbers = map(str, (each.speaking, each.waiting, each.capacity, each.fronts))
        cores = ",".join(map(str, each.cores)) or "any"
        rows.append((each.name, each.state.value, address, cores, *numbers, each.message))
    sums = [str(sum(getattr(each, name) for each in reports)) for name in ("speaking", "waiting", "capacity")]
    lines = [head, *rows, (f"{len(rows)} in all", "", "", "", *sums, "", "")]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def down(address: Address = OWN_ADDRESS, wait_s: Drain = STOP_S) -> None:
    """Stop all engines, once what they speak has ended or the time is over."""
    from sayline_tts.server.cluster import ray_cluster

    count = ray_cluster.stop(ray_cluster.connect(address), wait_s)
    typer.echo(f"{count} {'engine is' if count == 1 else 'engines are'} stopped.")
