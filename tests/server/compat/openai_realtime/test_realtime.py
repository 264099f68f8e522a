"""The Realtime API as a speaker, on a server with a fake model; `tests/agents` has the vendor's client."""

import base64
import json
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from sayline_tts.server.compat.adapter import MAX_CONTEXTS
from sayline_tts.server.compat.openai_realtime.protocol import RealtimeAdapter
from sayline_tts.server.websocket.protocol import ProtocolError
from tests.server.fakes import FRAMES_PER_WORD, FakeEngine

FRAME_BYTES = 3_840
PATH = "/v1/realtime?model=gpt-realtime"


async def send(client: ClientConnection, type: str, **fields: object) -> None:
    await client.send(json.dumps({"type": type, **fields}))


async def speak(client: ClientConnection, text: str) -> None:
    content = [{"type": "input_text", "text": text}]
    item = {"type": "message", "role": "user", "content": content}
    await send(client, "response.create", response={"conversation": "none", "input": [item]})


async def receive_until(client: ClientConnection, type: str) -> list[dict[str, Any]]:
    received: list[dict[str, Any]] = []
    while not (received and received[-1]["type"] == type):
        received.append(json.loads(await client.recv()))
    return received


def audio(received: list[dict[str, Any]]) -> bytes:
    deltas = (each["delta"] for each in received if each["type"] == "response.output_audio.delta")
    return b"".join(map(base64.b64decode, deltas))


async def test_responses_have_audio_and_their_text(address: str) -> None:
    async with connect(f"ws://{address}{PATH}", subprotocols=[Subprotocol("realtime")], max_size=None) as client:
        assert client.subprotocol == "realtime"
        assert (await receive_until(client, "session.created"))[0]["session"]["model"] == "gpt-realtime"
        output = {"format": {"type": "audio/pcmu"}, "voice": "bob"}
        await send(client, "session.update", session={"audio": {"output": output}})
        await receive_until(client, "session.updated")
        await speak(client, "It is $5.")
        received = await receive_until(client, "response.done")
    assert received[-1]["response"]["status"] == "completed"
    assert received[-1]["response"]["output"][0]["content"][0]["transcript"] == "It is $5."
    assert len(audio(received)) == 4 * FRAMES_PER_WORD * FRAME_BYTES // 6


def test_open_responses_are_bounded() -> None:
    adapter = RealtimeAdapter("gpt-realtime")
    message = json.dumps({"type": "response.create", "response": {"input": [{"content": [{"text": "Hello."}]}]}})
    for _ in range(MAX_CONTEXTS):
        list(adapter.receive(message))
    with pytest.raises(ProtocolError, match=f"{MAX_CONTEXTS} responses"):
        list(adapter.receive(message))


async def test_a_cancelled_response_ends_and_the_next_holds_its_own_audio(engine: FakeEngine, address: str) -> None:
    async with connect(f"ws://{address}{PATH}", max_size=None) as client:
        await speak(client, "word " * 800)
        await receive_until(client, "response.output_audio.delta")
        await send(client, "response.cancel")
        cancelled = await receive_until(client, "response.done")
        assert cancelled[-1]["response"]["status"] == "cancelled"
        await engine.wait_until(lambda: not engine.running)
        await speak(client, "Hello.")
        assert len(audio(await receive_until(client, "response.done"))) == FRAMES_PER_WORD * FRAME_BYTES
