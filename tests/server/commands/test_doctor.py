"""`sayline doctor`: output as text and JSON, and exit codes."""

import json

import pytest

from sayline_tts.server.commands import checks
from sayline_tts.server.commands.checks import Finding, Status
from sayline_tts.server.settings import Settings
from tests.server.commands.conftest import Sayline, usage_error

FINE = Finding("cores", Status.FINE, "2")
SLOW = Finding("processor", Status.WARNING, "AVX2", "take a better one")
FULL = Finding("memory", Status.FAILURE, "0.1 GB free", "free some")


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings that the checks ran with. Port 8000 gives warnings only, others a failure."""
    seen: list[Settings] = []

    def run_checks(settings: Settings) -> list[Finding]:
        seen.append(settings)
        return [FINE, SLOW] if settings.port == 8000 else [FINE, FULL]

    monkeypatch.setattr(checks, "run_checks", run_checks)
    return seen


def test_findings_are_printed_with_advice(sayline: Sayline, examined: list[Settings]) -> None:
    done = sayline("doctor")
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "fine     cores      2",
        "warning  processor  AVX2",
        "                    -> take a better one",
        "The server can run here.",
    ]


def test_failure_sets_the_exit_code(sayline: Sayline, examined: list[Settings]) -> None:
    done = sayline("doctor", "--port", "9000")
    assert done.exit_code == 1
    assert done.stdout.splitlines()[-1] == "The server cannot start: fix the failures above (1)."


def test_json_output(sayline: Sayline, examined: list[Settings]) -> None:
    done = sayline("doctor", "--json", "--port", "9000")
    assert done.exit_code == 1
    assert json.loads(done.stdout) == {
        "fit": False,
        "findings": [
            {"topic": "cores", "status": "fine", "found": "2", "advice": ""},
            {"topic": "memory", "status": "failure", "found": "0.1 GB free", "advice": "free some"},
        ],
    }
    assert json.loads(sayline("doctor", "--json").stdout)["fit"] is True


def test_server_options_and_variables_are_used(
    sayline: Sayline, examined: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAYLINE_SLOTS", "5")
    sayline("doctor", "--variant", "german")
    assert [(settings.slots, settings.variant) for settings in examined] == [(5, "german")]


def test_invalid_settings_are_a_usage_error(sayline: Sayline, examined: list[Settings]) -> None:
    assert "port" in usage_error(sayline("doctor", "--port", "70000"))


def test_all_checks_run_on_this_machine(sayline: Sayline) -> None:
    """The real checks, whatever their findings."""
    done = sayline("doctor", "--json", "--variant", "embedded", "--port", "0")
    topics = [finding["topic"] for finding in json.loads(done.stdout)["findings"]]
    assert topics == [
        "processor", "cores", "memory", "libopus", "weights", "hub", "port", "exposure", "cache", "downloads", "data",
    ]  # fmt: skip
