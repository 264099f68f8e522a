"""Vapi's custom voice on a server with a fake model."""

import aiohttp
import pytest

from tests.server.fakes import FRAMES_PER_WORD, FakeEngine

CALLER_NUMBER = "+15550123"


@pytest.mark.parametrize("rate_hz", [8_000, 24_000])
async def test_text_is_spoken_at_the_rate_asked_for_and_the_call_is_not_logged(
    engine: FakeEngine, address: str, rate_hz: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    message = {
        "type": "voice-request",
        "text": "Hello there.",
        "sampleRate": rate_hz,
        "call": {"id": "c"},
        "customer": {"number": CALLER_NUMBER},
        "assistant": {"voice": {"voiceId": "bob"}},
    }
    async with aiohttp.ClientSession(f"http://{address}") as client:
        async with client.post("/vapi/speech", json={"message": message}) as response:
            assert response.status == 200
            assert len(await response.read()) == 2 * FRAMES_PER_WORD * 0.08 * rate_hz * 2
        async with client.post("/vapi/speech?voice=ann", json={"message": {**message, "assistant": {}}}) as response:
            assert response.status == 200
        async with client.post("/vapi/speech", json={"message": {**message, "type": "status-update"}}) as response:
            assert response.status == 400
    assert vars(engine.model)["loaded"] == ["bob", "ann"]
    assert CALLER_NUMBER not in caplog.text
