"""Adds the server's commands to the `sayline` command, which belongs to the client. Knows only their names."""

import typer

from sayline_tts.server.commands import calibrate, doctor, export_voice, generate, keys, serve, voices
from sayline_tts.server.commands.terminal import plainly


def register(app: typer.Typer) -> None:
    app.command("calibrate", epilog=calibrate.EXAMPLES)(plainly(calibrate.calibrate))
    app.command("doctor", context_settings=serve.ALL_ARGUMENTS)(plainly(doctor.doctor))
    app.command("generate", epilog=generate.EXAMPLES)(plainly(generate.generate))
    app.command("export-voice", epilog=export_voice.EXAMPLES)(plainly(export_voice.export_voice))
    app.add_typer(keys.make_app(), name="keys")
    app.command("serve", context_settings=serve.ALL_ARGUMENTS)(plainly(serve.serve))
    app.command("voices", epilog=voices.EXAMPLES)(plainly(voices.voices))
