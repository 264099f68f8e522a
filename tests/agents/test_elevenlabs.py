"""ElevenLabs' SDK and the plugins of LiveKit and Pipecat, unmodified, on a real server with the embedded voice."""

import base64
from collections.abc import Iterator
from itertools import pairwise

import pytest

pytest.importorskip("elevenlabs", reason="clients are in an environment of their own: tests/agents/constraints.txt")

import httpx
from elevenlabs.client import ElevenLabs
from elevenlabs.core.api_error import ApiError

from tests.agents.embedded_server import KEY, EmbeddedServer, command, embedded_server

BYTES_PER_S = 48_000
TEXT = "Hello. It costs $5."
VOICE = "JBFqnCBsd6RMkjVDRZzb"  # in the vendor's examples
pytestmark = [
    pytest.mark.skipif(command() is None, reason="the server is not installed: make .venv/ready"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the SDK's own calls
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    with embedded_server(tmp_path_factory.mktemp("server")) as running:
        yield running


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
    assert b"".join(client.text_to_speech.convert(VOICE, text="\N{GRINNING FACE}")) == b""
