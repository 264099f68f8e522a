"""`sayline usage`: what each key has used, by month."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sayline_tts.server.commands.terminal import Terminal

if TYPE_CHECKING:
    from sayline_tts.server.accounting.ledger import Row

EXAMPLES = """Examples:

sayline usage

sayline usage phone --month 2026-11

sayline usage --json"""

Name = Annotated[str | None, typer.Argument(metavar="NAME", help="Name of a key. Default: all.")]
Month = Annotated[str | None, typer.Option(metavar="YYYY-MM", help="Only this month (UTC).")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, as GET /v1/usage does.")]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="PATH", envvar="SAYLINE_DATA", help="The server's data folder."),
]


def usage(name: Name = None, month: Month = None, json: Json = False, data: Data = None) -> None:
    """Show what each key has used: characters, speech and waiting, by month.

    Reads the data folder of the server, which is at most 10 s behind.
    """
    import msgspec

    from sayline_tts.server.accounting.ledger import Row, UsageFile
    from sayline_tts.server.settings import Settings

    file = UsageFile(Settings.load(data=data and str(data)).usage_path)
    rows = [Row(*place, totals) for place, totals in sorted(file.read().items())]
    rows = [row for row in rows if name in (None, row.key) and month in (None, row.month)]
    if json:
        typer.echo(msgspec.json.encode({"usage": rows}))
    elif rows:
        _show(rows)
    else:
        Terminal(quiet=False).print_status(f"No usage in {file.path}.")


def _show(rows: "list[Row]") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("key", "month"):
        table.add_column(title, overflow="fold")
    for title in ("utterances", "characters", "billed", "made, s", "heard, s", "queued, s", "retries"):
        table.add_column(title, justify="right")
    for row in rows:
        each = row.totals
        seconds = (f"{ms / 1000:.1f}" for ms in (each.generated_ms, each.heard_ms, each.queued_ms))
        counts = (str(count) for count in (each.utterances, each.taken_chars, each.billed_chars))
        table.add_row(row.key, row.month, *counts, *seconds, str(each.retries))
    Console().print(table)
