"""Deepgram's SDK, LiveKit's plugin and Pipecat's services, unmodified, on a real server with the embedded voice."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

pytest.importorskip("deepgram", reason="clients are in an environment of their own: tests/agents/constraints.txt")

import aiohttp
import httpx
from deepgram import DeepgramClient, DeepgramClientEnvironment
from deepgram.core.api_error import ApiError
from deepgram.core.events import EventType
from deepgram.speak.v1.types import SpeakV1Text
from deepgram.speak.v2.types import SpeakV2Configure, SpeakV2Interrupt, SpeakV2InterruptPlaybackOffset, SpeakV2Speak
from livekit.plugins import deepgram
from pipecat.frames.frames import InterruptionFrame, TTSAudioRawFrame, TTSStoppedFrame
from pipecat.services.deepgram.flux.tts import DeepgramFluxTTSService
from pipecat.services.deepgram.tts import DeepgramTTSService

from tests.agents import hearing, pipeline
from tests.agents.embedded_server import KEY, EmbeddedServer, command
from tests.agents.pipeline import Clock, Talk, only
from tests.agents.turn import ONCE, WAIT_S, interrupt, speak

TEXT = "Hello. It costs $5."
LONG = "This is a sentence that will be interrupted before it has ended. "
pytestmark = [
    pytest.mark.skipif(command() is None, reason="the server is not installed: make .venv/ready"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the SDK's own calls
]


def seconds(audio: bytes) -> float:
    return len(audio) / 48_000


@contextmanager
def sdk(server: EmbeddedServer, key: str = KEY) -> Iterator[DeepgramClient]:
    environment = DeepgramClientEnvironment(
        base=server.http, production=server.ws, agent=server.ws, agent_rest=server.http
    )
    with httpx.Client(timeout=WAIT_S) as connections:
        yield DeepgramClient(api_key=key, environment=environment, httpx_client=connections)


def test_sdk_speaks_over_http(server: EmbeddedServer) -> None:
    with sdk(server) as client:
        audio = b"".join(
            client.speak.v1.audio.generate(
                text=TEXT, model="aura-2-thalia-en", encoding="linear16", container="none", sample_rate=24_000
            )
        )
    assert 0.8 < seconds(audio) < 6
    with sdk(server, "wrong") as stranger, pytest.raises(ApiError) as refused:
        list(stranger.speak.v1.audio.generate(text=TEXT))
    assert refused.value.status_code == 401
    assert "API key" in (refused.value.headers or {})["dg-error"]


def test_sdk_flushes_and_clears(server: EmbeddedServer) -> None:
    with (
        sdk(server) as client,
        client.speak.v1.connect(model="aura-2-thalia-en", encoding="linear16", sample_rate=24_000) as connection,
    ):
        connection.send_text(SpeakV1Text(text=LONG))
        connection.send_clear()
        kinds = [getattr(connection.recv(), "type", "audio")]
        while kinds[-1] != "Cleared":
            kinds.append(getattr(connection.recv(), "type", "audio"))
        connection.send_text(SpeakV1Text(text=TEXT))
        connection.send_flush()
        audio = b""
        while isinstance(received := connection.recv(), bytes):
            audio += received
        assert received.type == "Flushed"
        connection.send_close()
        closed: list[None] = []
        connection.on(EventType.CLOSE, lambda _: closed.append(None))
        connection.start_listening()
    assert kinds[0] == "Metadata"
    assert closed
    assert 0.8 < seconds(audio) < 6


def test_sdk_is_told_which_text_was_spoken(server: EmbeddedServer) -> None:
    text = "One two three four five six seven eight nine ten. " * 3
    with (
        sdk(server) as client,
        client.speak.v2.connect(model="flux-alexis-en", encoding="linear16", sample_rate=24_000) as connection,
    ):
        assert getattr(connection.recv(), "type", None) == "Connected"
        connection.send_configure(SpeakV2Configure(speed=1.1))
        assert getattr(connection.recv(), "type", None) == "ConfigureSuccess"
        connection.send_speak(SpeakV2Speak(text=text))
        connection.send_flush()
        audio = b""
        while seconds(audio) < 1:
            received = connection.recv()
            audio += received if isinstance(received, bytes) else b""
        offset = SpeakV2InterruptPlaybackOffset(value=1_000)
        connection.send_interrupt(SpeakV2Interrupt(playback_offset=offset))
        while getattr(received := connection.recv(), "type", None) != "SpeechInterrupted":
            assert isinstance(received, bytes)
        assert received.text_spoken + received.text_remaining == text
        assert received.text_spoken.startswith("One")
        connection.send_close()
        assert getattr(connection.recv(), "type", None) == "SessionMetadata"


@pytest.fixture
async def connections() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.mark.parametrize("version", [1, 2])
async def test_livekit_speaks_interrupts_and_goes_on(
    server: EmbeddedServer, connections: aiohttp.ClientSession, version: int
) -> None:
    """The next turn holds only its own audio, and one without words ends."""
    made = deepgram.TTS if version == 1 else deepgram.TTSv2
    voice = made(api_key=KEY, base_url=f"{server.http}/v{version}/speak", http_session=connections)
    first = await speak(voice, hearing.TEXT)
    await interrupt(voice, LONG)
    after = await speak(voice, "Yes.")
    wordless = await speak(voice, "\N{GRINNING FACE}")
    async with voice.synthesize(TEXT, conn_options=ONCE) as whole:
        batch = b"".join([bytes(event.frame.data) async for event in whole])
    await voice.aclose()
    assert 0.2 < after.seconds < 3
    assert wordless.seconds < 0.5
    assert 0.8 < seconds(batch) < 6
    hearing.expect_heard(first.audio, first.rate_hz)


@pytest.mark.parametrize("version", [1, 2])
async def test_pipecat_speaks_interrupts_and_goes_on(
    server: EmbeddedServer, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "WAIT_S", WAIT_S)
    service = (
        DeepgramTTSService(api_key=KEY, base_url=server.ws, sample_rate=24_000)
        if version == 1
        else DeepgramFluxTTSService(api_key=KEY, url=f"{server.ws}/v2/speak", sample_rate=24_000)
    )
    async with Talk(service, Clock()) as talk:
        await talk.begin(*(f"{word} " for word in LONG.split()), LONG)
        await talk.until_kind(TTSAudioRawFrame)
        await talk.give(InterruptionFrame())
        await talk.until_kind(InterruptionFrame)
        before = len(talk.loudspeaker.frames)
        await talk.answer("It ", "costs ", "$5. ", "That ", "is ", "all.")
        await talk.until(lambda frames: bool(only(TTSStoppedFrame, frames[before:])))
        audio = b"".join(frame.audio for frame in only(TTSAudioRawFrame, talk.loudspeaker.frames[before:]))
        assert 0.8 < seconds(audio) < 8
        assert not talk.errors
