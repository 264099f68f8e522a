"""`sayline doctor`: what is found, in words or as JSON, and what the shell hears."""

import json

import pytest

from sayline_tts.server.commands import checks
from sayline_tts.server.commands.checks import Finding, Status
from sayline_tts.server.settings import Settings
from tests.server.commands.conftest import Sayline, mistake

FINE = Finding("cores", Status.FINE, "2")
SLOW = Finding("processor", Status.WARNING, "AVX2", "take a better one")
FULL = Finding("memory", Status.FAILURE, "0.1 GB free", "free some")


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """What the machine was examined for; `found` says what comes out."""
    seen: list[Settings] = []

    def examine(settings: Settings) -> list[Finding]:
        seen.append(settings)
        return [FINE, SLOW] if settings.port == 8000 else [FINE, FULL]

    monkeypatch.setattr(checks, "examine", examine)
    return seen


def test_findings_are_told_with_what_to_do(sayline: Sayline, examined: list[Settings]) -> None:
    done = sayline("doctor")
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "fine     cores      2",
        "warning  processor  AVX2",
        "                    -> take a better one",
        "The server can run here.",
    ]


def test_a_failure_is_heard_by_the_shell(sayline: Sayline, examined: list[Settings]) -> None:
    done = sayline("doctor", "--port", "9000")
    assert done.exit_code == 1
    assert done.stdout.splitlines()[-1] == "The server cannot run so: 1 to mend."


def test_programs_read_json(sayline: Sayline, examined: list[Settings]) -> None:
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


def test_it_takes_the_settings_of_the_server(
    sayline: Sayline, examined: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAYLINE_SLOTS", "5")
    sayline("doctor", "--variant", "german")
    assert [(settings.slots, settings.variant) for settings in examined] == [(5, "german")]


def test_settings_that_cannot_be_are_a_mistake(sayline: Sayline, examined: list[Settings]) -> None:
    assert "port" in mistake(sayline("doctor", "--port", "70000"))


def test_on_this_machine_every_topic_is_looked_at(sayline: Sayline) -> None:
    """The real checks, whatever they find here."""
    done = sayline("doctor", "--json", "--variant", "embedded", "--port", "0")
    topics = [finding["topic"] for finding in json.loads(done.stdout)["findings"]]
    assert topics == [
        "processor", "cores", "memory", "libopus", "weights", "hub", "port", "exposure", "cache", "downloads", "data",
    ]  # fmt: skip
