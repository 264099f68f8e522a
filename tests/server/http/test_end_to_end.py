"""End to end over HTTP with the embedded model: clients receive what the model generates."""

from pathlib import Path

import aiohttp
import numpy as np
import pytest

from sayline_tts.engine.engine import Engine
from sayline_tts.engine.models.model import Model
from tests.server.api_server import api_server
from tests.server.audio.test_formats import decoded, level_db
from tests.server.test_end_to_end import ROUNDING, alone

TEXT = "Hello there. It is a fine day, is it not?"


async def test_all_endpoints_return_the_same_speech(model: Model, tmp_path: Path) -> None:
    async with api_server(Engine(model, 4), tmp_path) as server:
        output = {}
        for path in ("/generate", "/stream"):
            async with server.post(path, text=TEXT, voice="adam", format="pcm", seed=11) as response:
                assert response.status == 200
                output[path] = decoded("pcm", await response.read(), 24_000)[0]
        async with server.post("/stream", text=TEXT, voice="adam", format="mp3", seed=11, speed=1.25) as response:
            fast, rate_hz = decoded("mp3", await response.read(), 24_000)
        body = {"model": "tts-1", "input": TEXT, "voice": "nova", "response_format": "opus"}
        async with server.post("/v1/audio/speech", **body) as response:
            opus, opus_hz = decoded("opus", await response.read(), 48_000)
        async with server.client.post(server.url + "/tts", data={"text": TEXT}) as response:
            wav, _ = decoded("wav", await response.read(), 24_000)
    expected = alone(model, "adam", ["Hello there.", "It is a fine day, is it not?"], 11)
    for sound in output.values():
        assert sound.shape == expected.shape
        assert np.abs(sound - expected).max() < ROUNDING
    assert len(fast) / rate_hz == pytest.approx(len(expected) / 24_000 / 1.25, abs=0.1)
    for sound in (fast, opus, wav):
        assert -45 < level_db(sound) < -10
    assert len(opus) / opus_hz > 1


async def test_recording_sent_with_the_request_is_cloned(model: Model, tmp_path: Path) -> None:
    if not model.checkpoint.can_clone:
        pytest.skip("these weights cannot clone")
    async with api_server(Engine(model, 4), tmp_path) as server:
        async with server.post("/generate", text=TEXT * 2, voice="adam", seed=1) as response:
            recording = await response.read()

        form = aiohttp.FormData({"text": "Hello there."})
        form.add_field("voice_wav", recording, filename="me.wav")
        async with server.client.post(server.url + "/tts", data=form) as response:
            assert response.status == 200, await response.text()
            sound, _ = decoded("wav", await response.read(), 24_000)
    assert -45 < level_db(sound) < -10
