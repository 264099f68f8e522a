"""A front and peers that are no proper engines, and what it does with voices."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from sayline_tts.engine.scheduling.utterance import Status
from sayline_tts.server.fleet import engine_link as module
from sayline_tts.server.fleet import fleet as fleet_module
from sayline_tts.server.fleet import wire
from sayline_tts.server.fleet.bodies import Bodies
from sayline_tts.server.fleet.engine_link import Address
from sayline_tts.server.fleet.fleet import Fleet, FleetOptions
from sayline_tts.server.synthesis.repeat_cache import RepeatCache, RepeatKey
from sayline_tts.server.synthesis.text_options import TextOptions
from tests.server.fakes import FakeEngine
from tests.server.fleet.harness import HOST, Ear, fake_engines, fleet_of, make, until

Script = Callable[[Bodies, asyncio.StreamWriter], Awaitable[None]]


def hello(version: int = wire.VERSION) -> wire.Hello:
    return wire.Hello(version, "fake", "ab" * 32, "cpu", True, b"n")


@asynccontextmanager
async def front_of(script: Script) -> AsyncIterator[Fleet]:
    """A front of one engine, which does as the script says with each connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await script(Bodies(reader), writer)
        writer.transport.abort()

    server = await asyncio.start_server(serve, HOST, 0)
    fleet = Fleet(FakeEngine().model, FleetOptions([(HOST, server.sockets[0].getsockname()[1])]))
    fleet.start()
    yield fleet
    await fleet.stop()
    server.close()


async def old_version(_: Bodies, writer: asyncio.StreamWriter) -> None:
    writer.write(wire.encode(hello(version=0)))
    await writer.drain()


async def wrong_proof(bodies: Bodies, writer: asyncio.StreamWriter) -> None:
    writer.write(wire.encode(hello()))
    await bodies.next()
    writer.write(wire.encode(wire.Welcome(b"guessed")))
    await writer.drain()


