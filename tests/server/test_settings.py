from pathlib import Path

import pytest

from sayline_tts.server.compat.vendors import VENDORS
from sayline_tts.server.settings import PROTOCOLS, Settings, SettingsError


def test_flags_override_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAYLINE_SLOTS", "5")
    monkeypatch.setenv("SAYLINE_MAX_DELAY_MS", "50")
    settings = Settings.load(slots=7, port=None)
    assert (settings.slots, settings.max_delay_ms, settings.port) == (7, 50, 8000)


def test_port_variable_of_hosting_platforms_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "5000")
    assert Settings.load().port == 5000
    monkeypatch.setenv("SAYLINE_PORT", "6000")
    assert Settings.load().port == 6000
    assert Settings.load(port=7000).port == 7000


@pytest.mark.parametrize(("field", "value"), [("port", 70000), ("slots", 0), ("max_lead_ms", 10), ("colour", "green")])
def test_invalid_setting_is_named(field: str, value: object) -> None:
    with pytest.raises(SettingsError, match=field):
        Settings.load(**{field: value})


def test_invalid_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAYLINE_PORT", "many")
    with pytest.raises(SettingsError, match=r"SAYLINE_PORT: .*integer"):
        Settings.load()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_no_key(host: str) -> None:
    Settings.load(host=host).check_exposure()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", "localhost.example.org"])
def test_exposed_server_needs_a_key_or_insecure_twice(host: str) -> None:
    for flags in ({}, {"insecure": 1}, {"api_key": ""}):
        with pytest.raises(SettingsError, match=r"SAYLINE_API_KEY.*--insecure twice"):
            Settings.load(host=host, **flags).check_exposure()
    Settings.load(host=host, insecure=2).check_exposure()
    Settings.load(host=host, api_key="secret").check_exposure()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_key_file_satisfies_the_exposure_check(host: str) -> None:
    settings = Settings.load(host=host, trusted_proxies="10.0.0.0/8")
    with pytest.raises(SettingsError, match=r"sayline keys add <name>.*SAYLINE_API_KEY.*--insecure twice"):
        settings.check_exposure()
    settings.keys_path.parent.mkdir()
    settings.keys_path.touch()
    settings.check_exposure()


def test_key_file_defaults_to_the_data_folder(tmp_path: Path) -> None:
    assert Settings.load(data="~/x").keys_path == Path.home() / "x" / "keys.json"
    assert Settings.load(keys_file="~/mine.json").keys_path == Path.home() / "mine.json"


@pytest.mark.parametrize(
    "given", ["https://a.example, HTTPS://b.example:443,", ["https://a.example", "https://b.example"]]
)
def test_lists_are_comma_separated_or_repeated(given: object) -> None:
    assert Settings.load(origins=given).origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize("variable", ["https://a.example,http://b:81", '["https://a.example", "http://b:81"]'])
def test_lists_in_the_environment_may_be_json(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAYLINE_ORIGINS", variable)
    assert Settings.load().origins == ("https://a.example", "http://b:81")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("origins", "app.example"),
        ("origins", "https://app.example/"),
        ("origins", "null"),
        ("origins", "[oops"),
        ("host_names", "https://app.example"),
        ("host_names", "app.example:80"),
        ("host_names", "*"),
        ("trusted_proxies", "proxy.example"),
        ("trusted_proxies", "10.0.0.0/33"),
    ],
)
def test_invalid_list_item_is_named(field: str, value: str) -> None:
    with pytest.raises(SettingsError, match=field):
        Settings.load(**{field: value})


def test_key_is_not_in_repr() -> None:
    assert "a-long-word" not in repr(Settings.load(api_key="a-long-word", engine_secret="a-long-word"))


def test_voice_aliases_are_pairs() -> None:
    assert Settings.load(voice_aliases="Rachel=alba, *=").voice_aliases == (("Rachel", "alba"), ("*", ""))
    for wrong in ("Rachel", "=alba"):
        with pytest.raises(SettingsError, match="is not an alias"):
            Settings.load(voice_aliases=wrong)


def test_protocols_are_those_of_the_table() -> None:
    assert Settings.load(protocols="").protocols == ()
    assert set(PROTOCOLS) == {vendor.name for vendor in VENDORS}
    with pytest.raises(SettingsError, match="protocols"):
        Settings.load(protocols="morse")
