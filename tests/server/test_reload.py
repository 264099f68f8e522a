"""SIGHUP: the log level changes, everything else that has changed is named."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from sayline_tts.server.reload import Reload
from sayline_tts.server.settings import Settings


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "sayline.env"
    file.write_text("SAYLINE_LOG_LEVEL=info\nSAYLINE_PORT=9000\n")
    return file


@pytest.fixture
def reload(file: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Reload]:
    level = logging.getLogger().level
    logging.getLogger().setLevel("INFO")
    yield Reload(Settings.load(settings_file=str(file)))
    logging.getLogger().setLevel(level)


def test_log_level_is_applied(reload: Reload, file: Path, caplog: pytest.LogCaptureFixture) -> None:
    file.write_text("SAYLINE_LOG_LEVEL=debug\nSAYLINE_PORT=9000\n")
    reload.run()
    assert logging.getLogger().level == logging.DEBUG
    file.write_text("SAYLINE_LOG_LEVEL=error\nSAYLINE_PORT=9000\n")
    reload.run()
    assert logging.getLogger().level == logging.ERROR
    assert caplog.messages == ["the log level is now debug", "the log level is now error"]


def test_settings_that_need_a_restart_are_named_once(
    reload: Reload, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.write_text("SAYLINE_PORT=9001\nSAYLINE_CAPACITY=4\n")
    reload.run()
    reload.run()
    assert caplog.messages == [
        "these settings have changed and need a restart: port, capacity",
        "the settings were read again and have not changed",
    ]


def test_faulty_settings_change_nothing(reload: Reload, file: Path, caplog: pytest.LogCaptureFixture) -> None:
    file.write_text("SAYLINE_LOG_LEVEL=loud\n")
    reload.run()
    assert logging.getLogger().level == logging.INFO
    assert "were not read again: invalid settings: log_level" in caplog.text
    file.write_text("SAYLINE_LOG_LEVEL=debug\nSAYLINE_PORT=9000\n")
    reload.run()
    assert logging.getLogger().level == logging.DEBUG


def test_settings_with_an_applier_need_no_restart(reload: Reload, file: Path, caplog: pytest.LogCaptureFixture) -> None:
    applied: list[object] = []
    reload.appliers["voice_aliases"] = applied.append
    file.write_text("SAYLINE_LOG_LEVEL=info\nSAYLINE_PORT=9000\nSAYLINE_VOICE_ALIASES=Rachel=bob\n")
    reload.run()
    assert applied == [(("Rachel", "bob"),)]
    assert caplog.messages == ["voice_aliases has been read again"]
