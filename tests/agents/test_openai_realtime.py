"""OpenAI's Realtime client, unmodified, on a real server with the embedded voice."""

import base64

import pytest

pytest.importorskip("openai", reason="clients are in an environment of their own: tests/agents/constraints.txt")

from openai import AsyncOpenAI

from tests.agents import hearing
from tests.agents.embedded_server import KEY, EmbeddedServer, command

TEXT = hearing.TEXT
pytestmark = pytest.mark.skipif(command() is None, reason="the server is not installed: make .venv/ready")


async def test_client_speaks_cancels_and_goes_on(server: EmbeddedServer) -> None:
    client = AsyncOpenAI(api_key=KEY, base_url=f"{server.http}/v1", websocket_base_url=f"{server.ws}/v1")
    seconds, statuses, transcripts = [], [], []
    async with client.realtime.connect(model="gpt-realtime") as connection:
        output = {"format": {"type": "audio/pcm", "rate": 24_000}, "voice": "alloy"}
        await connection.session.update(
            session={"type": "realtime", "output_modalities": ["audio"], "audio": {"output": output}}  # type: ignore[typeddict-item]
        )
        for text in (TEXT, TEXT * 10, "Yes."):
            content = [{"type": "input_text", "text": text}]
            item = {"type": "message", "role": "user", "content": content}
            await connection.response.create(response={"conversation": "none", "input": [item]})  # type: ignore[arg-type]
            audio = b""
            async for event in connection:
                assert event.type != "error"
                if event.type == "response.output_audio.delta":
                    if len(text) > len(TEXT) and not audio:
                        await connection.response.cancel()
                    audio += base64.b64decode(event.delta)
                elif event.type == "response.output_audio_transcript.done":
                    transcripts.append(event.transcript)
                elif event.type == "response.done":
                    statuses.append(event.response.status)
                    break
            if text is TEXT:
                hearing.expect_heard(audio, 24_000)
            seconds.append(len(audio) / 48_000)
    await client.close()
    assert statuses == ["completed", "cancelled", "completed"]
    assert transcripts[0] == TEXT
    assert 0.8 < seconds[0] < 12
    assert 0.2 < seconds[2] < 3
