"""Cartesia's socket and endpoints on a server with a fake model; `tests/agents` has the vendor's clients."""

import asyncio
import base64
import json
from typing import Any

import aiohttp
import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect

from sayline_tts.server.compat import connection
from tests.server.fakes import FRAMES_PER_WORD, FakeEngine

FRAME_BYTES = 3_840
PCM = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24_000}
TURN = {"context_id": "a", "model_id": "sonic-3", "voice": {"mode": "id", "id": "v"}, "output_format": PCM}


async def say(client: ClientConnection, **fields: object) -> None:
    await client.send(json.dumps({**TURN, **fields}))


async def receive_turn(client: ClientConnection) -> list[dict[str, Any]]:
    received: list[dict[str, Any]] = []
    while not (received and received[-1]["type"] in ("done", "error")):
        received.append(json.loads(await client.recv()))
    return received


def audio(messages: list[dict[str, Any]]) -> bytes:
    return b"".join(base64.b64decode(each["data"]) for each in messages if each["type"] == "chunk")


async def test_a_turn_has_audio_words_and_its_end(address: str) -> None:
    async with connect(f"ws://{address}/tts/websocket?api_key=any", max_size=None) as client:
        for text in ("It is $5.", "Hello there."):
            await say(client, transcript=text, max_buffer_delay_ms=0, add_timestamps=True, **{"continue": True})
        await say(client, transcript="")
        received = await receive_turn(client)
        await say(client, transcript="\N{GRINNING FACE}")
        silence = await receive_turn(client)
    assert {each["context_id"] for each in received} == {"a"}
    words = [each["word_timestamps"] for each in received if each["type"] == "timestamps"]
    assert [word for each in words for word in each["words"]] == ["It", "is", "$5.", "Hello", "there."]
    assert len(audio(received)) == 6 * FRAMES_PER_WORD * FRAME_BYTES
    assert [each["type"] for each in silence] == ["chunk", "done"]


async def test_nothing_follows_a_cancel(engine: FakeEngine, address: str) -> None:
    async with connect(f"ws://{address}/tts/websocket", max_size=None) as client:
        await say(client, transcript="word " * 800, **{"continue": True})
        await client.recv()
        await client.send(json.dumps({"context_id": "a", "cancel": True}))
        await engine.wait_until(lambda: not engine.running)
        await say(client, context_id="b", transcript="Hello.")
        late = [each for each in await receive_turn(client) if each["context_id"] == "a"]
    assert {each["type"] for each in late} <= {"chunk"}  # that were on the way


async def test_a_client_that_reads_no_more_stops_the_speech_and_keeps_its_socket(
    engine: FakeEngine, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "POOLED_PING_S", 0.02)
    monkeypatch.setattr(connection, "PONG_S", 0.05)
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://{address}/tts/websocket") as client,
    ):
        await client.send_json({**TURN, "transcript": "word " * 800})
        await client.receive()  # and not again: aiohttp answers pings only there
        await engine.wait_until(lambda: not engine.running)
        await client.send_json({**TURN, "context_id": "b", "transcript": "Hello."})
        async with asyncio.timeout(10):
            while (message := await client.receive_json())["context_id"] != "b" or not message["done"]:
                pass


async def test_speech_over_http(address: str) -> None:
    body = {"transcript": "Hello there.", "voice": "v", "output_format": {**PCM, "encoding": "pcm_f32le"}}
    async with aiohttp.ClientSession(f"http://{address}") as client:
        async with client.post("/tts/bytes", json=body) as response:
            samples = np.frombuffer(await response.read(), "<f4")
        assert len(samples) == 2 * FRAMES_PER_WORD * 1_920
        assert 0 < np.abs(samples).max() <= 1
        async with client.post("/tts/bytes", json={**body, "output_format": {"container": "mp3"}}) as response:
            assert response.content_type == "audio/mpeg"
        for timed in (True, False):
            more = {"output_format": PCM, "context_id": "a", "add_timestamps": timed}
            async with client.post("/tts/sse", json={**body, **more}) as response:
                blocks = (await response.text()).strip().split("\n\n")
            events = [json.loads(block.partition("\ndata: ")[2]) for block in blocks]
            assert len(audio(events)) == 2 * FRAMES_PER_WORD * FRAME_BYTES
            assert any(each["type"] == "timestamps" for each in events) is timed
            assert events[-1]["done"]
        async with client.post("/tts/bytes", json={**body, "output_format": {"sample_rate": 1}}) as response:
            assert (response.status, (await response.json())["error_code"]) == (400, "bad_format")


async def test_voices_have_one_page(address: str) -> None:
    async with aiohttp.ClientSession(f"http://{address}", headers={"Cartesia-Version": "2026-08-14"}) as client:
        async with client.get("/voices") as response:
            assert [each["id"] for each in (await response.json())["data"]] == ["ann", "bob", "eve"]
        async with client.get("/voices?starting_after=eve") as response:
            assert not (await response.json())["data"]
