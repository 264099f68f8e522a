"""LiveKit's own `inference.TTS`, unmodified, on a real server with the embedded voice."""

import pytest

pytest.importorskip("livekit.agents", reason="clients are in an environment of their own: tests/agents/constraints.txt")

import aiohttp
from livekit.agents import APIStatusError, inference

from tests.agents import hearing
from tests.agents.embedded_server import KEY, EmbeddedServer, command
from tests.agents.turn import interrupt, speak

SECRET = "of any value: the server takes the key only"
TEXT = hearing.TEXT
LONG = "This is a sentence that will be interrupted before it has ended. "
pytestmark = pytest.mark.skipif(command() is None, reason="the server is not installed: make .venv/ready")


@pytest.mark.parametrize("model", ["cartesia/sonic-3", "inworld/inworld-tts-1"])
async def test_turns_have_audio_and_words_and_can_be_interrupted(server: EmbeddedServer, model: str) -> None:
    async with aiohttp.ClientSession() as connections:
        voice = inference.TTS(
            model, base_url=f"{server.http}/v1", api_key=KEY, api_secret=SECRET, http_session=connections,
            extra_kwargs={"add_timestamps": True, "timestamp_type": "WORD"},
        )  # fmt: skip
        whole = await speak(voice, TEXT)
        await interrupt(voice, LONG)
        after = await speak(voice, "Yes.")
        wordless = await speak(voice, "\N{GRINNING FACE}")
        await voice.aclose()
    assert [whole.text.split(), after.text.split(), wordless.text] == [TEXT.split(), ["Yes."], ""]
    assert whole.starts_s == sorted(whole.starts_s)
    assert whole.starts_s[-1] < whole.seconds < 12
    assert 0.2 < after.seconds < 3
    assert wordless.seconds < 0.5
    hearing.expect_heard(whole.audio, whole.rate_hz)


async def test_a_wrong_key_is_refused(server: EmbeddedServer) -> None:
    async with aiohttp.ClientSession() as connections:
        voice = inference.TTS(
            "cartesia/sonic-3",
            base_url=f"{server.http}/v1",
            api_key="wrong",
            api_secret=SECRET,
            http_session=connections,
        )
        with pytest.raises(APIStatusError) as refused:
            await speak(voice, TEXT)
        await voice.aclose()
    assert refused.value.status_code == 401
