"""Gradium's SDK, LiveKit's plugin and Pipecat's service, unmodified, on a real server with the embedded voice."""

import asyncio
from itertools import pairwise

import pytest

pytest.importorskip("gradium", reason="clients are in an environment of their own: tests/agents/constraints.txt")

import aiohttp
import gradium
from gradium.speech import TTSSetup
from livekit.agents import APIError
from livekit.plugins import gradium as livekit_gradium
from pipecat.frames.frames import TTSAudioRawFrame, TTSStoppedFrame, TTSTextFrame
from pipecat.services.gradium.tts import GradiumTTSService

from tests.agents import hearing, pipeline
from tests.agents.embedded_server import KEY, EmbeddedServer, command
from tests.agents.pipeline import Clock, Talk, only
from tests.agents.turn import WAIT_S, interrupt, speak

TEXT = "Hello. It costs $5."
LONG = "This is a sentence that will be interrupted before it has ended. "
pytestmark = [
    pytest.mark.skipif(command() is None, reason="the server is not installed: make .venv/ready"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def client(server: EmbeddedServer, key: str = KEY) -> gradium.GradiumClient:
    return gradium.GradiumClient(api_key=key, base_url=f"{server.http}/api/")


async def test_sdk_gets_audio_that_is_heard_and_words(server: EmbeddedServer) -> None:
    setup = TTSSetup(voice_id="YTpq7expH9539ERJ", output_format="pcm")
    async with asyncio.timeout(WAIT_S):
        whole = await client(server).tts(setup, hearing.TEXT)
        words = await client(server).tts(setup, TEXT.split())
    assert whole.sample_rate == 48_000
    assert " ".join(each.text for each in whole.text_with_timestamps) == hearing.TEXT
    starts = [each.start_s for each in whole.text_with_timestamps]
    assert all(a <= b for a, b in pairwise(starts))
    assert starts[-1] < len(whole.raw_data) / 96_000 < 12
    assert [each.text for each in words.text_with_timestamps] == TEXT.split()
    hearing.expect_heard(whole.raw_data, 48_000)


async def test_sdk_streams_other_formats(server: EmbeddedServer) -> None:
    for name, head in (("wav", b"RIFF"), ("opus", b"OggS"), ("ulaw_8000", b"")):
        stream = await client(server).tts_stream(TTSSetup(voice="default", output_format=name), TEXT)
        audio = b"".join([data async for data in stream.iter_bytes()])
        assert audio.startswith(head)
        assert len(audio) > 4_000


async def test_sdk_is_told_of_a_wrong_key(server: EmbeddedServer) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await client(server, "wrong").tts(TTSSetup(voice="default"), TEXT)
    assert refused.value.status == 401


async def test_livekit_speaks_interrupts_and_goes_on(server: EmbeddedServer) -> None:
    async with aiohttp.ClientSession() as connections:
        endpoint = f"{server.ws}/api/speech/tts"
        voice = livekit_gradium.TTS(api_key=KEY, model_endpoint=endpoint, http_session=connections)
        first = await speak(voice, TEXT)
        await interrupt(voice, LONG)
        after = await speak(voice, "Yes.")
        wordless = await speak(voice, "...")
        stranger = livekit_gradium.TTS(api_key="wrong", model_endpoint=endpoint, http_session=connections)
        with pytest.raises(APIError, match="401"):
            await speak(stranger, TEXT)
    assert first.rate_hz == 48_000
    assert 0.8 < first.seconds < 6
    assert 0.2 < after.seconds < 3
    assert wordless.seconds < 0.5


async def test_pipecat_gets_audio_and_words(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "WAIT_S", WAIT_S)
    settings = GradiumTTSService.Settings(voice="clara")
    service = GradiumTTSService(api_key=KEY, url=f"{server.ws}/api/speech/tts", settings=settings)
    async with Talk(service, Clock()) as talk:
        await talk.answer("It costs $5. ", "That is all.")
        await talk.until_kind(TTSStoppedFrame)
        words = [frame.text for frame in only(TTSTextFrame, talk.loudspeaker.frames)]
        audio = b"".join(frame.audio for frame in only(TTSAudioRawFrame, talk.loudspeaker.frames))
        assert not talk.errors
    assert " ".join(words).split() == ["It", "costs", "$5.", "That", "is", "all."]
    assert 0.8 < len(audio) / 96_000 < 8
