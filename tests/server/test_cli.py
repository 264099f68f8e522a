"""Registration of the server's commands."""

import subprocess
import sys

import pytest
import typer
from sayline.cli import make_app
from typer.testing import CliRunner

from sayline_tts.server.cli import register

COMMANDS = ("cluster", "doctor", "generate", "export-voice", "keys", "serve", "voices")


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_registered_with_the_client(command: str) -> None:
    assert CliRunner().invoke(make_app(), [command, "--help"]).exit_code == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_an_example(command: str) -> None:
    app = typer.Typer()
    register(app)
    help_text = CliRunner().invoke(app, [command, "--help"]).stdout
    assert f"sayline {command}" in help_text.partition("Examples:")[2]


def test_registration_imports_no_slow_modules() -> None:
    code = (
        "import sys, typer; from sayline_tts.server.cli import register; register(typer.Typer());"
        "print(sorted({'torch', 'numpy', 'pydantic', 'aiohttp', 'huggingface_hub', 'scipy', 'rich.progress'}"
        " & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
