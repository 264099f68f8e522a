"""HTTP with the embedded voice: what a client hears is what the model says."""

from pathlib import Path

import aiohttp
import numpy as np
import pytest

from sayline_tts.engine.engine import Engine
from sayline_tts.engine.models.model import Model
from tests.server.audio.test_formats import decoded, level_db
from tests.server.doors import doors
from tests.server.http.test_speech import ROUNDING, alone

TEXT = "Hello there. It is a fine day, is it not?"


async def test_all_doors_say_the_same(model: Model, tmp_path: Path) -> None:
    async with doors(Engine(model, 4), tmp_path) as there:
        heard = {}
        for path in ("/generate", "/stream"):
            async with there.post(path, text=TEXT, voice="angus", format="pcm", seed=11) as response:
                assert response.status == 200
                heard[path] = decoded("pcm", await response.read(), 24_000)[0]
        async with there.post("/stream", text=TEXT, voice="angus", format="mp3", seed=11, speed=1.25) as response:
            fast, rate_hz = decoded("mp3", await response.read(), 24_000)
        body = {"model": "tts-1", "input": TEXT, "voice": "nova", "response_format": "opus"}
        async with there.post("/v1/audio/speech", **body) as response:
            opus, opus_hz = decoded("opus", await response.read(), 48_000)
        async with there.client.post(there.url + "/tts", data={"text": TEXT}) as response:
            wav, _ = decoded("wav", await response.read(), 24_000)
    expected = alone(model, "angus", ["Hello there.", "It is a fine day, is it not?"], 11)
    for sound in heard.values():
        assert sound.shape == expected.shape
        assert np.abs(sound - expected).max() < ROUNDING
    assert len(fast) / rate_hz == pytest.approx(len(expected) / 24_000 / 1.25, abs=0.1)
    for sound in (fast, opus, wav):
        assert -45 < level_db(sound) < -10
    assert len(opus) / opus_hz > 1


async def test_a_voice_that_comes_along_speaks(model: Model, tmp_path: Path) -> None:
    if not model.checkpoint.can_clone:
        pytest.skip("these weights cannot clone")
    async with doors(Engine(model, 4), tmp_path) as there:
        async with there.post("/generate", text=TEXT * 2, voice="angus", seed=1) as response:
            recording = await response.read()

        form = aiohttp.FormData({"text": "Hello there."})
        form.add_field("voice_wav", recording, filename="me.wav")
        async with there.client.post(there.url + "/tts", data=form) as response:
            assert response.status == 200, await response.text()
            sound, _ = decoded("wav", await response.read(), 24_000)
    assert -45 < level_db(sound) < -10
