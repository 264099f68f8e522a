"""Who gets a session, and what the others are told."""

import base64

import aiohttp
import pytest
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from server.app import make_app
from server.protocol import Encoding
from server.settings import Settings
from server.upgrade import choose_encoding
from tests.server.fakes import FakeEngine
from tests.server.peer import peer, running

KEY = "correct-horse"
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": base64.b64encode(b"x" * 16).decode(),
    "Sec-WebSocket-Protocol": "sayline.v1.json",
}


async def ask(address: str, path: str = "/v1/stream", **headers: str) -> tuple[int, str]:
    """Status and text of a refusal."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with aiohttp.ClientSession() as client, client.get(f"http://{address}{path}", headers=named) as response:
        return response.status, await response.text() if response.status != 101 else ""


async def test_a_plain_get_is_told_to_upgrade(address: str) -> None:
    status, text = await ask(address)
    assert status == 426
    assert "ws://" in text


@pytest.mark.parametrize("offered", ["sayline.v9.json", "chat, superchat", ""])
async def test_an_unknown_subprotocol_is_told_which_there_are(address: str, offered: str) -> None:
    status, text = await ask(address, **{**UPGRADE, "Sec-WebSocket-Protocol": offered})
    assert status == 400
    assert "sayline.v1.json or sayline.v1.msgpack" in text


async def test_no_subprotocol_is_told_which_there_are(address: str) -> None:
    status, text = await ask(address, **{k: v for k, v in UPGRADE.items() if k != "Sec-WebSocket-Protocol"})
    assert (status, "sayline.v1.json" in text) == (400, True)


async def test_a_broken_handshake_is_refused(address: str) -> None:
    status, _ = await ask(address, **{**UPGRADE, "Sec-WebSocket-Key": "short"})
    assert status == 400


def test_the_first_offer_that_we_speak_is_taken() -> None:
    assert choose_encoding(["x", "sayline.v1.msgpack", "sayline.v1.json"]) is Encoding.MSGPACK


@pytest.mark.parametrize(
    ("origin", "expected"),
    [("http://{address}", 101), ("https://evil.example", 403), ("null", 403), ("http://127.0.0.1:1", 403)],
)
async def test_without_a_key_only_our_own_page_may_connect(address: str, origin: str, expected: int) -> None:
    status, _ = await ask(address, **UPGRADE, Origin=origin.format(address=address))
    assert status == expected


@pytest.mark.parametrize("path", ["/v1/stream", "/healthz", "/"])
async def test_a_server_for_this_machine_does_not_answer_to_a_foreign_name(address: str, path: str) -> None:
    status, text = await ask(address, path, **UPGRADE, Host="evil.example:8000")
    assert (status, "localhost" in text) == (403, True)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "[::1]:8000"])
async def test_it_answers_to_its_own_names(address: str, host: str) -> None:
    assert (await ask(address, "/healthz", Host=host))[0] == 200


@pytest.mark.parametrize("host", ["[::1", "", "localhost.evil.example", "127.0.0.1.evil.example"])
async def test_a_host_that_is_none_of_them_is_refused(address: str, host: str) -> None:
    assert (await ask(address, "/healthz", Host=host))[0] in (400, 403)


async def test_with_a_key_only_those_who_know_it_connect(engine: FakeEngine) -> None:
    async with running(await make_app(Settings.load(api_key=KEY), engine.model, engine)) as address:
        for header in ("", "Bearer", "Bearer wrong", f"Basic {KEY}", f"Bearer {KEY}x", "Bearer \xff", f"Bearer{KEY}"):
            with pytest.raises(InvalidStatus) as refused:
                async with peer(address, additional_headers={"Authorization": header}):
                    pass
            assert refused.value.response.status_code == 401
            assert b"Authorization: Bearer <key>" in (refused.value.response.body or b"")
        async with peer(address, additional_headers={"Authorization": f"bearer {KEY}"}) as one:
            await one.say("Hello.")
            await one.hear_all()


async def test_a_browser_gives_the_key_as_a_subprotocol(engine: FakeEngine) -> None:
    async with running(await make_app(Settings.load(api_key=KEY), engine.model, engine)) as address:
        offers = f"sayline.v1.json, sayline.key.{KEY}"
        status, _ = await ask(address, **{**UPGRADE, "Sec-WebSocket-Protocol": offers}, Origin="https://app.example")
        assert status == 101
        status, _ = await ask(address, **{**UPGRADE, "Sec-WebSocket-Protocol": offers + "x"})
        assert status == 401


async def test_the_key_is_never_chosen_as_the_protocol(engine: FakeEngine) -> None:
    async with running(await make_app(Settings.load(api_key=KEY), engine.model, engine)) as address:
        url = f"http://{address}/v1/stream"
        offers = [Subprotocol(f"sayline.key.{KEY}"), Subprotocol("sayline.v1.msgpack")]
        async with aiohttp.ClientSession() as client, client.ws_connect(url, protocols=offers) as socket:
            assert socket.protocol == "sayline.v1.msgpack"


async def test_nothing_is_compressed(address: str) -> None:
    async with peer(address) as one:
        assert one.socket.response is not None
        assert "Sec-WebSocket-Extensions" not in one.socket.response.headers
