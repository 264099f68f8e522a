"""jambonz's custom voice on a server with a fake model."""

import json

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.server.fakes import FRAMES_PER_WORD, FakeEngine

BYTES_PER_S = 16_000


async def test_socket_speaks_at_the_telephone_s_rate_and_stops(engine: FakeEngine, address: str) -> None:
    async with connect(f"ws://{address}/jambonz/stream?voice=bob&language=en-US", max_size=None) as client:
        data = {"sample_rate": 8_000, "base64_encoding": False}
        assert json.loads(await client.recv()) == {"type": "connect", "data": data}
        await client.send(json.dumps({"type": "stream", "text": "word " * 800}))
        assert isinstance(await client.recv(), bytes)
        await client.send(json.dumps({"type": "stop"}))
        await engine.wait_until(lambda: not engine.running)
        for message in ({"type": "stream", "text": "Hello there."}, {"type": "flush"}):
            await client.send(json.dumps(message))
        await engine.wait_until(lambda: bool(engine.running))
        await engine.wait_until(lambda: not engine.running)
        await client.send(json.dumps({"type": "sing"}))
        while isinstance(received := await client.recv(), bytes):
            pass
        assert json.loads(received)["code"] == "bad_message"


@pytest.mark.parametrize("rate", ["1", "fast"])
async def test_a_rate_that_is_not_possible_is_refused(address: str, rate: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"ws://{address}/jambonz/stream?sampleRate={rate}")
    assert refused.value.response.status_code == 400


@pytest.mark.parametrize(("accept", "content_type"), [("audio/mpeg", "audio/mpeg"), ("*/*", "audio/wav")])
async def test_speech_over_http(address: str, accept: str, content_type: str) -> None:
    body = {"language": "en-US", "voice": "bob", "type": "ssml", "text": "<speak>Hello <b>there</b>.</speak>"}
    async with aiohttp.ClientSession(f"http://{address}", headers={"Accept": accept}) as client:
        async with client.post("/jambonz/speech", json=body) as response:
            assert response.content_type == content_type
            audio = await response.read()
        if content_type == "audio/wav":
            assert len(audio) - 44 == 2 * FRAMES_PER_WORD * 0.08 * BYTES_PER_S
        async with client.post("/jambonz/speech", json={**body, "type": "text", "text": "Hello."}) as response:
            assert await response.read()
