import pytest

from server.settings import Settings, SettingsError


def test_flags_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAYLINE_SLOTS", "5")
    monkeypatch.setenv("SAYLINE_MAX_DELAY_MS", "50")
    settings = Settings.load(slots=7, port=None)
    assert (settings.slots, settings.max_delay_ms, settings.port) == (7, 50, 8000)


def test_the_port_of_a_hosting_platform_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "5000")
    assert Settings.load().port == 5000
    monkeypatch.setenv("SAYLINE_PORT", "6000")
    assert Settings.load().port == 6000
    assert Settings.load(port=7000).port == 7000


@pytest.mark.parametrize(("field", "value"), [("port", 70000), ("slots", 0), ("max_lead_ms", 10), ("colour", "green")])
def test_a_setting_that_cannot_be_used_is_named(field: str, value: object) -> None:
    with pytest.raises(SettingsError, match=field):
        Settings.load(**{field: value})


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAYLINE_PORT", "many")
    with pytest.raises(SettingsError, match=r"SAYLINE_PORT: .*integer"):
        Settings.load()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_no_key(host: str) -> None:
    Settings.load(host=host).check_exposure()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", "localhost.example.org"])
def test_beyond_this_machine_a_key_is_needed_or_saying_so_twice(host: str) -> None:
    for flags in ({}, {"insecure": 1}, {"api_key": ""}):
        with pytest.raises(SettingsError, match=r"SAYLINE_API_KEY.*--insecure twice"):
            Settings.load(host=host, **flags).check_exposure()
    Settings.load(host=host, insecure=2).check_exposure()
    Settings.load(host=host, api_key="secret").check_exposure()


def test_the_key_is_not_shown() -> None:
    assert "secret" not in repr(Settings.load(api_key="secret"))
