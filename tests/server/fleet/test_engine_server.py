"""An engine and peers that are no proper fronts."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import torch

from sayline_tts.engine.models.model import Model
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.utterance import Status
from sayline_tts.engine.segment import Sampling, Segment
from sayline_tts.server.fleet import engine_server as module
from sayline_tts.server.fleet import voice_bytes, wire
from sayline_tts.server.fleet.bodies import Bodies
from sayline_tts.server.fleet.engine_server import EngineServer
from tests.server.fleet.harness import HOST, TestEngine, fake_engines, until

DATA = voice_bytes.to_bytes(Voice(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)))
HASH = voice_bytes.voice_hash(DATA)
VOICE = wire.VoicePart(HASH, 0, len(DATA), DATA)
SEGMENT = Segment("Hi there.", (1, 2), 4, 2)


def voice_of(data: bytes) -> wire.VoicePart:
    return wire.VoicePart(voice_bytes.voice_hash(data), 0, len(data), data)


def start(number: int = 1, state: wire.State | None = None, voice: bytes = HASH) -> wire.Start:
    return wire.Start(number, voice, Sampling(0.0, None, 0.0, 1, 3), 80.0, 60_000.0, False, state)


def state(given: bytes = b"", given_eos: tuple[bool, ...] = (), history: bytes = b"") -> wire.State:
    return wire.State(1, 3, 0, given, list(given_eos), 1, history)


@dataclass
class Front:
    bodies: Bodies
    writer: asyncio.StreamWriter
    ticks: int = 0
    events: list[wire.Event] = field(default_factory=list)

    def send(self, **content: Any) -> None:
        self.ticks += 1
        self.writer.write(wire.encode(wire.FrontTick(self.ticks, **content)))

    async def tick(self) -> wire.EngineTick:
        async with asyncio.timeout(10):
            return wire.decode(await self.bodies.next(), wire.EngineTick)

    async def event(self) -> wire.Event:
        """The next one."""
        while not self.events:
            self.events += (await self.tick()).events
        return self.events.pop(0)

    async def seen(self) -> wire.EngineTick:
        """The engine has taken everything in."""
        while (tick := await self.tick()).seen < self.ticks:
            pass
        return tick

    async def ended(self) -> None:
        """Wait until the engine has closed the connection."""
        with contextlib.suppress(OSError):
            while True:
                await self.tick()


@pytest.fixture
async def engine() -> AsyncIterator[TestEngine]:
    (engine,) = fake_engines(1)
    await engine.start()
    yield engine
    await engine.stop()


@asynccontextmanager
async def connected(engine: TestEngine, version: int = wire.VERSION) -> AsyncIterator[Front]:
    reader, writer = await asyncio.open_connection(HOST, engine.port)
    bodies = Bodies(reader)
    hello = wire.decode(await bodies.next(), wire.Hello)
    writer.write(wire.encode(wire.Join(version, b"n", wire.proof("", "front", hello.nonce + b"n"))))
    if version == wire.VERSION:
        welcome = wire.decode(await bodies.next(), wire.Welcome)
        assert welcome.proof == wire.proof("", "engine", b"n" + hello.nonce)
    try:
        yield Front(bodies, writer)
    finally:
        writer.transport.abort()


BREACHES: list[tuple[str, dict[str, Any]]] = [
    ("a voice that was not sent", {"starts": [start(voice=b"unknown")]}),
    ("a part of a voice that does not fit", {"voices": [wire.VoicePart(b"h", 5, 9, b"abc")]}),
    ("a part of a voice that does not fit", {"voices": [wire.VoicePart(b"h", 0, 2**40, b"abc")]}),
    ("not what its hash says", {"voices": [wire.VoicePart(b"h", 0, 3, b"abc")]}),
    ("does not fit this model", {"voices": [voice_of(b"abc")]}),
    ("does not fit this model", {"voices": [voice_of(DATA + DATA[-4:])]}),
    ("not finite", {"voices": [voice_of(DATA[:-4] + b"\x00\x00\xc0\x7f")]}),
    ("utterance 1 exists", {"voices": [VOICE], "starts": [start(), start()]}),
    ("a change of a text", {"voices": [VOICE], "starts": [start()], "parts": [wire.Part(1, -1, SEGMENT)]}),
    ("a pause of no length", {"voices": [VOICE], "starts": [start()], "parts": [wire.Part(1, 0, None)]}),
    ("a state that does not fit", {"voices": [VOICE], "starts": [start(state=state(given=b"abc"))]}),
    ("a state that does not fit", {"voices": [VOICE], "starts": [start(state=state(given=b"abcd"))]}),
]


@pytest.mark.parametrize(("message", "content"), BREACHES, ids=[message for message, _ in BREACHES])
async def test_breach_of_the_protocol_ends_that_connection_only(
    engine: TestEngine, message: str, content: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(engine) as bad, connected(engine) as good:
        bad.send(**content)
        await bad.ended()
        assert message in caplog.text
        assert engine.utterances == 0
        good.send(voices=[VOICE], starts=[start()], parts=[wire.Part(1, 0, SEGMENT)], ends=[1])
        assert isinstance(await good.event(), wire.Admitted | wire.Frame)


async def test_what_is_said_of_unknown_utterances_is_ignored(engine: TestEngine) -> None:
    async with connected(engine) as front:
        front.send(
            dropped_voices=[b"unknown"], parts=[wire.Part(7, 0, SEGMENT)], positions=[wire.Position(7, 80.0, 0.0)],
            ends=[7], cancels=[7],
        )  # fmt: skip
        tick = await front.seen()
        assert not tick.events


async def test_voice_comes_in_parts(engine: TestEngine) -> None:
    async with connected(engine) as front:
        for at in range(0, len(DATA), 10):
            front.send(voices=[wire.VoicePart(HASH, at, len(DATA), DATA[at : at + 10])])
        front.send(starts=[start()], parts=[wire.Part(1, 0, SEGMENT)], ends=[1])
        while not isinstance(event := await front.event(), wire.Ended):
            pass
        assert event.finished


async def test_engine_that_stops_takes_nothing_new(engine: TestEngine) -> None:
    async with connected(engine) as front:
        front.send(voices=[VOICE], starts=[start()])
        await front.seen()
        draining = asyncio.create_task(engine.server.drain())
        while not (await front.tick()).load.draining:
            pass
        front.send(starts=[start(2)])
        assert await front.event() == wire.Ended(2, False, rejected=True)
        assert not draining.done()
        front.send(cancels=[1])
        await asyncio.wait_for(draining, 10)


async def test_front_of_another_version_is_refused(engine: TestEngine, caplog: pytest.LogCaptureFixture) -> None:
    async with connected(engine, version=9) as front:
        await front.ended()
    assert "it speaks version 9 of the protocol" in caplog.text


async def test_fronts_are_limited_in_number(
    engine: TestEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(engine):
        monkeypatch.setattr(module, "MAX_CONNECTIONS", 1)
        reader, writer = await asyncio.open_connection(HOST, engine.port)
        assert await reader.read() == b""
        writer.close()
    assert "1 fronts are connected" in caplog.text


async def test_silent_front_is_left(
    engine: TestEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(module, "FRONT_SILENCE_S", 0.05)
    async with connected(engine) as front:
        await front.ended()
    assert "it is silent" in caplog.text


async def test_front_that_does_not_read_is_left(
    engine: TestEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(engine) as front:
        await front.tick()
        monkeypatch.setattr(module, "MAX_UNSENT_BYTES", -1)
        await front.ended()
    assert "a front does not read" in caplog.text


async def test_fault_of_the_engine_ends_that_connection_only(
    engine: TestEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(engine) as bad, connected(engine) as good:
        monkeypatch.setattr(voice_bytes, "from_bytes", lambda *_: 1 / 0)
        bad.send(voices=[VOICE])
        await bad.ended()
        assert "ZeroDivisionError" in caplog.text
        good.send(cancels=[1])
        await good.seen()


async def test_engine_describes_itself_and_may_stop_before_it_has_begun(engine: TestEngine) -> None:
    assert engine.server.describe() == f"fake, float32 cpu fake, about {engine.loop.capacity} listeners at once"
    await EngineServer(engine.loop, cast(Model, engine.engine.model)).stop()
    await until(lambda: engine.loop.alive)


async def test_utterance_that_waits_on_the_engine_is_told_when_it_is_admitted() -> None:
    (engine,) = fake_engines(1, capacity=1)
    await engine.start()
    async with connected(engine) as front:
        front.send(voices=[VOICE], starts=[start(1), start(2)], parts=[wire.Part(2, 0, SEGMENT)])
        await front.seen()
        assert engine.loop.waiting == 1
        front.send(cancels=[1], ends=[2])
        while not isinstance(event := await front.event(), wire.Admitted):
            pass
        assert event.id == 2
    await engine.stop()


async def test_utterance_ends_once(engine: TestEngine) -> None:
    async with connected(engine) as front:
        front.send(voices=[VOICE], starts=[start()])
        await front.seen()
        [connection] = engine.server._connections
        [stream] = connection.streams.values()
        for _ in "12":
            stream.finish(Status.FAILED)
        stream.close()
        assert await front.event() == wire.Ended(1, False)
        front.send()
        await front.seen()
        assert front.events == []
