"""`POST /v1/tokens` and the use of its tokens, on a real socket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from websockets.exceptions import InvalidStatus

from sayline_tts.server.access.keys import KeyFile
from sayline_tts.server.access.limits import Limits
from sayline_tts.server.app import make_app
from sayline_tts.server.settings import Settings
from tests.server.fakes import FakeEngine
from tests.server.stream_client import connected_client, serving

SITE = "https://app.example"


@dataclass
class TokenServer:
    address: str
    client: aiohttp.ClientSession
    keys: KeyFile
    key: str

    async def request(self, method: str, path: str, key: str, json: Any = None, **headers: str) -> tuple[int, Any]:
        url, named = f"http://{self.address}{path}", {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"Authorization": f"Bearer {key}", **named}
        async with self.client.request(method, url, json=json, headers=sent) as response:
            is_json = response.content_type == "application/json"
            return response.status, await response.json() if is_json else await response.read()

    async def mint(self, **fields: Any) -> str:
        status, content = await self.request("POST", "/v1/tokens", self.key, {"origin": SITE, **fields})
        assert status == 201, content
        return str(content["token"])


@asynccontextmanager
async def token_server(folder: Path, **settings: Any) -> AsyncIterator[TokenServer]:
    loaded = Settings.load(data=str(folder), **settings)
    keys, engine = KeyFile(loaded.keys_path), FakeEngine()
    key = settings.get("api_key") or keys.add("ann", Limits(contexts=2))
    app = await make_app(loaded, engine.model, engine)
    async with serving(app) as address, aiohttp.ClientSession() as client:
        yield TokenServer(address, client, keys, key)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[TokenServer]:
    async with token_server(tmp_path) as server:
        yield server


def connected_client_with(server: TokenServer, token: str, origin: str = SITE) -> Any:
    headers = {"Origin": origin, "Authorization": f"Bearer {token}"}
    return connected_client(server.address, additional_headers=headers)


async def test_answer_says_when_the_token_expires(server: TokenServer) -> None:
    status, content = await server.request("POST", "/v1/tokens", server.key, {"origin": SITE, "ttl_s": 90})
    assert (status, set(content), content["expires_in_s"]) == (201, {"token", "expires", "expires_in_s"}, 90)


async def test_browser_speaks_with_a_token(server: TokenServer) -> None:
    token = await server.mint(voices=["bob"])
    async with connected_client_with(server, token) as one:
        await one.speak("Hello there.")
        await one.receive_until_final()
        assert one.received[-1]["type"] == "done"
        await one.speak("Hello there.", "b", voice="ann")
        assert (await one.receive_until("error"))["code"] == "voice_not_allowed"
    _, content = await server.request("GET", "/v1/usage", server.key)
    assert [row["key"] for row in content["usage"]] == ["ann"]  # its use is that of the key


async def test_token_is_accepted_as_a_subprotocol(server: TokenServer) -> None:
    token = await server.mint()
    offers = f"sayline.v1.json, sayline.key.{token}"
    url = f"http://{server.address}/v1/voices"
    headers = {"Origin": SITE, "Sec-WebSocket-Protocol": offers}
    async with server.client.get(url, headers=headers) as response:
        assert response.status == 200


async def test_token_of_another_site_is_refused(server: TokenServer) -> None:
    token = await server.mint()
    with pytest.raises(InvalidStatus):
        async with connected_client_with(server, token, "https://evil.example"):
            pass
    for headers in ({}, {"Origin": "https://app.example:444"}, {"Origin": "null"}, {"Sec_Fetch_Site": "same-origin"}):
        status, content = await server.request("GET", "/v1/voices", token, **headers)
        assert (status, content["error"]["code"]) == (401, "invalid_api_key")
    assert (await server.request("GET", "/v1/voices", token, Origin=SITE))[0] == 200


async def test_page_of_this_server_may_load_without_an_origin(server: TokenServer) -> None:
    token = await server.mint(origin=f"http://{server.address}")
    assert (await server.request("GET", "/v1/voices", token, Sec_Fetch_Site="same-origin"))[0] == 200
    assert (await server.request("GET", "/v1/voices", token, Sec_Fetch_Site="cross-site"))[0] == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/tokens"),
        ("GET", "/v1/usage"),
        ("GET", "/metrics"),
        ("POST", "/v1/voices"),
        ("DELETE", "/v1/voices/v-0123456789abcdef"),
        ("GET", "/v1/voices/v-0123456789abcdef/export"),
        ("POST", "/tts"),
    ],
)
async def test_token_may_only_speak(server: TokenServer, method: str, path: str) -> None:
    token = await server.mint()
    status, content = await server.request(method, path, token, {"origin": SITE}, Origin=SITE)
    assert (status, "A token may only speak" in content["error"]["message"]) == (403, True)


async def test_token_speaks_over_http(server: TokenServer) -> None:
    token = await server.mint()
    status, audio = await server.request("POST", "/generate", token, {"text": "Hi.", "format": "pcm"}, Origin=SITE)
    assert (status, len(audio)) == (200, 2 * 1920 * 2)


async def test_revoked_key_ends_its_tokens(server: TokenServer) -> None:
    server.keys.add("bob", Limits())
    token = await server.mint()
    async with connected_client_with(server, token) as one:
        server.keys.revoke("ann")
        await one.speak("Hello there.")
        assert (await one.receive_until("error"))["code"] == "key_revoked"
    assert (await server.request("GET", "/v1/voices", token, Origin=SITE))[0] == 401


async def test_single_key_mints_tokens(tmp_path: Path) -> None:
    async with token_server(tmp_path, api_key="correct-horse") as server:
        token = await server.mint()
        assert (await server.request("GET", "/v1/voices", token, Origin=SITE))[0] == 200
        async with connected_client_with(server, token) as one:
            await one.speak("Hello there.")
            await one.receive_until_final()
            assert one.received[-1]["type"] == "done"


async def test_server_without_keys_mints_none(tmp_path: Path, engine: FakeEngine) -> None:
    app = await make_app(Settings.load(data=str(tmp_path)), engine.model, engine)
    async with (
        serving(app) as address,
        aiohttp.ClientSession() as client,
        client.post(f"http://{address}/v1/tokens", json={"origin": SITE}) as response,
    ):
        assert (response.status, (await response.json())["error"]["code"]) == (403, "token_not_needed")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "origin"),
        ({"origin": "app.example"}, "origin"),
        ({"origin": SITE, "ttl_s": 0}, "ttl_s"),
        ({"origin": SITE, "ttl_s": 3601}, "ttl_s"),
        ({"origin": SITE, "voices": []}, "voices"),
        ({"origin": SITE, "chars": 5}, "chars"),
    ],
)
async def test_invalid_request_names_its_field(server: TokenServer, fields: dict[str, Any], param: str) -> None:
    status, content = await server.request("POST", "/v1/tokens", server.key, fields)
    assert (status, content["error"]["param"]) == (400, param)
    assert (await server.request("POST", "/v1/tokens", "wrong", fields))[0] == 401


async def test_tokens_are_not_logged(server: TokenServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    token = await server.mint()
    async with connected_client_with(server, token) as one:
        await one.speak("Hello there.")
        await one.receive_until_final()
    await server.request("GET", "/v1/usage", token, Origin=SITE)
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("websockets")]
    assert not any(token in text for text in ours)
