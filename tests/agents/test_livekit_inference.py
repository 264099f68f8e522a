"""LiveKit's own `inference.TTS`, unmodified, on a real server with the embedded voice."""

import asyncio

import pytest

pytest.importorskip("livekit.agents", reason="clients are in an environment of their own: tests/agents/constraints.txt")

import aiohttp
from livekit.agents import APIConnectOptions, APIStatusError, inference
from livekit.agents.types import USERDATA_TIMED_TRANSCRIPT

from tests.agents.embedded_server import KEY, EmbeddedServer, command

ONCE = APIConnectOptions(max_retry=0)
WAIT_S = 60
SECRET = "of any value: the server takes the key only"
TEXT = "Hello. It costs $5."
LONG = "This is a sentence that will be interrupted before it has ended. "
pytestmark = pytest.mark.skipif(command() is None, reason="the server is not installed: make .venv/ready")


@pytest.mark.parametrize("model", ["cartesia/sonic-3", "inworld/inworld-tts-1"])
async def test_turns_have_audio_and_words_and_can_be_interrupted(server: EmbeddedServer, model: str) -> None:
    words: list[str] = []
    seconds = []
    async with aiohttp.ClientSession() as connections:
        voice = inference.TTS(
            model, base_url=f"{server.http}/v1", api_key=KEY, api_secret=SECRET, http_session=connections,
            extra_kwargs={"add_timestamps": True, "timestamp_type": "WORD"},
        )  # fmt: skip
        for text in (TEXT, LONG, "Yes.", "\N{GRINNING FACE}"):
            async with voice.stream(conn_options=ONCE) as stream, asyncio.timeout(WAIT_S):
                stream.push_text(text)
                stream.flush()
                if text is LONG:
                    await anext(aiter(stream))  # and interrupt
                    continue
                stream.end_input()
                audio = b""
                async for event in stream:
                    audio += bytes(event.frame.data)
                    words += event.frame.userdata.get(USERDATA_TIMED_TRANSCRIPT, [])
                words.append(" ")
                seconds.append(len(audio) / 48_000)
        await voice.aclose()
    assert "".join(words).split() == [*TEXT.split(), "Yes."]
    whole, after, wordless = seconds
    assert 0.8 < whole < 6
    assert 0.2 < after < 3
    assert wordless < 0.5


async def test_a_wrong_key_is_refused(server: EmbeddedServer) -> None:
    async with aiohttp.ClientSession() as connections:
        voice = inference.TTS(
            "cartesia/sonic-3",
            base_url=f"{server.http}/v1",
            api_key="wrong",
            api_secret=SECRET,
            http_session=connections,
        )
        async with voice.stream(conn_options=ONCE) as stream:
            stream.push_text(TEXT)
            stream.end_input()
            with pytest.raises(APIStatusError) as refused:
                await anext(aiter(stream))
        await voice.aclose()
    assert refused.value.status_code == 401
