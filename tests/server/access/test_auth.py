"""Who is let in as whom."""

import hmac
from pathlib import Path

import pytest

from sayline_tts.server.access.auth import Callers
from sayline_tts.server.access.keys import KeyFile, KeyRevoked
from sayline_tts.server.access.limits import Caller, Limits
from sayline_tts.server.settings import Settings, SettingsError
from tests.server.doorway import doorway

SINGLE = "correct-horse"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyFile:
    monkeypatch.setenv("SAYLINE_KEYS_FILE", str(tmp_path / "keys.json"))
    return KeyFile(tmp_path / "keys.json")


async def test_on_this_machine_no_key_is_asked_for(file: KeyFile) -> None:
    async with doorway() as one:
        assert await one.who() == "anonymous"
        assert await one.who(X_API_Key="whatever") == "anonymous"


async def test_each_key_is_known_however_it_is_sent(file: KeyFile) -> None:
    ann, bob = file.add("ann", Limits()), file.add("bob", Limits())
    async with doorway() as one:
        for key, name in ((ann, "ann"), (bob, "bob")):
            assert await one.who(Authorization=f"Bearer {key}") == name
            assert await one.who(Authorization=f"bearer  {key} ") == name
            assert await one.who(X_API_Key=key) == name
            assert await one.who(x_api_key=f" {key} ") == name
            assert await one.who(Sec_WebSocket_Protocol=f"sayline.v1.json, sayline.key.{key}") == name


async def test_who_has_no_key_is_told_how_to_give_one(file: KeyFile) -> None:
    ann = file.add("ann", Limits())
    async with doorway() as one:
        status, text, headers = await one.ask()
        assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
        assert "Authorization: Bearer <key>" in text
        assert "X-API-Key" in text
        for wrong in ("", "Bearer", "Bearer wrong", f"Basic {ann}", f"Bearer {ann}x", f"Bearer{ann}", "Bearer \xff"):
            assert await one.who(Authorization=wrong) == "401"
        assert await one.who(X_API_Key=ann[:-1]) == "401"
        assert await one.who(Sec_WebSocket_Protocol=f"sayline.key.{ann}x, sayline.key.{ann}") == "401"
        assert set(one.rejected) == {("unauthorized", "anonymous")}


async def test_one_right_key_is_enough(file: KeyFile) -> None:
    ann = file.add("ann", Limits())
    async with doorway() as one:
        assert await one.who(Authorization="Bearer wrong", X_API_Key=ann) == "ann"


async def test_a_key_in_the_address_is_no_key(file: KeyFile) -> None:
    """Addresses are logged wherever they come by."""
    ann = file.add("ann", Limits())
    async with doorway() as one:
        assert (await one.ask(f"/who?api_key={ann}&key={ann}&token={ann}"))[0] == 401


async def test_the_single_key_of_the_settings_is_one_key_more(file: KeyFile) -> None:
    async with doorway(api_key=SINGLE) as one:
        assert await one.who(X_API_Key=SINGLE) == "api_key"
        assert await one.who(X_API_Key=f"{SINGLE}x") == "401"
        assert await one.who() == "401"
        ann = file.add("ann", Limits())
        assert await one.who(X_API_Key=ann) == "ann"
        assert await one.who(X_API_Key=SINGLE) == "api_key"


async def test_a_key_is_revoked_at_once(file: KeyFile) -> None:
    ann = file.add("ann", Limits())
    async with doorway() as one:
        assert await one.who(X_API_Key=ann) == "ann"
        file.revoke("ann")
        assert await one.who(X_API_Key=ann) == "401"
        assert await one.who() == "401"  # the last key is gone, the lock is not
        assert await one.who(X_API_Key=file.add("ann", Limits())) == "ann"


async def test_keys_are_asked_for_from_the_first_on(file: KeyFile) -> None:
    async with doorway() as one:
        assert await one.who() == "anonymous"
        ann = file.add("ann", Limits())
        assert await one.who() == "401"
        assert await one.who(X_API_Key=ann) == "ann"


@pytest.mark.parametrize("reached", [{"host": "0.0.0.0"}, {"trusted_proxies": "127.0.0.1"}])
async def test_beyond_this_machine_there_must_be_a_key(file: KeyFile, reached: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="sayline keys add"):
        Settings.load(**reached).check_exposure()
    async with doorway(insecure=2, **reached) as one:
        assert await one.who() == "anonymous"
    file.add("ann", Limits())
    async with doorway(**reached) as one:
        file.path.unlink()
        assert await one.who() == "401"


def test_every_key_is_compared_in_constant_time(file: KeyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[str, str]] = []

    def compare(one: str, other: str) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    Callers(Settings.load(api_key=SINGLE))._holder("wrong")
    assert [list(map(len, pair)) for pair in compared] == [[64, 64]]


def test_a_caller_is_looked_up_as_he_is_now(file: KeyFile) -> None:
    file.add("ann", Limits(contexts=1))
    (key,) = file.read() or ()
    callers = Callers(Settings())
    assert callers.current(key.caller) == key.caller
    file.revoke("ann")
    with pytest.raises(KeyRevoked, match="another one"):
        callers.current(key.caller)
    file.add("ann", Limits())  # another key of the same name
    with pytest.raises(KeyRevoked):
        callers.current(key.caller)


def test_who_came_without_a_key_may_go_on_until_one_is_asked_for(file: KeyFile) -> None:
    callers = Callers(Settings())
    nobody = Caller("anonymous", Limits(), "anonymous 127.0.0.1")
    assert callers.current(nobody) == nobody
    file.add("ann", Limits())
    with pytest.raises(KeyRevoked):
        callers.current(nobody)


def test_the_single_key_is_good_as_long_as_the_server_runs(file: KeyFile) -> None:
    holder = Callers(Settings.load(api_key=SINGLE))._holder(SINGLE)
    assert holder is not None
    file.add("ann", Limits())
    assert Callers(Settings.load(api_key=SINGLE)).current(holder) == holder


def test_who_has_no_key_has_limits_of_his_own() -> None:
    settings = Settings.load(api_key=SINGLE, anonymous_contexts=2, anonymous_chars_per_minute=100)
    holder = Callers(settings)._holder(SINGLE)
    assert holder is not None
    assert holder.limits == Limits(contexts=2, chars_per_minute=100)
