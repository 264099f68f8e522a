"""Kokoro-FastAPI's captions, on a server with a fake model."""

import base64
import json

import aiohttp

from tests.server.fakes import FRAMES_PER_WORD

PATH = "/dev/captioned_speech"
REQUEST = {"model": "kokoro", "voice": "ann", "input": "It is $5.", "response_format": "pcm"}


async def test_words_come_with_the_audio(address: str) -> None:
    async with aiohttp.ClientSession(f"http://{address}") as client:
        async with client.post(PATH, json=REQUEST) as response:
            lines = [json.loads(line) for line in (await response.text()).splitlines()]
        async with client.post(PATH, json={**REQUEST, "stream": False}) as response:
            whole = await response.json()
        async with client.post(PATH, json={**REQUEST, "stream": False, "return_timestamps": False}) as response:
            assert (await response.json())["timestamps"] is None
    audio = b"".join(base64.b64decode(each["audio"]) for each in lines)
    assert len(audio) == len(base64.b64decode(whole["audio"])) == 4 * FRAMES_PER_WORD * 3_840
    assert {each["audio_format"] for each in (*lines, whole)} == {"audio/pcm"}
    words = [each for line in lines for each in line["timestamps"]]
    assert words == whole["timestamps"]
    assert [each["word"] for each in words] == ["It", "is", "$5."]
    assert all(each["start_time"] < each["end_time"] for each in words)


async def test_errors_are_kokoro_s(address: str) -> None:
    async with aiohttp.ClientSession(f"http://{address}") as client:
        for more, code in (({"voice": "af_heart"}, "unknown_voice"), ({"response_format": "xyz"}, "bad_format")):
            async with client.post(PATH, json={**REQUEST, **more}) as response:
                assert response.status == 400
                assert (await response.json())["detail"]["error"] == code