async def silence(bodies: Bodies, _: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        await bodies.next()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (old_version, "it speaks version 0 of the protocol, this front"),
        (wrong_proof, "it does not know the secret of --engine-secret"),
        (silence, "it does not answer"),
    ],
    ids=["version", "secret", "silence"],
)
async def test_engine_that_is_none_is_refused(
    script: Script, reason: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(module, "HANDSHAKE_S", 0.2)
    async with front_of(script) as fleet:
        await until(lambda: reason in caplog.text)
        assert not fleet.engines
        assert fleet.obstacle == "no engine is connected"


async def test_engine_that_says_what_cannot_be_is_left(caplog: pytest.LogCaptureFixture) -> None:
    """The utterance goes on elsewhere."""
    (engine,) = fake_engines(1)
    async with fleet_of(engine) as fleet:
        ear, utterance = Ear(), await make(fleet, "Hello there.", end=False)
        fleet.submit(utterance, ear)
        await until(lambda: engine.utterances)
        [connection] = engine.server._connections
        connection._post(wire.Frame(1, 99, False, b"", b"", b"", 0, 0, 0))
        await until(lambda: "a frame of a text that was not sent" in caplog.text)
        utterance.end()
        fleet.wake()
        assert await ear.ended() is Status.FINISHED


async def test_engine_that_does_not_read_is_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with fleet_of(*fake_engines(1)) as fleet:
        (link,) = fleet.engines
        with monkeypatch.context() as patched:
            patched.setattr(module, "MAX_UNSENT_BYTES", -1)
            link.flush()
        assert "it does not read" in caplog.text
        link.flush()  # is nothing while it is not connected
        link.drop("twice")
        await until(lambda: link._writer is None)
        link.drop("without a connection")
        await until(lambda: len(fleet.engines) == 1)


async def test_nothing_is_read_of_an_engine_that_has_been_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with fleet_of(*fake_engines(1)) as fleet:
        (link,) = fleet.engines
        with monkeypatch.context() as patched:
            patched.setattr(link, "_on_tick", lambda link, _: link.drop("left while it speaks"))
            await until(lambda: "left while it speaks" in caplog.text)
            assert link.load is None
        await until(lambda: len(fleet.engines) == 1)


async def test_busy_front_does_not_take_its_engines_for_silent(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It may not have read what they have said."""
    async with fleet_of(*fake_engines(1)) as fleet:
        monkeypatch.setattr(fleet_module, "IDLE_SILENCE_S", 0.3)
        time.sleep(0.8)  # noqa: ASYNC251 - the event loop hangs
        await asyncio.sleep(0.3)
        assert len(fleet.engines) == 1
    assert "silent for" not in caplog.text


async def test_voice_travels_in_parts_and_again_if_the_connection_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "VOICE_PART_BYTES", 1)
    (engine,) = fake_engines(1)
    async with fleet_of(engine) as fleet:
        ear, left, other = Ear(), Ear(), Ear()
        leaving = await make(fleet, "Hello there.")
        fleet.submit(leaving, left)
        fleet.submit(await make(fleet, "Hello there."), ear)
        await until(lambda: any(each._uploads for each in engine.server._connections))
        fleet.streams.cancel(leaving)
        engine.cut()
        await until(lambda: not fleet.engines)
        fleet.submit(await make(fleet, "Hello there."), other)
        assert await ear.ended() is await other.ended() is Status.FINISHED
        assert left.pcm == []


async def test_engine_forgets_the_voices_that_were_used_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "VOICES_BYTES", 30)
    (engine,) = fake_engines(1)
    async with fleet_of(engine) as fleet:
        kept = await make(fleet, "Hello there.", end=False)
        fleet.submit(kept, Ear())
        for size in range(2, 6):
            ear, utterance = Ear(), await make(fleet, "Hello there.")
            utterance.voice = voice_of_size(utterance.voice, size)
            fleet.submit(utterance, ear)
            assert await ear.ended() is Status.FINISHED
        [connection] = engine.server._connections
        await until(lambda: len(connection._voices) <= 2)
        assert kept in [stream.utterance for stream in fleet.streams.spoken.values()]


def voice_of_size(voice: Any, positions: int) -> Any:
    return type(voice)(voice.keys.repeat(1, 1, positions, 1), voice.values.repeat(1, 1, positions, 1))


async def test_front_tells_when_an_engine_wants_a_slot_back() -> None:
    (engine,) = fake_engines(1)
    async with fleet_of(engine) as fleet:
        reclaimed = asyncio.Event()
        fleet.submit(await make(fleet, "Hello there.", end=False), Ear(), reclaimed.set)
        await until(lambda: engine.utterances)
        [connection] = engine.server._connections
        [stream] = connection.streams.values()
        stream.on_reclaim()
        await asyncio.wait_for(reclaimed.wait(), 10)


async def test_front_tells_when_an_engine_has_admitted_an_utterance() -> None:
    (engine,) = fake_engines(1)
    async with fleet_of(engine) as fleet:
        timeline = fleet.submit(await make(fleet, "Hello there.", end=False), Ear())
        await until(lambda: engine.utterances)
        before_s = timeline.admitted_s
        [connection] = engine.server._connections
        connection._post(wire.Admitted(next(iter(connection.streams))))
        await until(lambda: timeline.admitted_s != before_s)


async def test_front_repeats_what_it_has_kept_without_an_engine() -> None:
    (engine,) = fake_engines(1)
    async with fleet_of(engine) as fleet:
        fleet.streams.repeats = RepeatCache(10**7)
        key = RepeatKey("a", "ann", ("Hello there.",), TextOptions(), 0.0, 1, None)
        ears, replayed = (Ear(), Ear()), []
        for ear in ears:
            fleet.check_room()
            replayed.append(fleet.submit(await make(fleet, "Hello there."), ear, key=key).replayed)
            assert await ear.ended() is Status.FINISHED
        assert replayed == [False, True]
        assert all(map(np.array_equal, ears[0].pcm, ears[1].pcm))


async def test_utterance_that_may_not_queue_waits_unseen_if_its_engine_dies_before_it_begins() -> None:
    (engine,) = fake_engines(1)
    async with fleet_of(engine) as fleet:
        engine.engine.runner.decode_queue.hold()
        ear = Ear()
        fleet.submit(await make(fleet, "Hello there.", may_queue=False), ear)
        await until(lambda: engine.utterances)
        engine.cut()
        await until(lambda: fleet.waiting)
        engine.engine.runner.decode_queue.resume()
        assert await ear.ended() is Status.FINISHED
        assert ear.positions == [None] * len(ear.positions)


async def test_frames_that_are_decoded_late_arrive_in_order() -> None:
    (engine,) = fake_engines(1)
    async with fleet_of(engine) as fleet:
        queue, ear = engine.engine.runner.decode_queue, Ear()
        queue.hold()
        fleet.submit(await make(fleet, "word " * 5), ear)
        await until(lambda: queue.backlog > 1)
        queue.resume(1)
        await ear.wait(lambda: ear.pcm)
        queue.resume()
        assert await ear.ended() is Status.FINISHED
        assert len({float(pcm[-1]) for pcm in ear.pcm}) == len(ear.pcm) == 10


async def test_front_without_a_default_voice_waits_for_its_first_engine(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    (engine,) = fake_engines(1)
    model = FakeEngine().fake_model
    model.checkpoint.default_voice = ""
    fleet = Fleet(model, FleetOptions([(HOST, engine.port)]))  # type: ignore[arg-type]
    fleet.start()
    warming = asyncio.create_task(fleet.warm_up())
    await until(lambda: "waiting for an engine" in caplog.text)
    await engine.start()
    await asyncio.wait_for(warming, 20)
    await fleet.stop()
    await engine.stop()


async def test_address_that_a_name_no_longer_has_is_dropped_once_it_is_not_connected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fleet_module, "RESOLVE_S", 0.01)
    (engine,) = fake_engines(1)
    async with fleet_of(engine):
        loop, gone = asyncio.get_running_loop(), [(0, 0, 0, "", ("127.0.0.2", 1))]
        answers = [gone, gone]

        async def look_up(host: str, port: int, **_: Any) -> Any:
            return answers.pop() if answers else [(0, 0, 0, "", (HOST, port))]

        monkeypatch.setattr(loop, "getaddrinfo", look_up)
        fleet = Fleet(engine.engine.model, FleetOptions([("engines.example", engine.port)]))
        fleet.start()
        await until(lambda: len(fleet._links) == 1 and fleet.engines)
        await fleet.stop()


def test_addresses_are_written_as_in_urls() -> None:
    assert str(Address("engine", "10.0.0.1", 80)) == "10.0.0.1:80"
    assert str(Address("engine", "::1", 80)) == "[::1]:80"


async def test_utterance_that_an_engine_gives_back_waits_for_room() -> None:
    """The front could not know yet that the engine takes nothing."""
    (engine,) = fake_engines(1)
    async with fleet_of(engine) as fleet:
        ear = Ear()
        utterance = await make(fleet, "Hello there.")
        engine.server.draining = True
        fleet.submit(utterance, ear)
        await until(lambda: fleet.waiting == 1)
        engine.server.draining = False
        assert await ear.ended() is Status.FINISHED
