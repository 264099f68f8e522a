"""The generated table of settings."""

from dataclasses import replace

from sayline_tts.server.settings import Settings
from sayline_tts.server.settings_table import COMMAND, DOCUMENT, GROUP_OF, REST, document, settings


def test_documented_table_is_up_to_date() -> None:
    assert DOCUMENT.read_text("utf-8") == document(), f"settings have changed: run `.venv/bin/{COMMAND}`"


def test_every_setting_has_flag_variable_and_meaning() -> None:
    assert sorted(setting.name for setting in settings()) == sorted(Settings.model_fields)
    for setting in settings():
        assert setting.flag == "--" + setting.name.replace("_", "-")
        assert f"SAYLINE_{setting.name.upper()}" in setting.variables
        assert setting.meaning


def test_aliases_are_listed() -> None:
    [port] = [setting for setting in settings() if setting.name == "port"]
    assert port.variables == ("SAYLINE_PORT", "PORT")


def test_settings_are_grouped_by_purpose() -> None:
    assert GROUP_OF.keys() <= Settings.model_fields.keys()
    groups = [setting.group for setting in settings()]
    assert [group for n, group in enumerate(groups) if group not in groups[:n]] == [
        line[3:] for line in document().splitlines() if line.startswith("## ")
    ]
    assert groups.index("Model") < groups.index("Network")
    assert replace(settings()[0], name="newer").group == REST


def test_placeholders_say_what_a_value_is() -> None:
    names = ("port", "lead_ms", "tls_cert", "origins", "log_format", "variant", "loudness_lufs")
    placeholders = {setting.name: setting.placeholder for setting in settings()}
    shown = ["NUMBER", "MS", "FILE", "A,B,...", "pretty|json", "NAME", "LUFS"]
    assert [placeholders[name] for name in names] == shown


def test_bounds_and_defaults_are_listed() -> None:
    documented = {setting.name: (setting.default, setting.allowed) for setting in settings()}
    assert documented["port"] == ("8000", "from 0 to 65535")
    assert documented["heartbeat_s"] == ("20", "more than 0")
    assert documented["log_format"] == ("pretty", "pretty, json")
    assert documented["api_key"] == ("", "")
