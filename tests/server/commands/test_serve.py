"""`sayline serve`: what is typed becomes settings."""

import inspect
import os
import re
import sys
from types import SimpleNamespace

import pytest

from engine.errors import InputError
from server.commands import serve
from server.settings import Settings
from tests.server.commands.conftest import Sayline, mistake


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """Settings that a server was started with."""
    settings: list[Settings] = []
    monkeypatch.setitem(sys.modules, "server.app", SimpleNamespace(serve=settings.append))
    for name in os.environ:
        if name.startswith("SAYLINE_") or name == "PORT":
            monkeypatch.delenv(name)
    return settings


def _options() -> dict[str, str]:
    """Field by field, the default that the help names."""
    annotations = inspect.get_annotations(serve.serve)
    return {name: str(kind.__metadata__[0].show_default) for name, kind in annotations.items() if name != "return"}


def test_every_setting_is_an_option() -> None:
    assert set(_options()) == set(Settings.model_fields)


def test_the_help_names_the_true_defaults() -> None:
    for name, told in _options().items():
        default = Settings.model_fields[name].default
        if name not in ("config", "api_key", "insecure"):
            assert told == re.sub(r"\.0$", "", str(default)).replace("_", ""), name


def test_without_options_the_defaults_count(sayline: Sayline, served: list[Settings]) -> None:
    assert sayline("serve").exit_code == 0
    assert served == [Settings()]


def test_options_become_settings(sayline: Sayline, served: list[Settings]) -> None:
    options = (
        "--host 0.0.0.0 --port 9000 --variant embedded --config own.yaml --device cuda --threads 3 --api-key secret "
        "--precision int8 --slots 5 --capacity 4 --max-waiting 6 --max-contexts 7 --lead-ms 500 "
        "--max-lead-ms 800 --max-text-chars 900 --pause-ms 50 --max-delay-ms 100 --heartbeat-s 11 --insecure --insecure"
    )
    assert sayline("serve", *options.split()).exit_code == 0
    (settings,) = served
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == "secret"
    assert settings.model_dump(exclude={"api_key"}) == {
        "host": "0.0.0.0",
        "port": 9000,
        "variant": "embedded",
        "config": "own.yaml",
        "device": "cuda",
        "precision": "int8",
        "threads": 3,
        "slots": 5,
        "capacity": 4,
        "max_waiting": 6,
        "max_contexts": 7,
        "lead_ms": 500.0,
        "max_lead_ms": 800.0,
        "max_text_chars": 900,
        "pause_ms": 50.0,
        "max_delay_ms": 100.0,
        "heartbeat_s": 11.0,
        "insecure": 2,
    }


def test_the_environment_counts_where_no_option_is_given(
    sayline: Sayline, served: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("PORT", "9000"), ("SLOTS", "4"), ("INSECURE", "2"), ("API_KEY", "secret")):
        monkeypatch.setenv(f"SAYLINE_{name}", value)
    assert sayline("serve", "--slots", "8").exit_code == 0
    (settings,) = served
    assert (settings.port, settings.slots, settings.insecure) == (9000, 8, 2)
    assert settings.api_key is not None


def test_a_setting_that_cannot_be_is_named(sayline: Sayline, served: list[Settings]) -> None:
    assert "port" in mistake(sayline("serve", "--port", "70000"))
    assert not served


def test_what_stops_the_server_is_one_line(
    sayline: Sayline, served: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(settings: Settings) -> None:
        raise InputError("port 8000 is in use; choose another")

    monkeypatch.setitem(sys.modules, "server.app", SimpleNamespace(serve=fail))
    assert "port 8000 is in use" in mistake(sayline("serve"))
