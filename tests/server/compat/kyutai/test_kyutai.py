"""Kyutai's socket and endpoints on a real server with a fake model, as unmute and its script use them."""

from typing import Any

import aiohttp
import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from sayline_tts.server.app import make_app
from sayline_tts.server.settings import Settings
from tests.server.fakes import FRAMES_PER_WORD, FakeEngine
from tests.server.stream_client import serving

PATH = "/api/tts_streaming"


async def speak(url: str, *words: str, **headers: str) -> list[dict[str, Any]]:
    """All messages until the server closes the socket."""
    async with connect(url, max_size=None, additional_headers=headers) as client:
        for word in words:
            await client.send(msgspec.msgpack.encode({"type": "Text", "text": word}))
        await client.send(msgspec.msgpack.encode({"type": "Eos"}))
        received = [msgspec.msgpack.decode(message) async for message in client if isinstance(message, bytes)]
    assert client.close_code == 1000
    return received


async def test_words_become_frames_of_floats(address: str) -> None:
    received = await speak(
        f"ws://{address}{PATH}?format=PcmMessagePack&voice=ann&cfg_alpha=1.5&seed=7", "It", "is", "$5."
    )
    assert received[0] == {"type": "Ready"}
    assert [each["text"] for each in received if each["type"] == "Text"] == ["It", "is", "$5."]
    frames = [each["pcm"] for each in received if each["type"] == "Audio"]
    assert [len(frame) for frame in frames] == [1920] * (4 * FRAMES_PER_WORD)  # "five dollars" is two words
    assert all(-1 <= sample <= 1 for frame in frames for sample in frame)


async def test_raw_audio(address: str) -> None:
    for name, head in (("", b"OggS"), ("?format=Pcm", b"")):
        async with connect(f"ws://{address}{PATH}{name}", max_size=None) as client:
            await client.send("Hello there.")
            await client.send(b"\0")
            audio = b"".join([message async for message in client if isinstance(message, bytes)])
        assert audio.startswith(head)
        assert len(audio) > 100


async def test_keys_and_formats_of_the_address() -> None:
    engine = FakeEngine()
    async with serving(await make_app(Settings.load(api_key="public_token"), engine.model, engine)) as address:
        url = f"ws://{address}{PATH}?format=PcmMessagePack"
        assert await speak(f"{url}&auth_id=public_token", "Hello")
        assert await speak(url, "Hello", **{"kyutai-api-key": "public_token"})
        for bad, status in (
            (f"{url}&auth_id=other", 401),
            (f"ws://{address}{PATH}?format=Mp3&auth_id=public_token", 400),
        ):
            with pytest.raises(InvalidStatus, match=str(status)):
                await speak(bad, "Hello")
        async with aiohttp.ClientSession(f"http://{address}") as client:
            async with client.get("/api/build_info") as response:
                assert (response.status, await response.json()) == (200, {"name": "sayline"})
            body, headers = {"text": "Hello there.", "voice": "ann", "seed": 1}, {"kyutai-api-key": "public_token"}
            async with client.post(PATH, json=body, headers=headers) as response:
                assert (response.content_type, (await response.read())[:4]) == ("audio/wav", b"RIFF")
