"""Deepgram's sockets and endpoints on a server with a fake model; `tests/agents` has the vendor's clients."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from sayline_tts.server.app import make_app
from sayline_tts.server.compat import connection, turns
from sayline_tts.server.compat.deepgram.protocol import Options, SpeakAdapter
from sayline_tts.server.settings import Settings
from sayline_tts.server.websocket.protocol import ProtocolError
from tests.server.fakes import FRAMES_PER_WORD, FakeEngine
from tests.server.stream_client import serving

FRAME_BYTES = 3_840
LONG = "word " * 800
V1 = "/v1/speak?model=aura-2-thalia-en&encoding=linear16&sample_rate=24000&mip_opt_out=false"
V2 = "/v2/speak?model=flux-alexis-en&encoding=linear16&sample_rate=24000"
Received = list[bytes | dict[str, Any]]


async def send(client: ClientConnection, type: str, **fields: object) -> None:
    await client.send(json.dumps({"type": type, **fields}))


async def receive_until(client: ClientConnection, *types: str) -> Received:
    received: Received = []
    while not (received and isinstance(received[-1], dict) and received[-1]["type"] in types):
        data = await client.recv()
        received.append(json.loads(data) if isinstance(data, str) else data)
    return received


def audio(received: Received) -> bytes:
    return b"".join(each for each in received if isinstance(each, bytes))


def kinds(received: Received) -> list[str]:
    return [each["type"] for each in received if isinstance(each, dict)]


async def test_turns_follow_each_other(address: str) -> None:
    async with connect(f"ws://{address}{V1}", max_size=None) as client:
        for word in ("Hello ", "there. "):
            await send(client, "Speak", text=word)
        await send(client, "Flush")
        await send(client, "Speak", text="More.")
        await send(client, "Flush")
        first, second = await receive_until(client, "Flushed"), await receive_until(client, "Flushed")
        assert client.response is not None
        assert first[0]["request_id"] == client.response.headers["dg-request-id"]  # type: ignore[call-overload]
        await send(client, "Close")
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1000
    assert kinds(first) == ["Metadata", "Flushed"]
    assert len(audio(first)) == 2 * FRAMES_PER_WORD * FRAME_BYTES
    assert len(audio(second)) == FRAMES_PER_WORD * FRAME_BYTES


async def test_nothing_follows_what_was_cleared(engine: FakeEngine, address: str) -> None:
    async with connect(f"ws://{address}{V1}", max_size=None) as client:
        await send(client, "Speak", text=LONG)
        await send(client, "Flush")
        while not isinstance(await client.recv(), bytes):
            pass
        await send(client, "Clear")
        await receive_until(client, "Cleared")
        await engine.wait_until(lambda: not engine.running)
        await send(client, "Speak", text="Hello.")
        await send(client, "Flush")
        received = await receive_until(client, "Flushed")
    assert len(audio(received)) == FRAMES_PER_WORD * FRAME_BYTES


async def test_close_stops_the_speech(engine: FakeEngine, address: str) -> None:
    async with connect(f"ws://{address}{V1}", max_size=None) as client:
        await send(client, "Speak", text=LONG)
        while not isinstance(await client.recv(), bytes):
            pass
        for type in ("Flush", "Close"):  # as LiveKit closes a socket
            await send(client, type)
        await engine.wait_until(lambda: not engine.running)


async def test_text_without_words_ends_normally(address: str) -> None:
    async with connect(f"ws://{address}{V1}", max_size=None) as client:
        await send(client, "Flush")
        assert not audio(await receive_until(client, "Flushed"))
        await send(client, "Speak", text="\N{GRINNING FACE}")
        await send(client, "Flush")
        assert audio(await receive_until(client, "Flushed")) == bytes(FRAME_BYTES)


async def test_flux_tells_what_was_spoken(address: str) -> None:
    async with connect(f"ws://{address}{V2}&speed=1.05", max_size=None) as client:
        await send(client, "Configure", speed=1)
        for word in ("Hello ", "there. "):
            await send(client, "Speak", text=word)
        await send(client, "Flush")
        first = await receive_until(client, "SpeechMetadata")
        await send(client, "Speak", text=LONG)
        received: Received = []
        while len(audio(received)) < 10 * FRAME_BYTES:
            data = await client.recv()
            received.append(json.loads(data) if isinstance(data, str) else data)
        turn_ms = first[-1]["audio_duration_ms"]  # type: ignore[call-overload]
        await send(client, "Interrupt", playback_offset={"type": "time_ms", "value": turn_ms + 330})
        interrupted = (await receive_until(client, "SpeechInterrupted"))[-1]
        assert isinstance(interrupted, dict)
        await send(client, "Close")
        ended = await receive_until(client, "SessionMetadata")
    assert kinds(first) == ["Connected", "ConfigureSuccess", "Flushed", "SpeechStarted", "SpeechMetadata"]
    assert len(audio(first)) == 2 * FRAMES_PER_WORD * FRAME_BYTES == turn_ms * 48
    assert 1 <= len(interrupted["text_spoken"].split()) <= 3  # at 160 ms each
    assert interrupted["text_spoken"] + interrupted["text_remaining"] == LONG
    assert kinds(ended) == ["SessionMetadata"]
    assert ended[-1]["total_audio_duration_ms"] == turn_ms + 330  # type: ignore[call-overload]


@pytest.mark.parametrize("path", [V1, V2])
async def test_a_client_that_reads_no_more_stops_the_speech_and_keeps_its_socket(
    engine: FakeEngine, address: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "POOLED_PING_S", 0.02)
    async with aiohttp.ClientSession() as session, session.ws_connect(f"http://{address}{path}") as client:
        await client.send_json({"type": "Speak", "text": LONG})
        while (await client.receive()).type is not aiohttp.WSMsgType.BINARY:
            pass
        monkeypatch.setattr(connection, "PONG_S", 0.05)  # It reads no more, and aiohttp answers pings while it reads.
        await engine.wait_until(lambda: not engine.running)
        await client.send_json({"type": "Flush"})  # begins an empty turn
        async with asyncio.timeout(10):
            while (message := await client.receive()).type is aiohttp.WSMsgType.BINARY or "Flushed" not in message.data:
                pass


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/v1/speak?encoding=mp3", "linear16, mulaw, alaw"),
        ("/v1/speak?sample_rate=1", "sample rate of 1 Hz"),
        ("/v1/speak?sample_rate=fast", "must be a number"),
        ("/v2/speak?speed=1.6", "0.5 to 1.5"),
        ("/v2/speak?speed=1.01", "multiple of 0.05"),
    ],
)
async def test_a_refused_socket_says_why_in_a_header(address: str, path: str, said: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"ws://{address}{path}")
    response = refused.value.response
    assert response.status_code == 400
    assert said in response.headers["dg-error"]
    assert response.headers["dg-request-id"]


@pytest.mark.parametrize(("message", "code"), [(b"binary", 1003), ("{}", 1008), ('{"type":"Sing"}', 1008)])
async def test_a_message_that_is_not_valid_ends_the_connection(address: str, message: str | bytes, code: int) -> None:
    async with connect(f"ws://{address}{V1}") as client:
        await client.send(message)
        assert kinds(await receive_until(client, "Error")) == ["Metadata", "Error"]
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == code


async def test_a_browser_gives_its_key_as_a_subprotocol(engine: FakeEngine) -> None:
    app = await make_app(Settings.load(api_key="secret"), engine.model, engine)
    async with serving(app) as address:
        offered = [Subprotocol("token"), Subprotocol("secret")]
        async with connect(f"ws://{address}{V1}", subprotocols=offered) as client:
            assert client.subprotocol == "token"
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://{address}{V1}", additional_headers={"Authorization": "Token wrong"})
        assert refused.value.response.status_code == 401
        assert "API key" in refused.value.response.headers["dg-error"]


@pytest.mark.parametrize(
    ("query", "content_type"),
    [
        ("", "audio/mpeg"),
        ("encoding=linear16&sample_rate=16000", "audio/wav"),
        ("encoding=linear16&container=none", "audio/pcm"),
        ("encoding=mulaw&container=none", "audio/PCMU"),
        ("encoding=opus", "audio/ogg"),
    ],
)
@pytest.mark.parametrize("version", [1, 2])
async def test_speech_over_http(address: str, query: str, content_type: str, version: int) -> None:
    async with aiohttp.ClientSession(f"http://{address}") as client:
        url = f"/v{version}/speak?model=aura-2-bob-en&{query}"
        async with client.post(url, json={"text": "Hello there."}) as response:
            assert response.content_type.lower() == content_type.lower()
            assert response.headers["dg-request-id"]
            assert await response.read()


async def test_errors_over_http_have_the_vendor_s_shape(address: str) -> None:
    async with aiohttp.ClientSession(f"http://{address}") as client:
        async with client.post("/v1/speak?encoding=wax", json={"text": "Hello."}) as response:
            assert (response.status, (await response.json())["err_code"]) == (400, "bad_format")
            assert "wax" in response.headers["dg-error"]
        async with client.post("/v1/speak", json={"text": "\N{GRINNING FACE}"}) as response:
            assert response.status == 200


async def test_the_voice_s_own_name_may_be_in_the_model(engine: FakeEngine, address: str) -> None:
    for model in ("bob", "aura-2-bob-en", "flux-bob-es"):
        async with connect(f"ws://{address}/v1/speak?model={model}") as client:
            await send(client, "Speak", text="Hello.")
            await send(client, "Flush")
            await receive_until(client, "Flushed")
        assert vars(engine.model)["loaded"] == ["bob"]


def test_text_that_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "MAX_HELD_CHARS", 10)
    monkeypatch.setattr(turns, "MAX_CONTEXTS", 3)
    adapter = SpeakAdapter(Options("ann"))
    speak, flush = json.dumps({"type": "Speak", "text": "Six ch"}), json.dumps({"type": "Flush"})
    for message in (speak, flush, speak):
        list(adapter.receive(message))
    with pytest.raises(ProtocolError, match="10 characters") as refused:
        list(adapter.receive(speak))
    assert [json.loads(each.data)["code"] for each in adapter.refuse(refused.value)] == ["DATA-0001"]  # type: ignore[union-attr]
    for message in (flush, flush):
        list(adapter.receive(message))
    with pytest.raises(ProtocolError, match="3 turns"):
        list(adapter.receive(flush))
