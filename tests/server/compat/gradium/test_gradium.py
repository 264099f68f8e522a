"""Gradium's socket and endpoint on a real server with a fake model; `tests/agents` has the vendor's clients."""

import base64
import json
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.server.fakes import FRAMES_PER_WORD

RATE_HZ = 48_000


async def say(client: ClientConnection, **fields: object) -> None:
    await client.send(json.dumps(fields))


async def receive(client: ClientConnection) -> list[dict[str, Any]]:
    """Everything up to the end of a request."""
    received: list[dict[str, Any]] = []
    while not (received and received[-1]["type"] == "end_of_stream"):
        received.append(json.loads(await client.recv()))
    return received


@pytest.mark.parametrize("path", ["/api/speech/tts", "/speech/tts?token=any"])
async def test_a_request_is_spoken_and_ends_the_socket(address: str, path: str) -> None:
    async with connect(f"ws://{address}{path}", max_size=None) as client:
        await say(client, type="setup", voice_id="ann", output_format="pcm")
        await say(client, type="text", text="Hello there.")
        await say(client, type="end_of_stream")
        received = await receive(client)
        with pytest.raises(ConnectionClosed):
            await client.recv()
    assert client.close_code == 1000
    assert received[0]["sample_rate"] == RATE_HZ
    assert [each["text"] for each in received if each["type"] == "text"] == ["Hello", "there."]
    audio = [each for each in received if each["type"] == "audio"]
    bytes_sent = sum(len(base64.b64decode(each["audio"])) for each in audio)
    assert bytes_sent == pytest.approx(2 * FRAMES_PER_WORD * 0.08 * RATE_HZ * 2, rel=0.01)
    assert [each["start_s"] for each in audio][:3] == [0.0, 0.08, 0.16]


async def test_pipecat_s_dropped_turn_is_cancelled(address: str) -> None:
    headers = {"x-api-source": "pipecat"}
    async with connect(f"ws://{address}/api/speech/tts", additional_headers=headers, max_size=None) as client:
        for name in "ab":
            await say(client, type="setup", client_req_id=name, close_ws_on_eos=False)
            await say(client, type="text", client_req_id=name, text="Hello there. " * 3)
        await say(client, type="end_of_stream", client_req_id="b")
        received = await receive(client)
    assert received[-1]["client_req_id"] == "b"
    assert not [each for each in received if each["type"] == "end_of_stream" and each["client_req_id"] == "a"]


async def test_speech_over_http(address: str) -> None:
    async with aiohttp.ClientSession(f"http://{address}") as client:
        body = {"text": "Hello there.", "voice_id": "ann", "output_format": "pcm", "json_config": {"temp": 0.5}}
        async with client.post("/api/post/speech/tts", json={**body, "only_audio": True}) as response:
            audio = await response.read()
        async with client.post("/post/speech/tts", json=body) as response:
            lines = [json.loads(line) for line in (await response.text()).splitlines()]
        async with client.post("/post/speech/tts", json={**body, "text": "..."}) as response:
            [silence] = [json.loads(line) for line in (await response.text()).splitlines()]
        async with client.post("/api/post/speech/tts", json={**body, "output_format": "mp3"}) as response:
            assert (response.status, "ulaw_8000" in await response.text()) == (400, True)
    assert [each["text"] for each in lines if each["type"] == "text"] == ["Hello", "there."]
    timed = b"".join(base64.b64decode(each["audio"]) for each in lines if each["type"] == "audio")
    assert len(timed) == len(audio) > 10_000
    assert base64.b64decode(silence["audio"])
