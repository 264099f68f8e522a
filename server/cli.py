"""Register the server's subcommands with the client's `sayline` command."""

import typer

from sayline_tts.server.commands import (
    calibrate,
    cluster,
    data,
    doctor,
    engine,
    export_voice,
    generate,
    keys,
    lexicon,
    serve,
    usage,
    voices,
)
from sayline_tts.server.commands.terminal import report_errors


def register(app: typer.Typer) -> None:
    app.command("calibrate", epilog=calibrate.EXAMPLES)(report_errors(calibrate.calibrate))
    app.add_typer(cluster.make_app(), name="cluster")
    app.add_typer(data.make_app(), name="data")
    app.command("doctor", context_settings=serve.ALL_ARGUMENTS)(report_errors(doctor.doctor))
    app.command("engine", context_settings=serve.ALL_ARGUMENTS)(report_errors(engine.engine))
    app.command("generate", epilog=generate.EXAMPLES)(report_errors(generate.generate))
    app.command("export-voice", epilog=export_voice.EXAMPLES)(report_errors(export_voice.export_voice))
    app.add_typer(keys.make_app(), name="keys")
    app.add_typer(lexicon.make_app(), name="lexicon")
    app.command("serve", context_settings=serve.ALL_ARGUMENTS)(report_errors(serve.serve))
    app.command("usage", epilog=usage.EXAMPLES)(report_errors(usage.usage))
    app.command("voices", epilog=voices.EXAMPLES)(report_errors(voices.voices))
