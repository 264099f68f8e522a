from pathlib import Path

import pytest

from sayline_tts.server.settings import Settings, SettingsError
from sayline_tts.server.settings_file import SettingsFileError

CONTENT = """
# comment
; another one
SAYLINE_PORT = 9000
SAYLINE_LOG_LEVEL="debug"
SAYLINE_ORIGINS='https://a.example, https://b.example'
SAYLINE_VOICE_URLS=true
SAYLINE_CONFIG=a=b
HF_HOME=/somewhere
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "sayline.env"
    file.write_text(CONTENT)
    return file


def test_file_sets_settings(file: Path) -> None:
    settings = Settings.load(settings_file=str(file))
    assert (settings.port, settings.log_level, settings.voice_urls, settings.config) == (9000, "debug", True, "a=b")
    assert settings.origins == ("https://a.example", "https://b.example")


def test_environment_names_the_file_and_overrides_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAYLINE_SETTINGS_FILE", str(file))
    monkeypatch.setenv("SAYLINE_PORT", "9001")
    settings = Settings.load()
    assert (settings.port, settings.log_level, settings.settings_file) == (9001, "debug", str(file))


def test_flag_overrides_the_file(file: Path) -> None:
    assert Settings.load(settings_file=str(file), port=9002).port == 9002


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"SAYLINE_PORT=70000", "port"),
        (b"SAYLINE_PROT=9000", "prot"),
        (b"\nSAYLINE_PORT", "line 2 is not NAME=value"),
        (b"=9000", "line 1 is not NAME=value"),
        (b"\xff", "is not UTF-8"),
    ],
)
def test_faulty_file_is_refused(file: Path, content: bytes, reason: str) -> None:
    file.write_bytes(content)
    with pytest.raises((SettingsError, SettingsFileError), match=reason):
        Settings.load(settings_file=str(file))


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsFileError, match=r"cannot read --settings-file .*none.env \(No such file"):
        Settings.load(settings_file=str(tmp_path / "none.env"))
