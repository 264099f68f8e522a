"""ElevenLabs' SDK and the plugins of LiveKit and Pipecat, unmodified, on a real server with the embedded voice."""

import asyncio
import base64
from collections.abc import Iterator
from itertools import pairwise

import pytest

pytest.importorskip("elevenlabs", reason="clients are in an environment of their own: tests/agents/constraints.txt")

import aiohttp
import httpx
import sayline
from elevenlabs.client import ElevenLabs
from elevenlabs.core.api_error import ApiError
from pipecat.frames.frames import TTSAudioRawFrame, TTSStoppedFrame, TTSTextFrame

from tests.agents import hearing
from tests.agents.embedded_server import KEY, EmbeddedServer, command
from tests.agents.pipeline import Clock, Talk, only
from tests.agents.turn import interrupt, speak

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
    whole = b"".join(client.text_to_speech.convert(VOICE, text=hearing.TEXT, output_format="pcm_24000", seed=1))
    streamed = b"".join(client.text_to_speech.stream(VOICE, text=hearing.TEXT, output_format="pcm_24000", seed=1))
    assert whole == streamed
    assert 0.8 < seconds(whole) < 12
    hearing.expect_heard(whole, 24_000)


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


async def test_times_are_those_of_the_native_protocol(client: ElevenLabs, server: EmbeddedServer) -> None:
    """The same text and seed are the same speech."""
    chunks = await asyncio.to_thread(
        lambda: list(client.text_to_speech.stream_with_timestamps("clara", text=hearing.TEXT, seed=1))
    )
    alignments = [each.alignment for each in chunks if each.alignment]
    chars = [char for each in alignments for char in each.characters]
    starts = [start_s for each in alignments for start_s in each.character_start_times_seconds]
    first_chars = [n for n, char in enumerate(chars) if n == 0 or (chars[n - 1] == " " and char != " ")]
    async with sayline.connect(server.ws, api_key=KEY) as native, native.context("clara", seed=1) as speech:
        speech.feed(hearing.TEXT)
        words = [event async for event in speech if isinstance(event, sayline.Word)]
    assert [word.text for word in words] == hearing.TEXT.split()
    assert len(first_chars) == len(words)
    differences = [abs(1000 * starts[n] - word.start_ms) for n, word in zip(first_chars, words, strict=True)]
    assert max(differences) < 80


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


@pytest.mark.parametrize("model", ["eleven_turbo_v2_5", "eleven_v4_turbo"])
async def test_livekit_gets_audio_and_words_of_a_turn(server: EmbeddedServer, model: str) -> None:
    """The newer model is spoken to over the sockets of text to dialogue."""
    livekit = pytest.importorskip("livekit.plugins.elevenlabs")
    async with aiohttp.ClientSession() as connections:
        voice = livekit.TTS(
            api_key=KEY, base_url=f"{server.http}/v1", encoding="pcm_24000", voice_id=VOICE, http_session=connections,
            model=model,
        )  # fmt: skip
        turn = await speak(voice, "Hello. ", "It costs ", "$5.")
        await interrupt(voice, LONG)
        after = await speak(voice, "Yes.")
        await voice.aclose()
    assert 0.2 < after.seconds < 3
    assert turn.text.split() == TEXT.split()
    assert turn.starts_s == sorted(turn.starts_s)
    assert 0.8 < turn.seconds < 6
    assert turn.starts_s[-1] < turn.seconds


async def test_livekit_interrupts_and_goes_on(server: EmbeddedServer) -> None:
    """The socket stays usable, and the next turn holds only its own audio."""
    livekit = pytest.importorskip("livekit.plugins.elevenlabs")
    async with aiohttp.ClientSession() as connections:
        voice = livekit.TTS(
            api_key=KEY, base_url=f"{server.http}/v1", encoding="pcm_24000", voice_id=VOICE, http_session=connections
        )
        first = await speak(voice, "Yes.")
        await interrupt(voice, LONG)
        await interrupt(voice, LONG)
        after = await speak(voice, "Yes.")
        await voice.aclose()
    assert 0.2 < first.seconds < 3
    assert 0.2 < after.seconds < 3


async def test_livekit_s_turn_without_words_ends(server: EmbeddedServer) -> None:
    livekit = pytest.importorskip("livekit.plugins.elevenlabs")
    async with aiohttp.ClientSession() as connections:
        voice = livekit.TTS(
            api_key=KEY, base_url=f"{server.http}/v1", encoding="pcm_24000", voice_id=VOICE, http_session=connections
        )
        turn = await speak(voice, "\N{GRINNING FACE}")
        assert turn.audio
        assert not any(turn.audio)
        await voice.aclose()


@pytest.mark.parametrize(
    ("module", "name"), [("tts", "ElevenLabsTTSService"), ("dialogue.tts", "ElevenLabsDialogueTTSService")]
)
async def test_pipecat_gets_audio_and_words(server: EmbeddedServer, module: str, name: str) -> None:
    kind = getattr(pytest.importorskip(f"pipecat.services.elevenlabs.{module}"), name)
    service = kind(api_key=KEY, url=server.ws, sample_rate=24_000, settings=kind.Settings(voice=VOICE))
    async with Talk(service, Clock()) as talk:
        await talk.answer("It costs $5. ", "That is all.")
        await talk.until_kind(TTSStoppedFrame)
        words = [frame.text for frame in only(TTSTextFrame, talk.loudspeaker.frames)]
        assert " ".join(words).split() == ["It", "costs", "$5.", "That", "is", "all."]
        audio = b"".join(frame.audio for frame in only(TTSAudioRawFrame, talk.loudspeaker.frames))
        assert 0.8 < seconds(audio) < 8
