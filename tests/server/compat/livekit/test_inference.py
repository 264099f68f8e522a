"""LiveKit Inference's socket on a server with a fake model; `tests/agents` has LiveKit itself."""

import asyncio
import base64
import json
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect

from sayline_tts.server.compat import connection
from tests.server.fakes import FRAMES_PER_WORD, FakeEngine

FRAME_BYTES = 3_840
PATH = "/v1/tts?model=cartesia/sonic-3"
CREATE = {"type": "session.create", "sample_rate": "24000", "encoding": "pcm_s16le", "model": "cartesia/sonic-3"}


async def send(client: ClientConnection, type: str, **fields: object) -> None:
    await client.send(json.dumps({"type": type, **fields}))


async def receive_turn(client: ClientConnection) -> list[dict[str, Any]]:
    received: list[dict[str, Any]] = []
    while not (received and received[-1]["type"] in ("done", "error")):
        received.append(json.loads(await client.recv()))
    return received


def audio(received: list[dict[str, Any]]) -> bytes:
    return b"".join(base64.b64decode(each["audio"]) for each in received if each["type"] == "output_audio")


async def test_turns_have_audio_words_and_their_end(address: str) -> None:
    async with connect(f"ws://{address}{PATH}", max_size=None) as client:
        await client.send(json.dumps(CREATE))
        await send(client, "input_transcript", transcript="It is $5. ", generation_config={"voice": "bob"})
        await send(client, "session.flush")
        first = await receive_turn(client)
        for _ in range(2):  # the second turn has no text
            await send(client, "session.flush")
        assert [each["type"] for each in await receive_turn(client)] == ["done"]
        await receive_turn(client)
        await send(client, "input_transcript", transcript="\N{GRINNING FACE}")
        await send(client, "session.flush")
        wordless = await receive_turn(client)
    assert first[0]["type"] == "session.created"
    words = [word for each in first if each["type"] == "output_alignment" for word in each["words"]]
    assert [word["word"] for word in words] == ["It", "is", "$5."]
    assert len(audio(first)) == 4 * FRAMES_PER_WORD * FRAME_BYTES
    assert audio(wordless) == bytes(FRAME_BYTES)
    assert len({each["session_id"] for each in first + wordless}) == 1


async def test_a_client_that_reads_no_more_stops_the_speech_and_keeps_its_socket(
    engine: FakeEngine, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "POOLED_PING_S", 0.02)
    async with aiohttp.ClientSession() as session, session.ws_connect(f"http://{address}{PATH}") as client:
        await client.send_json({"type": "input_transcript", "transcript": "word " * 800})
        await client.receive()
        monkeypatch.setattr(connection, "PONG_S", 0.05)
        await engine.wait_until(lambda: not engine.running)
        await client.send_json({"type": "session.flush"})  # of the next turn
        async with asyncio.timeout(10):
            while (await client.receive_json())["type"] != "done":
                pass
