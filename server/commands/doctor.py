"""`sayline doctor`: will the server run here, and run well? Knows how findings are shown, not how they are found."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from sayline_tts.server.commands.checks import Finding

EXAMPLES = """Examples:

sayline doctor

sayline doctor --variant english --port 9000

sayline doctor --json"""

UNFIT = 1  # exit code
COLOURS = {"fine": "green", "warning": "yellow", "failure": "red"}

Json = Annotated[bool, typer.Option("--json", help="one JSON object, for programs")]


def doctor(context: typer.Context) -> None:
    """Look whether the server will run here, and say what to do.

    It takes the options and SAYLINE_* variables of `sayline serve`, and
    looks at what they will meet on this machine: processor, memory,
    libopus, weights, hub, port, folders. Nothing is changed and nothing
    downloaded. The exit code is 1 where the server would not start.
    """
    from sayline_tts.server.commands.serve import run_with_options

    run_with_options(context, doctor, EXAMPLES, _doctor, json=Json)


def _doctor(json: bool = False, **options: Any) -> None:
    from sayline_tts.server.settings import Settings

    settings = Settings.load(**options)
    from sayline_tts.server.commands.checks import Status, examine  # after the settings: it takes seconds

    findings = []
    for finding in examine(settings):
        findings.append(finding)
        if not json:
            _show(finding)
    failed = [finding for finding in findings if finding.status is Status.FAILURE]
    if json:
        typer.echo(_as_json(findings, fit=not failed))
    else:
        typer.echo(f"The server cannot run so: {len(failed)} to mend." if failed else "The server can run here.")
    if failed:
        raise typer.Exit(UNFIT)


def _show(finding: "Finding") -> None:
    status = finding.status.value
    typer.echo(f"{typer.style(f'{status:8}', COLOURS[status])} {finding.topic:10} {finding.found}")
    if finding.advice:
        typer.echo(f"{'':20}-> {finding.advice}")


def _as_json(findings: "list[Finding]", fit: bool) -> str:
    from json import dumps

    told = [
        {"topic": each.topic, "status": each.status.value, "found": each.found, "advice": each.advice}
        for each in findings
    ]
    return dumps({"fit": fit, "findings": told}, ensure_ascii=False, indent=2)
