"""Adds the server's commands to the `sayline` command, which belongs to the client. Knows only their names."""

import typer

from server.commands import export_voice, generate, serve, voices
from server.commands.terminal import plainly


def register(app: typer.Typer) -> None:
    app.command("generate", epilog=generate.EXAMPLES)(plainly(generate.generate))
    app.command("export-voice", epilog=export_voice.EXAMPLES)(plainly(export_voice.export_voice))
    app.command("serve", epilog=serve.EXAMPLES)(plainly(serve.serve))
    app.command("voices", epilog=voices.EXAMPLES)(plainly(voices.voices))
