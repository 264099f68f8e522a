"""`sayline bench`, complete: its own server, all phases, on a small model. The slow one of these tests."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from sayline_tts.bench.cli import register

SAYLINE = (sys.executable, "-c", "from sayline.cli import main; main()")


@pytest.mark.slow
def test_quick_run_writes_report_and_chart(tmp_path: Path) -> None:
    command = [*SAYLINE, "bench", "--quick", "--variant", "embedded", "-o", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "CONCURRENT LISTENERS" in done.stdout
    report = json.loads((tmp_path / "bench.json").read_text("utf-8"))
    assert report["model"] == "embedded"
    assert len(report["start_s"]) == len(report["idle_ttfa_ms"]) == len(report["ramps"]) == 1
    assert report["writer_ttfa_ms"]["2"][0]["p50"] < report["writer_ttfa_ms"]["0"][0]["p50"]
    assert [step["rows"] for step in report["engine"]["steps"]] == [1, 2, 4]
    assert report["memory"] or sys.platform != "linux"
    ET.parse(tmp_path / "steps.svg")


def test_unreachable_server_is_reported_in_one_line() -> None:
    done = CliRunner().invoke(app(), ["bench", "--url", "ws://127.0.0.1:1"])
    assert done.exit_code == 2
    assert "no server at ws://127.0.0.1:1" in done.output


def test_unknown_phase_is_an_error_that_lists_the_phases() -> None:
    done = CliRunner().invoke(app(), ["bench", "--only", "speed"])
    assert done.exit_code == 2
    assert "--only takes engine, start, alone" in done.output


def test_unknown_protocol_is_an_error_that_lists_them() -> None:
    done = CliRunner().invoke(app(), ["bench", "--protocol", "morse"])
    assert done.exit_code == 2
    assert "--protocol takes native, openai, elevenlabs" in done.output


def test_phases_of_the_native_protocol_are_measured_with_it_only() -> None:
    done = CliRunner().invoke(app(), ["bench", "--protocol", "openai", "--only", "writer"])
    assert done.exit_code == 2
    assert "writer is measured with --protocol native only" in done.output


def test_help_contains_examples() -> None:
    assert "sayline bench" in CliRunner().invoke(app(), ["bench", "--help"]).output.partition("Examples:")[2]


def test_registering_imports_nothing_heavy() -> None:
    code = (
        "import sys, typer; from sayline_tts.bench.cli import register; register(typer.Typer());"
        "print(sorted({'torch', 'numpy', 'pydantic', 'aiohttp', 'websockets', 'scipy'} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def app() -> typer.Typer:
    made = typer.Typer()
    made.callback()(lambda: None)
    register(made)
    return made
