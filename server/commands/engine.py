"""`sayline engine`: an engine alone, for fronts in other processes or on other machines."""

import gc
from typing import Any

import typer

from sayline_tts.server.commands.serve import run_with_options

EXAMPLES = """Examples:

sayline engine --variant embedded

SAYLINE_ENGINE_SECRET=a-long-random-word sayline engine --host 10.0.0.21 --device cuda"""


def engine(context: typer.Context) -> None:
    """Run an engine of a fleet: it has the model, and no clients of its own.

    Servers use it with `sayline serve --engines HOST:PORT`. It listens on
    --host and --engine-port. Of the other options those of the model, of
    capacity, TLS, logs and shutdown matter to it.

    When it stops (SIGTERM), what it speaks goes on on other engines.
    """
    run_with_options(context, engine, EXAMPLES, _engine)


def _engine(**options: Any) -> None:
    gc.disable()  # as in `serve`
    try:
        from sayline_tts.server.settings import Settings

        settings = Settings.load(**options)
        from sayline_tts.server.engine_lifecycle import serve_engine

        serve_engine(settings)
    finally:
        gc.enable()
