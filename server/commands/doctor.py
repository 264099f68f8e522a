"""`sayline doctor`: check whether the server can run on this machine."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from sayline_tts.server.commands.checks import Finding

EXAMPLES = """Examples:

sayline doctor

sayline doctor --variant english --port 9000

sayline doctor --json"""

FAILED = 1  # exit code
COLOURS = {"fine": "green", "warning": "yellow", "failure": "red"}

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def doctor(context: typer.Context) -> None:
    """Check whether the server can run here, and suggest fixes.

    Takes the options and SAYLINE_* variables of `sayline serve` and
    checks them against this machine: processor, memory, libopus,
    weights, hub, port, folders. Changes nothing and downloads nothing.
    Exits with 1 if the server would not start.
    """
    from sayline_tts.server.commands.serve import run_with_options

    run_with_options(context, doctor, EXAMPLES, _doctor, json=Json)


def _doctor(json: bool = False, **options: Any) -> None:
    from sayline_tts.server.settings import Settings

    settings = Settings.load(**options)
    from sayline_tts.server.commands.checks import Status, run_checks  # slow, so after the settings are validated

    findings = []
    for finding in run_checks(settings):
        findings.append(finding)
        if not json:
            _show(finding)
    failed = [finding for finding in findings if finding.status is Status.FAILURE]
    if json:
        typer.echo(_as_json(findings, fit=not failed))
    else:
        typer.echo(
            f"The server cannot start: fix the failures above ({len(failed)})."
            if failed
            else "The server can run here."
        )
    if failed:
        raise typer.Exit(FAILED)


def _show(finding: "Finding") -> None:
    status = finding.status.value
    typer.echo(f"{typer.style(f'{status:8}', COLOURS[status])} {finding.topic:10} {finding.found}")
    if finding.advice:
        typer.echo(f"{'':20}-> {finding.advice}")


def _as_json(findings: "list[Finding]", fit: bool) -> str:
    from json import dumps

    content = [
        {"topic": each.topic, "status": each.status.value, "found": each.found, "advice": each.advice}
        for each in findings
    ]
    return dumps({"fit": fit, "findings": content}, ensure_ascii=False, indent=2)
