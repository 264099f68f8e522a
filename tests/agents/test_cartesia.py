"""Cartesia's SDK and LiveKit's plugin, unmodified, on a real server with the embedded voice."""

from typing import Any

import pytest

pytest.importorskip("cartesia", reason="clients are in an environment of their own: tests/agents/constraints.txt")

import aiohttp
from cartesia import Cartesia
from livekit.plugins import cartesia

from tests.agents import hearing
from tests.agents.embedded_server import KEY, EmbeddedServer, command
from tests.agents.turn import interrupt, speak

TEXT = "Hello. It costs $5."
PCM = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24_000}
pytestmark = [
    pytest.mark.skipif(command() is None, reason="the server is not installed: make .venv/ready"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the SDK's own calls
]


def test_sdk_speaks_over_a_socket_and_over_http(server: EmbeddedServer) -> None:
    with Cartesia(api_key=KEY, base_url=server.http, websocket_base_url=server.ws) as client:
        said: dict[str, Any] = {"model_id": "sonic-3", "voice": {"mode": "id", "id": "v"}, "output_format": PCM}
        whole = client.tts.generate(transcript=TEXT, **said).read()
        assert 0.8 < len(whole) / 48_000 < 6
        voices = [voice.id for voice in client.voices.list()]
        assert len(voices) == len(set(voices)) > 0
        with client.tts.websocket_connect() as connection:
            context = connection.context(**said)
            context.push(TEXT)
            context.no_more_inputs()
            streamed = b"".join(each.audio or b"" for each in context.receive() if each.type == "chunk")
        assert 0.8 < len(streamed) / 48_000 < 6


async def test_livekit_gets_audio_and_words_and_interrupts(server: EmbeddedServer) -> None:
    async with aiohttp.ClientSession() as connections:
        voice = cartesia.TTS(api_key=KEY, base_url=server.http, voice="v", http_session=connections)
        first = await speak(voice, hearing.TEXT)
        await interrupt(voice, "This is a sentence that will be interrupted before it has ended. ")
        last = await speak(voice, "Yes.")
        await voice.aclose()
    assert first.text.split() == hearing.TEXT.split()
    assert first.starts_s == sorted(first.starts_s)
    assert first.starts_s[-1] < first.seconds < 12
    assert 0.2 < last.seconds < 3
    hearing.expect_heard(first.audio, first.rate_hz)
