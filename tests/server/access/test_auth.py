"""Authentication by key and by address."""

import base64
import hmac
import json
from pathlib import Path

import pytest

from sayline_tts.server.access.auth import Authenticator
from sayline_tts.server.access.keys import KeyFile, KeyRevoked
from sayline_tts.server.access.limits import Caller, Limits
from sayline_tts.server.settings import Settings, SettingsError
from tests.server.access_server import access_server

SINGLE = "correct-horse"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyFile:
    monkeypatch.setenv("SAYLINE_KEYS_FILE", str(tmp_path / "keys.json"))
    return KeyFile(tmp_path / "keys.json")


async def test_no_key_is_required_on_loopback(file: KeyFile) -> None:
    async with access_server() as one:
        assert await one.caller_name() == "anonymous"
        assert await one.caller_name(X_API_Key="whatever") == "anonymous"


async def test_each_way_of_sending_a_key_works(file: KeyFile) -> None:
    ann, bob = file.add("ann", Limits()), file.add("bob", Limits())
    async with access_server() as one:
        for key, name in ((ann, "ann"), (bob, "bob")):
            assert await one.caller_name(Authorization=f"Bearer {key}") == name
            assert await one.caller_name(Authorization=f"bearer  {key} ") == name
            assert await one.caller_name(X_API_Key=key) == name
            assert await one.caller_name(x_api_key=f" {key} ") == name
            assert await one.caller_name(X_Vapi_Secret=key) == name
            assert await one.caller_name(Sec_WebSocket_Protocol=f"sayline.v1.json, sayline.key.{key}") == name
            assert await one.caller_name(Sec_WebSocket_Protocol=f"token, {key}") == name
            assert await one.caller_name(Sec_WebSocket_Protocol=f"realtime, openai-insecure-api-key.{key}") == name
            assert await one.caller_name(Authorization=f"Bearer {jwt({'iss': key})}") == name


def jwt(claims: object) -> str:
    """A signed token, of which the server knows no secret."""
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.signature"


async def test_a_token_without_a_key_as_its_issuer_is_refused(file: KeyFile) -> None:
    file.add("ann", Limits())
    async with access_server() as one:
        for token in (
            jwt({"iss": "wrong"}),
            jwt({}),
            jwt([]),
            jwt({"iss": 1}),
            "e30.!.x",
            "e30.e30.x",
            "a.b",
            f"a.{'b' * 5_000}.c",
        ):
            assert await one.caller_name(Authorization=f"Bearer {token}") == "401"
        assert await one.caller_name(Sec_WebSocket_Protocol="token") == "401"


async def test_missing_or_wrong_key_gets_401_with_instructions(file: KeyFile) -> None:
    ann = file.add("ann", Limits())
    async with access_server() as one:
        status, text, headers = await one.request()
        assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
        assert "Authorization: Bearer <key>" in text
        assert "X-API-Key" in text
        for wrong in ("", "Bearer", "Bearer wrong", f"Basic {ann}", f"Bearer {ann}x", f"Bearer{ann}", "Bearer \xff"):
            assert await one.caller_name(Authorization=wrong) == "401"
        assert await one.caller_name(X_API_Key=ann[:-1]) == "401"
        assert await one.caller_name(Sec_WebSocket_Protocol=f"sayline.key.{ann}x, sayline.key.{ann}") == "401"
        assert set(one.rejected) == {("unauthorized", "anonymous")}


async def test_one_valid_key_among_several_is_enough(file: KeyFile) -> None:
    ann = file.add("ann", Limits())
    async with access_server() as one:
        assert await one.caller_name(Authorization="Bearer wrong", X_API_Key=ann) == "ann"


async def test_key_in_url_is_ignored(file: KeyFile) -> None:
    """URLs are logged by proxies."""
    ann = file.add("ann", Limits())
    async with access_server() as one:
        assert (await one.request(f"/who?api_key={ann}&key={ann}&token={ann}"))[0] == 401


async def test_api_key_setting_works_besides_the_key_file(file: KeyFile) -> None:
    async with access_server(api_key=SINGLE) as one:
        assert await one.caller_name(X_API_Key=SINGLE) == "api_key"
        assert await one.caller_name(X_API_Key=f"{SINGLE}x") == "401"
        assert await one.caller_name() == "401"
        ann = file.add("ann", Limits())
        assert await one.caller_name(X_API_Key=ann) == "ann"
        assert await one.caller_name(X_API_Key=SINGLE) == "api_key"


async def test_revoked_key_is_rejected_at_once(file: KeyFile) -> None:
    ann = file.add("ann", Limits())
    async with access_server() as one:
        assert await one.caller_name(X_API_Key=ann) == "ann"
        file.revoke("ann")
        assert await one.caller_name(X_API_Key=ann) == "401"
        assert await one.caller_name() == "401"  # a key stays required after the last one is revoked
        assert await one.caller_name(X_API_Key=file.add("ann", Limits())) == "ann"


async def test_key_is_required_once_one_exists(file: KeyFile) -> None:
    async with access_server() as one:
        assert await one.caller_name() == "anonymous"
        ann = file.add("ann", Limits())
        assert await one.caller_name() == "401"
        assert await one.caller_name(X_API_Key=ann) == "ann"


@pytest.mark.parametrize("reached", [{"host": "0.0.0.0"}, {"trusted_proxies": "127.0.0.1"}])
async def test_exposed_server_requires_a_key(file: KeyFile, reached: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="sayline keys add"):
        Settings.load(**reached).check_exposure()
    async with access_server(insecure=2, **reached) as one:
        assert await one.caller_name() == "anonymous"
    file.add("ann", Limits())
    async with access_server(**reached) as one:
        file.path.unlink()
        assert await one.caller_name() == "401"


def test_single_key_is_compared_in_constant_time(file: KeyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[str, str]] = []

    def compare(one: str, other: str) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    Authenticator(Settings.load(api_key=SINGLE))._key_holder("wrong")
    assert [list(map(len, pair)) for pair in compared] == [[64, 64]]


def test_current_rejects_revoked_and_replaced_keys(file: KeyFile) -> None:
    file.add("ann", Limits(contexts=1))
    (key,) = file.read() or ()
    authenticator = Authenticator(Settings())
    assert authenticator.current(key.caller) == key.caller
    file.revoke("ann")
    with pytest.raises(KeyRevoked, match="another one"):
        authenticator.current(key.caller)
    file.add("ann", Limits())  # another key of the same name
    with pytest.raises(KeyRevoked):
        authenticator.current(key.caller)


def test_anonymous_caller_is_rejected_once_a_key_is_required(file: KeyFile) -> None:
    authenticator = Authenticator(Settings())
    anonymous = Caller("anonymous", Limits(), "anonymous 127.0.0.1")
    assert authenticator.current(anonymous) == anonymous
    file.add("ann", Limits())
    with pytest.raises(KeyRevoked):
        authenticator.current(anonymous)


def test_single_key_cannot_be_revoked(file: KeyFile) -> None:
    holder = Authenticator(Settings.load(api_key=SINGLE))._key_holder(SINGLE)
    assert holder is not None
    file.add("ann", Limits())
    assert Authenticator(Settings.load(api_key=SINGLE)).current(holder) == holder


def test_single_key_has_the_anonymous_limits() -> None:
    settings = Settings.load(api_key=SINGLE, anonymous_contexts=2, anonymous_chars_per_minute=100)
    holder = Authenticator(settings)._key_holder(SINGLE)
    assert holder is not None
    assert holder.limits == Limits(contexts=2, chars_per_minute=100)
