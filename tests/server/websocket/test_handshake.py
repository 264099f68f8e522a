"""Which requests get a session, and how others are refused."""

import base64
import contextlib
import logging
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from sayline_tts.server.access.keys import KeyFile
from sayline_tts.server.access.limits import Limits
from sayline_tts.server.app import make_app
from sayline_tts.server.settings import Settings
from sayline_tts.server.websocket.handshake import choose_encoding
from sayline_tts.server.websocket.wire import Encoding
from tests.server.fakes import FakeEngine
from tests.server.stream_client import StreamClient, connected_client, serving

NOTHING = Limits()
KEY = "correct-horse"
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": base64.b64encode(b"x" * 16).decode(),
    "Sec-WebSocket-Protocol": "sayline.v1.json",
}


@pytest.fixture
def keys() -> KeyFile:
    return KeyFile(Settings.load().keys_path)


async def request(address: str, path: str = "/v1/stream", **headers: str) -> tuple[int, str]:
    """Returns the status and, unless it is 101, the text."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with aiohttp.ClientSession() as client, client.get(f"http://{address}{path}", headers=named) as response:
        return response.status, await response.text() if response.status != 101 else ""


async def test_plain_get_requires_an_upgrade(address: str) -> None:
    status, text = await request(address)
    assert status == 426
    assert "ws://" in text


@pytest.mark.parametrize("offered", ["sayline.v9.json", "chat, superchat", ""])
async def test_unknown_subprotocol_is_refused_with_the_known_ones(address: str, offered: str) -> None:
    status, text = await request(address, **{**UPGRADE, "Sec-WebSocket-Protocol": offered})
    assert status == 400
    assert "sayline.v1.json or sayline.v1.msgpack" in text


async def test_missing_subprotocol_is_refused_with_the_known_ones(address: str) -> None:
    status, text = await request(address, **{k: v for k, v in UPGRADE.items() if k != "Sec-WebSocket-Protocol"})
    assert (status, "sayline.v1.json" in text) == (400, True)


async def test_invalid_handshake_is_refused(address: str) -> None:
    status, _ = await request(address, **{**UPGRADE, "Sec-WebSocket-Key": "short"})
    assert status == 400


def test_first_known_subprotocol_is_chosen() -> None:
    assert choose_encoding(["x", "sayline.v1.msgpack", "sayline.v1.json"]) is Encoding.MSGPACK


@pytest.mark.parametrize(
    ("origin", "expected"),
    [("http://{address}", 101), ("https://evil.example", 403), ("null", 403), ("http://127.0.0.1:1", 403)],
)
async def test_without_a_key_only_the_own_origin_may_connect(address: str, origin: str, expected: int) -> None:
    status, _ = await request(address, **UPGRADE, Origin=origin.format(address=address))
    assert status == expected


@pytest.mark.parametrize("path", ["/v1/stream", "/healthz", "/"])
async def test_loopback_server_refuses_a_foreign_host(address: str, path: str) -> None:
    status, text = await request(address, path, **UPGRADE, Host="evil.example:8000")
    assert (status, "localhost" in text) == (403, True)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "[::1]:8000"])
async def test_loopback_names_are_accepted(address: str, host: str) -> None:
    assert (await request(address, "/healthz", Host=host))[0] == 200


@pytest.mark.parametrize("host", ["[::1", "", "localhost.evil.example", "127.0.0.1.evil.example"])
async def test_invalid_host_is_refused(address: str, host: str) -> None:
    assert (await request(address, "/healthz", Host=host))[0] in (400, 403)


async def test_key_is_required_if_one_is_set(engine: FakeEngine) -> None:
    async with serving(await make_app(Settings.load(api_key=KEY), engine.model, engine)) as address:
        for header in ("", "Bearer", "Bearer wrong", f"Basic {KEY}", f"Bearer {KEY}x", "Bearer \xff", f"Bearer{KEY}"):
            with pytest.raises(InvalidStatus) as refused:
                async with connected_client(address, additional_headers={"Authorization": header}):
                    pass
            assert refused.value.response.status_code == 401
            assert b"Authorization: Bearer <key>" in (refused.value.response.body or b"")
        async with connected_client(address, additional_headers={"Authorization": f"bearer {KEY}"}) as client:
            await client.speak("Hello.")
            await client.receive_until_final()


async def test_key_is_accepted_as_a_subprotocol(engine: FakeEngine) -> None:
    async with serving(await make_app(Settings.load(api_key=KEY), engine.model, engine)) as address:
        offers = f"sayline.v1.json, sayline.key.{KEY}"
        status, _ = await request(
            address, **{**UPGRADE, "Sec-WebSocket-Protocol": offers}, Origin="https://app.example"
        )
        assert status == 101
        status, _ = await request(address, **{**UPGRADE, "Sec-WebSocket-Protocol": offers + "x"})
        assert status == 401


async def test_key_is_never_chosen_as_the_subprotocol(engine: FakeEngine) -> None:
    async with serving(await make_app(Settings.load(api_key=KEY), engine.model, engine)) as address:
        url = f"http://{address}/v1/stream"
        offers = [Subprotocol(f"sayline.key.{KEY}"), Subprotocol("sayline.v1.msgpack")]
        async with aiohttp.ClientSession() as client, client.ws_connect(url, protocols=offers) as socket:
            assert socket.protocol == "sayline.v1.msgpack"


async def test_compression_is_not_negotiated(address: str) -> None:
    async with connected_client(address) as client:
        assert client.socket.response is not None
        assert "Sec-WebSocket-Extensions" not in client.socket.response.headers


async def test_each_key_has_its_own_limits(engine: FakeEngine, keys: KeyFile) -> None:
    ann = {"X-API-Key": keys.add("ann", Limits(contexts=1, chars_per_minute=20, voices=("bob",)))}
    bob = {"X-API-Key": keys.add("bob", NOTHING)}
    async with serving(await make_app(Settings.load(), engine.model, engine)) as address:
        async with (
            connected_client(address, additional_headers=ann) as client,
            connected_client(address, additional_headers=ann) as two,
        ):
            await client.send("start", "x", voice="bob")
            await client.send("start", "y", voice="bob")
            error = await client.receive_until("error")
            assert (error["context_id"], error["code"], error["final"]) == ("y", "rate_limited", True)
            await two.send("start", "x", voice="bob")  # another session of the same key
            assert (await two.receive_until("error"))["code"] == "rate_limited"
            await client.send("text", "x", text="Twenty letters it is")
            await client.send("text", "x", text="...")
            error = await client.receive_until("error")
            assert (error["code"], error["final"], error["retry_after_ms"] > 0) == ("rate_limited", False, True)
            await client.send("end", "x")
            await client.receive_until_final("x")
            await two.send("start", "z", voice="ann")
            assert (await two.receive_until("error", context_id="z"))["code"] == "voice_not_allowed"
        async with connected_client(address, additional_headers=bob) as other:
            await other.speak("Nobody told me that there are limits.", "x")
            await other.speak("Nobody told me that there are limits.", "y")
            await other.receive_until_final("x", "y")


async def test_ready_lists_the_voices_of_the_key(engine: FakeEngine, keys: KeyFile) -> None:
    ann = {"X-API-Key": keys.add("ann", Limits(voices=("bob",)))}
    async with (
        serving(await make_app(Settings.load(), engine.model, engine)) as address,
        connected_client(address, expect_ready=False, additional_headers=ann) as client,
    ):
        ready = await client.receive()
        assert (ready["voices"], ready["default_voice"]) == (["bob"], "bob")


async def test_revoked_key_cannot_start_a_context(engine: FakeEngine, keys: KeyFile) -> None:
    ann = {"X-API-Key": keys.add("ann", NOTHING)}
    async with serving(await make_app(Settings.load(), engine.model, engine)) as address:
        async with connected_client(address, additional_headers=ann) as client:
            await client.send("start", "x")
            await client.send("text", "x", text="Hello there. ")
            await client.receive_until("segment")
            keys.revoke("ann")
            await client.send("text", "x", text="Hello again.")
            assert (await client.receive_until("error"))["code"] == "key_revoked"
            await client.send("start", "y")
            error = await client.receive_until("error")
            assert (error["context_id"], error["code"], error["final"]) == ("y", "key_revoked", True)
        with pytest.raises(InvalidStatus, match="401"):
            async with connected_client(address, additional_headers=ann):
                pass


@pytest.mark.parametrize("way", ["Authorization", "X-API-Key", "Sec-WebSocket-Protocol"])
async def test_keys_are_never_logged(
    way: str, engine: FakeEngine, keys: KeyFile, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = keys.add("ann", NOTHING)
    caplog.set_level(logging.DEBUG)
    offers = [Subprotocol("sayline.v1.json")]
    headers = {"Authorization": f"Bearer {key}"} if way == "Authorization" else {way: key}
    if way == "Sec-WebSocket-Protocol":
        offers, headers = [*offers, Subprotocol(f"sayline.key.{key}")], {}
    # The client of these tests logs every header that it sends.
    quiet: Any = {"logger": logging.getLogger("client"), "additional_headers": headers}
    logging.getLogger("client").disabled = True
    async with (
        serving(await make_app(Settings.load(), engine.model, engine)) as address,
        connect(f"ws://{address}/v1/stream", subprotocols=offers, **quiet) as socket,
    ):
        client = StreamClient(socket)
        await client.speak("Hello there.")
        await client.receive_until_final()
        await client.send("text", "nowhere", text="Hello.")
        await client.receive_until("error")
        monkeypatch.setattr("sayline_tts.server.websocket.session.Session.handle", lambda *_: 1 / 0)
        await client.send("start", "b")
        with contextlib.suppress(ConnectionClosed):
            await client.receive_until("never")
    assert "ZeroDivisionError" in caplog.text  # it was logged
    assert key not in caplog.text
    assert not any(key in repr(vars(record)) for record in caplog.records)
