"""Keys that come in the address or in the first message of a socket, as browsers must send them."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from sayline_tts.server.app import SESSIONS, make_app
from sayline_tts.server.compat import services
from sayline_tts.server.settings import Settings
from sayline_tts.server.websocket import sessions
from tests.server.fakes import FakeEngine
from tests.server.stream_client import serving

KEY = "a-key-of-the-test"
PATH = "/v1/text-to-speech/ann/stream-input"
SITE = Origin("https://app.example")
HELLO: dict[str, Any] = {"text": " "}


@asynccontextmanager
async def server(**settings: Any) -> AsyncIterator[tuple[str, sessions.Sessions]]:
    engine = FakeEngine()
    app = await make_app(Settings.load(api_key=KEY, voice_aliases="*=", **settings), engine.model, engine)
    async with serving(app) as address:
        yield f"ws://{address}{PATH}", app[SESSIONS]


async def speak(client: ClientConnection, **first: object) -> dict[str, Any]:
    """Send a text, and return the last message before the server closes the connection."""
    await client.send(json.dumps({**HELLO, **first}))
    with suppress(ConnectionClosed):
        for text in ("Hello there. ", ""):
            await client.send(json.dumps({"text": text}))
    last: dict[str, Any] = {}
    with suppress(ConnectionClosed):
        async for message in client:
            last = json.loads(message)
    return last


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """What the server has logged, and not the client."""
    return "".join(record.getMessage() for record in caplog.records if not record.name.startswith("websockets"))


@pytest.mark.parametrize(
    "first",
    [
        {"xi_api_key": KEY},
        {"xi-api-key": KEY},
        {"authorization": f"Bearer {KEY}"},
        {"authorization": KEY},
        {"single_use_token": KEY},
    ],
)
async def test_key_in_the_first_message(first: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with server() as (url, _), connect(url) as client:
        assert (await speak(client, **first))["isFinal"] is True
        assert client.close_code == 1000
    assert KEY not in logged(caplog)


@pytest.mark.parametrize("query", [f"authorization={quote('Bearer ' + KEY)}", f"xi-api-key={KEY}"])
async def test_key_in_the_address(query: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with server() as (url, _), connect(f"{url}?{query}") as client:
        assert (await speak(client))["isFinal"] is True
    assert KEY not in logged(caplog)


async def test_token_of_a_browser_speaks() -> None:
    async with server() as (url, _), aiohttp.ClientSession(headers={"X-API-Key": KEY}) as http:
        tokens = url.replace("ws:", "http:").replace(PATH, "/v1/tokens")
        async with http.post(tokens, json={"origin": SITE}) as answer:
            token = (await answer.json())["token"]
        async with connect(f"{url}?single_use_token={token}", origin=SITE) as client:
            assert (await speak(client))["isFinal"] is True
        async with connect(url, origin=SITE) as client:
            assert (await speak(client, single_use_token=token))["isFinal"] is True
        async with connect(url, origin=Origin("https://other.example")) as client:
            assert (await speak(client, single_use_token=token))["error"] == "invalid_api_key"


@pytest.mark.parametrize("first", ['{"text":" "}', '{"xi_api_key":"another"}', '{"xi_api_key":5}', "[", b"\xff"])
async def test_first_message_without_a_valid_key_is_refused(first: str | bytes) -> None:
    async with server() as (url, open_sessions), connect(url) as client:
        await client.send(first)
        assert json.loads(await client.recv())["error"] == "invalid_api_key"
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1008
        assert len(open_sessions) == 0


async def test_wrong_key_in_the_handshake_is_refused_there() -> None:
    async with server() as (url, _):
        for query, headers in (("?authorization=another", {}), ("", {"xi-api-key": "another"})):
            with pytest.raises(InvalidStatus, match="401"):
                async with connect(url + query, additional_headers=headers):
                    pass


async def test_key_has_limited_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "FIRST_MESSAGE_S", 0.05)
    async with server() as (url, _), connect(url) as client:
        await client.ping()
        assert "handshake" in json.loads(await client.recv())["message"]


async def test_connection_that_ends_before_its_key() -> None:
    async with server() as (url, open_sessions):
        async with connect(url) as client:
            await (await client.ping())
            await client.pong()
            assert open_sessions._awaiting_key == ["127.0.0.1"]
        for _ in range(500):
            if open_sessions._awaiting_key:
                await asyncio.sleep(0.01)
        assert not open_sessions._awaiting_key
        assert len(open_sessions) == 0


@pytest.mark.parametrize(("limit", "status"), [("MAX_AWAITING_KEY", "503"), ("AWAITING_KEY_PER_ADDRESS", "429")])
async def test_connections_without_a_key_are_bounded(limit: str, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, limit, 1)
    async with server() as (url, _), connect(url) as client:
        with pytest.raises(InvalidStatus, match=status):
            async with connect(url):
                pass
        async with connect(url, additional_headers={"xi-api-key": KEY}) as other:
            assert (await speak(other))["isFinal"] is True
        assert (await speak(client, xi_api_key=KEY))["isFinal"] is True


async def test_connections_without_a_key_count_as_their_address_s() -> None:
    settings: dict[str, Any] = {"max_sessions_per_address": 1, "trusted_proxies": "127.0.0.1"}
    headers = {"X-Forwarded-For": "192.0.2.1"}
    async with server(**settings) as (url, _), connect(url, additional_headers=headers) as client:
        with pytest.raises(InvalidStatus, match="429"):
            async with connect(url, additional_headers={**headers, "xi-api-key": KEY}):
                pass
        assert (await speak(client, xi_api_key=KEY))["isFinal"] is True


async def test_what_fails_after_the_key_is_told() -> None:
    async with server(max_sessions=1) as (url, _):
        async with connect(url.replace("ann", "nobody")) as client:
            assert (await speak(client, xi_api_key=KEY))["error"] == "voice_not_found"
        async with connect(url) as client, connect(url, additional_headers={"xi-api-key": KEY}):
            assert (await speak(client, xi_api_key=KEY))["error"] == "system_busy"


async def test_without_keys_none_is_waited_for(address: str) -> None:
    async with connect(f"ws://{address}{PATH}") as client:
        assert (await speak(client))["isFinal"] is True
