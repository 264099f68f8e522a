"""The generated table of settings."""

from sayline_tts.server.settings import Settings
from sayline_tts.server.settings_table import COMMAND, DOCUMENT, document, settings


def test_documented_table_is_up_to_date() -> None:
    assert DOCUMENT.read_text("utf-8") == document(), f"settings have changed: run `.venv/bin/{COMMAND}`"


def test_every_setting_has_flag_variable_and_meaning() -> None:
    assert [setting.name for setting in settings()] == list(Settings.model_fields)
    for setting in settings():
        assert setting.flag == "--" + setting.name.replace("_", "-")
        assert f"SAYLINE_{setting.name.upper()}" in setting.variables
        assert setting.meaning


def test_aliases_are_listed() -> None:
    assert settings()[list(Settings.model_fields).index("port")].variables == ("SAYLINE_PORT", "PORT")


def test_bounds_and_defaults_are_listed() -> None:
    documented = {setting.name: (setting.default, setting.allowed) for setting in settings()}
    assert documented["port"] == ("8000", "from 0 to 65535")
    assert documented["heartbeat_s"] == ("20", "more than 0")
    assert documented["log_format"] == ("pretty", "pretty, json")
    assert documented["api_key"] == ("", "")
