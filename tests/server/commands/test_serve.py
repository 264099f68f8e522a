"""`sayline serve`: options become settings."""

import gc
import os
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from pydantic import Field
from pydantic_settings import BaseSettings
from typer.testing import CliRunner

from sayline_tts.engine.errors import InputError
from sayline_tts.server.commands.serve import with_options
from sayline_tts.server.settings import Settings
from sayline_tts.server.settings_table import settings
from tests.server.commands.conftest import Sayline, usage_error


class Others(BaseSettings):
    """Kinds of settings that the server does not have yet."""

    warm: bool = Field(default=True, description="warm")
    cold: bool = Field(default=False, description="cold")
    origins: tuple[str, ...] = Field(default=(), description="allowed origins")


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings of each started server."""
    settings: list[Settings] = []
    monkeypatch.setitem(sys.modules, "sayline_tts.server.lifecycle", SimpleNamespace(serve=settings.append))
    for name in os.environ:
        if name.startswith("SAYLINE_") or name == "PORT":
            monkeypatch.delenv(name)
    return settings


def test_every_setting_is_an_option_with_help(sayline: Sayline) -> None:
    help_text = " ".join(sayline("serve", "--help", env={"COLUMNS": "1000"}).stdout.split())
    for setting in settings():
        assert f" {setting.flag} " in help_text
        assert setting.meaning in help_text
        assert f"[default: ({setting.default or 'none'})]" in help_text


def test_defaults_apply_without_options(sayline: Sayline, served: list[Settings]) -> None:
    assert sayline("serve").exit_code == 0
    assert served == [Settings()]


def test_options_become_settings(sayline: Sayline, served: list[Settings]) -> None:
    options = (
        "--host 0.0.0.0 --port 9000 --variant embedded --config own.yaml --device cuda --threads 3 --api-key secret "
        "--slots 5 --capacity 0 --lead-ms 500.5 --log-format json --insecure --insecure"
    )
    assert sayline("serve", *options.split()).exit_code == 0
    (settings,) = served
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == "secret"
    assert settings.model_dump(exclude_unset=True, exclude={"api_key"}) == {
        "host": "0.0.0.0",
        "port": 9000,
        "variant": "embedded",
        "config": "own.yaml",
        "device": "cuda",
        "threads": 3,
        "slots": 5,
        "capacity": 0,
        "lead_ms": 500.5,
        "log_format": "json",
        "insecure": 2,
    }


def test_switches_and_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sayline_tts.server.settings_table.Settings", Others)
    given: list[dict[str, Any]] = []
    app = typer.Typer()
    app.command()(with_options(lambda **options: given.append(options)))
    for arguments in ("", "--no-warm --no-cold", "--warm", "--origins a --origins b"):
        assert CliRunner().invoke(app, arguments.split()).exit_code == 0
    assert given == [{}, {"warm": False, "cold": False}, {"warm": True}, {"origins": ["a", "b"]}]


def test_unknown_option_is_named(sayline: Sayline, served: list[Settings]) -> None:
    done = sayline("serve", "--prot", "9000")
    assert done.exit_code == 2
    assert "--prot" in done.stderr
    assert not served


def test_environment_applies_where_no_option_is_given(
    sayline: Sayline, served: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("PORT", "9000"), ("SLOTS", "4"), ("INSECURE", "2"), ("API_KEY", "secret")):
        monkeypatch.setenv(f"SAYLINE_{name}", value)
    assert sayline("serve", "--slots", "8").exit_code == 0
    (settings,) = served
    assert (settings.port, settings.slots, settings.insecure) == (9000, 8, 2)
    assert settings.api_key is not None


def test_invalid_setting_is_named(sayline: Sayline, served: list[Settings]) -> None:
    assert "port" in usage_error(sayline("serve", "--port", "70000"))
    assert not served


def test_startup_error_is_one_line(sayline: Sayline, served: list[Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(settings: Settings) -> None:
        raise InputError("port 8000 is in use; choose another")

    monkeypatch.setitem(sys.modules, "sayline_tts.server.lifecycle", SimpleNamespace(serve=fail))
    assert "port 8000 is in use" in usage_error(sayline("serve"))


def test_garbage_collection_is_off_while_loading(
    sayline: Sayline, served: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[bool] = []
    monkeypatch.setitem(
        sys.modules, "sayline_tts.server.lifecycle", SimpleNamespace(serve=lambda _: looked.append(gc.isenabled()))
    )
    sayline("serve")
    assert looked == [False]
    assert gc.isenabled()
    sayline("serve", "--port", "70000")
    assert gc.isenabled()
