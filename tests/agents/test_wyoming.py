"""Wyoming's reference client, as Home Assistant uses it, on a real server with the embedded voice."""

import pytest

pytest.importorskip(
    "wyoming", reason="the vendors' clients are in an environment of their own: tests/agents/constraints.txt"
)

from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.event import Event, Eventable
from wyoming.info import Describe, Info
from wyoming.tts import Synthesize, SynthesizeChunk, SynthesizeStart, SynthesizeStop, SynthesizeStopped, SynthesizeVoice

from tests.agents import hearing
from tests.agents.embedded_server import EmbeddedServer, command

pytestmark = pytest.mark.skipif(command() is None, reason="the server is not installed: make .venv/ready")


async def read(client: AsyncTcpClient) -> Event:
    event = await client.read_event()
    assert event is not None
    assert event.type != "error", event.data
    return event


async def receive(client: AsyncTcpClient, last: type[Eventable]) -> list[Event]:
    received = [await read(client)]
    while not last.is_type(received[-1].type):
        received.append(await read(client))
    return received


def pcm(events: list[Event]) -> bytes:
    return b"".join(AudioChunk.from_event(each).audio for each in events if AudioChunk.is_type(each.type))


async def test_home_assistant_s_way_through(server: EmbeddedServer) -> None:
    async with AsyncTcpClient("127.0.0.1", server.wyoming_port) as client:
        await client.write_event(Describe().event())
        info = Info.from_event(await read(client))
    (program,) = info.tts
    assert program.installed
    assert program.supports_synthesize_streaming
    voice = SynthesizeVoice(program.voices[-1].name)
    async with AsyncTcpClient("127.0.0.1", server.wyoming_port) as client:
        await client.write_event(Synthesize(hearing.TEXT, voice).event())
        whole = await receive(client, AudioStop)
    start = AudioStart.from_event(whole[0])
    assert (start.rate, start.width, start.channels) == (24_000, 2, 1)
    assert 0.5 < len(pcm(whole)) / 48_000 < 12
    hearing.expect_heard(pcm(whole), start.rate)
    async with AsyncTcpClient("127.0.0.1", server.wyoming_port) as client:
        await client.write_event(SynthesizeStart(voice).event())
        for chunk in ("It costs ", "$5. And ", "more."):
            await client.write_event(SynthesizeChunk(chunk).event())
        begun = await receive(client, AudioChunk)  # before the text has ended
        await client.write_event(Synthesize("It costs $5. And more.", voice).event())
        await client.write_event(SynthesizeStop().event())
        streamed = begun + await receive(client, SynthesizeStopped)
    assert [each.type for each in streamed[-2:]] == ["audio-stop", "synthesize-stopped"]
    assert 0.8 < len(pcm(streamed)) / 48_000 < 8
