"""ElevenLabs' SDK and the plugins of LiveKit and Pipecat, unmodified, on a real server with the embedded voice."""

import asyncio
import base64
from collections.abc import Iterator
from itertools import pairwise

import pytest

pytest.importorskip("elevenlabs", reason="clients are in an environment of their own: tests/agents/constraints.txt")

import aiohttp
import httpx
from elevenlabs.client import ElevenLabs
from elevenlabs.core.api_error import ApiError
from livekit.agents import APIConnectOptions
from livekit.agents.types import USERDATA_TIMED_TRANSCRIPT, TimedString
from pipecat.frames.frames import TTSAudioRawFrame, TTSStoppedFrame, TTSTextFrame

from tests.agents.embedded_server import KEY, EmbeddedServer, command
from tests.agents.pipeline import Clock, Talk, only

ONCE = APIConnectOptions(max_retry=0)
WAIT_S = 60
LONG = "This is a sentence that will be interrupted before it has ended. "
BYTES_PER_S = 48_000
TEXT = "Hello. It costs $5."
VOICE = "JBFqnCBsd6RMkjVDRZzb"  # in the vendor's examples
pytestmark = [
    pytest.mark.skipif(command() is None, reason="the server is not installed: make .venv/ready"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the SDK's own calls
]


@pytest.fixture(scope="module")
def client(server: EmbeddedServer) -> Iterator[ElevenLabs]:
    with httpx.Client(timeout=60) as connections:
        made = ElevenLabs(api_key=KEY, base_url=server.http, httpx_client=connections)
        made.text_to_speech._ws_base_url = server.http  # the SDK would use TLS
        yield made


def seconds(audio: bytes) -> float:
    return len(audio) / BYTES_PER_S


def test_sdk_converts_and_streams(client: ElevenLabs) -> None:
    whole = b"".join(client.text_to_speech.convert(VOICE, text=TEXT, output_format="pcm_24000", seed=1))
    streamed = b"".join(client.text_to_speech.stream(VOICE, text=TEXT, output_format="pcm_24000", seed=1))
    assert whole == streamed
    assert 0.8 < seconds(whole) < 6


def test_sdk_gets_times_of_characters(client: ElevenLabs) -> None:
    whole = client.text_to_speech.convert_with_timestamps(VOICE, text=TEXT, output_format="pcm_24000")
    assert whole.alignment is not None
    assert "".join(whole.alignment.characters).strip() == TEXT
    duration_s = seconds(base64.b64decode(whole.audio_base_64))
    starts = whole.alignment.character_start_times_seconds
    assert all(a <= b for a, b in pairwise(starts))
    assert duration_s / 2 < starts[-1] < duration_s
    chunks = list(client.text_to_speech.stream_with_timestamps(VOICE, text=TEXT, output_format="pcm_24000"))
    assert "".join(char for each in chunks if each.alignment for char in each.alignment.characters).strip() == TEXT


def test_sdk_streams_text_over_a_socket(client: ElevenLabs) -> None:
    words = iter([f"{word} " for word in TEXT.split()])
    audio = b"".join(
        client.text_to_speech.convert_realtime(
            VOICE, text=words, model_id="eleven_flash_v2_5", output_format="pcm_24000"
        )
    )
    assert 0.8 < seconds(audio) < 6


def test_sdk_lists_voices_and_models(client: ElevenLabs) -> None:
    voices = client.voices.get_all().voices
    assert voices
    assert client.voices.search().voices[0].voice_id == voices[0].voice_id
    assert client.voices.get(voices[0].voice_id).name == voices[0].name
    assert [each.model_id for each in client.models.list()] == ["embedded"]


def test_sdk_is_told_of_a_wrong_key(server: EmbeddedServer) -> None:
    with httpx.Client() as connections:
        stranger = ElevenLabs(api_key="wrong", base_url=server.http, httpx_client=connections)
        with pytest.raises(ApiError) as refused:
            list(stranger.text_to_speech.convert(VOICE, text="Hello."))
    assert refused.value.status_code == 401
    assert refused.value.body["detail"]["status"] == "invalid_api_key"


def test_sdk_gets_silence_for_a_text_without_words(client: ElevenLabs) -> None:
    silence = client.text_to_speech.convert(VOICE, text="\N{GRINNING FACE}", output_format="pcm_24000")
    assert seconds(b"".join(silence)) == 0.08


async def test_livekit_gets_audio_and_words_of_a_turn(server: EmbeddedServer) -> None:
    livekit = pytest.importorskip("livekit.plugins.elevenlabs")
    words: list[TimedString] = []
    audio = b""
    async with aiohttp.ClientSession() as connections:
        voice = livekit.TTS(
            api_key=KEY, base_url=f"{server.http}/v1", encoding="pcm_24000", voice_id=VOICE, http_session=connections
        )
        async with voice.stream(conn_options=ONCE) as stream:
            for piece in ("Hello. ", "It costs ", "$5."):
                stream.push_text(piece)
            stream.end_input()
            async for event in stream:
                audio += bytes(event.frame.data)
                words += event.frame.userdata.get(USERDATA_TIMED_TRANSCRIPT, [])
        await voice.aclose()
    assert "".join(words).split() == TEXT.split()
    starts = [float(str(word.start_time)) for word in words]
    assert starts == sorted(starts)
    assert 0.8 < seconds(audio) < 6
    assert starts[-1] < seconds(audio)


async def test_livekit_interrupts_and_goes_on(server: EmbeddedServer) -> None:
    """The socket stays usable, and the next turn holds only its own audio."""
    livekit = pytest.importorskip("livekit.plugins.elevenlabs")
    async with aiohttp.ClientSession() as connections:
        voice = livekit.TTS(
            api_key=KEY, base_url=f"{server.http}/v1", encoding="pcm_24000", voice_id=VOICE, http_session=connections
        )
        turns = []
        for text in ("Yes.", LONG, LONG, "Yes."):
            async with voice.stream(conn_options=ONCE) as stream, asyncio.timeout(WAIT_S):
                stream.push_text(text)
                stream.flush()
                if text is LONG:
                    await anext(aiter(stream))  # and interrupt
                    continue
                stream.end_input()
                turns.append(b"".join([bytes(event.frame.data) async for event in stream]))
        await voice.aclose()
    assert all(0.2 < seconds(audio) < 3 for audio in turns)


async def test_livekit_s_turn_without_words_ends(server: EmbeddedServer) -> None:
    livekit = pytest.importorskip("livekit.plugins.elevenlabs")
    async with aiohttp.ClientSession() as connections:
        voice = livekit.TTS(
            api_key=KEY, base_url=f"{server.http}/v1", encoding="pcm_24000", voice_id=VOICE, http_session=connections
        )
        async with voice.stream(conn_options=ONCE) as stream:
            stream.push_text("\N{GRINNING FACE}")
            stream.end_input()
            audio = b"".join([bytes(event.frame.data) async for event in stream])
            assert audio
            assert not any(audio)
        await voice.aclose()


async def test_pipecat_gets_audio_and_words(server: EmbeddedServer) -> None:
    services = pytest.importorskip("pipecat.services.elevenlabs.tts")
    clock = Clock()
    service = services.ElevenLabsTTSService(
        api_key=KEY, url=server.ws, sample_rate=24_000, settings=services.ElevenLabsTTSService.Settings(voice=VOICE)
    )
    async with Talk(service, clock) as talk:
        await talk.answer("It costs $5. ", "That is all.")
        await talk.until_kind(TTSStoppedFrame)
        words = [frame.text for frame in only(TTSTextFrame, talk.loudspeaker.frames)]
        assert " ".join(words).split() == ["It", "costs", "$5.", "That", "is", "all."]
        audio = b"".join(frame.audio for frame in only(TTSAudioRawFrame, talk.loudspeaker.frames))
        assert 0.8 < seconds(audio) < 8
