"""A front and its engines over sockets: what a listener hears is what one engine would have said."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from sayline_tts.engine.checkpoint.alignment_heads import AlignmentHeads
from sayline_tts.engine.errors import Full
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.scheduling.playback_buffer import PlaybackPosition
from sayline_tts.engine.scheduling.utterance import Status
from sayline_tts.engine.text.chunk import Word
from sayline_tts.server.access.tls import make_client_context
from sayline_tts.server.fleet import engine_server as engine_server_module
from sayline_tts.server.fleet import fleet as fleet_module
from sayline_tts.server.fleet import wire
from sayline_tts.server.fleet.fleet import Fleet, FleetOptions
from sayline_tts.server.metrics import Metrics
from sayline_tts.server.synthesis.engine_loop import EngineLoop
from tests.server.fakes import FakeEngine
from tests.server.fleet.black_hole import BlackHole
from tests.server.fleet.harness import HOST, Ear, TestEngine, fake_engines, fleet_of, make, until

TEXTS = ("One two three four.", 3, "Five six seven.", "Eight.")
FRAMES = 2 * 8 + 3
LEAD_MS = 160.0


async def undisturbed(*texts: str | int, seed: int = 0) -> Ear:
    loop, ear = EngineLoop(FakeEngine()), Ear()
    loop.start()
    loop.submit(await make(loop, *texts, seed=seed), ear)
    await ear.ended()
    await loop.stop()
    return ear


def assert_same(ear: Ear, expected: Ear) -> None:
    assert len(ear.pcm) == len(expected.pcm)
    assert all(map(np.array_equal, ear.pcm, expected.pcm))
    assert ear.parts == expected.parts
    assert ear.status is expected.status


class Player:
    """Plays what it hears at once, and does `at[n]` when it has heard so many frames."""

    def __init__(self, fleet: Fleet, ear: Ear, at: dict[int, Any]) -> None:
        self.clock, self._fleet, self._ear, self._at = PlaybackPosition(0.0, 0.0), fleet, ear, at
        ear.on_heard = self._play

    def _play(self) -> None:
        if (act := self._at.pop(len(self._ear.pcm), None)) is not None:
            act()
        self.clock.sent_ms = self.clock.played_ms = 80.0 * len(self._ear.pcm)
        self._fleet.streams.wake_soon()


def cut(engines: list[TestEngine]) -> None:
    for each in engines:
        if each.utterances:
            each.cut()


async def test_speech_of_an_engine_is_that_of_one_process() -> None:
    expected, ear = await undisturbed(*TEXTS, seed=4), Ear()
    async with fleet_of(*fake_engines(2)) as fleet:
        utterance = await make(fleet, *TEXTS, seed=4)
        timeline = fleet.submit(utterance, ear)
        assert await ear.ended() is Status.FINISHED
        assert_same(ear, expected)
        assert utterance.status is Status.FINISHED
        assert utterance.produced_ms == 80 * FRAMES
        assert timeline.admitted_s is not None
        assert len(fleet.streams) == fleet.waiting == fleet.stuck_s == fleet.codec_restarts == 0
        assert fleet.alive
        assert fleet.obstacle is None
        assert fleet.can_extend
        assert (fleet.capacity, fleet.slots, fleet.codec_workers) == (64, 64, 4)
        assert fleet.slots_used <= 2 >= fleet.codec_backlog


@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(1, FRAMES - 1), min_size=1, max_size=3, unique=True), seed=st.integers(0, 2**53))
def test_engines_may_be_lost_at_any_frame(cuts: list[int], seed: int) -> None:
    async def run() -> None:
        expected, ear, engines = await undisturbed(*TEXTS, seed=seed), Ear(), fake_engines(2)
        async with fleet_of(*engines) as fleet:
            player = Player(fleet, ear, {each: lambda: cut(engines) for each in cuts})
            utterance = await make(fleet, *TEXTS, seed=seed, playback=player.clock, max_lead_ms=LEAD_MS)
            fleet.submit(utterance, ear)
            await ear.ended()
            assert_same(ear, expected)
            assert utterance.produced_ms == 80 * FRAMES

    asyncio.run(run())


async def test_words_are_told_once_and_truly_whatever_engine_speaks() -> None:
    heads = AlignmentHeads(((0, 0),), 0.0)
    text = "One two three four five six."
    ears = []
    for cuts in ([], [3, 6, 9]):
        engines, ear = fake_engines(2), Ear()
        for each in engines:
            each.engine.fake_model.heads = heads
        async with fleet_of(*engines) as fleet:
            player = Player(fleet, ear, {each: lambda engines=engines: cut(engines) for each in cuts})
            utterance = await make(fleet, end=False, playback=player.clock, max_lead_ms=LEAD_MS)
            words = [Word(each, text.index(each), text.index(each) + len(each), each) for each in text.split()]
            utterance.add(fleet.model.segment(text, words=words))
            utterance.end()
            fleet.submit(utterance, ear)
            await ear.ended()
        ears.append(ear)
    assert ears[0].words == ears[1].words
    assert [time.word.text for time in ears[1].words if not time.final] == text.split()


async def test_text_that_grows_goes_on_on_another_engine() -> None:
    heads, ear, engines = AlignmentHeads(((0, 0),), 0.0), Ear(), fake_engines(2)
    for each in engines:
        each.engine.fake_model.heads = heads
    texts = "one two three four", "one two three four five six", "one two three four five six."

    async with fleet_of(*engines) as fleet:

        def segment(text: str, lookahead: int) -> Any:
            words = [Word(each, text.index(each), text.index(each) + len(each), each) for each in text.split()]
            return fleet.model.segment(text, words=words, lookahead_words=lookahead)

        def grow() -> None:
            cut(engines)
            utterance.grow(segment(texts[1], 2))

        def close() -> None:
            utterance.grow(segment(texts[2], 0))
            utterance.end()

        player = Player(fleet, ear, {2: grow, 6: close})
        utterance = await make(fleet, end=False, playback=player.clock, max_lead_ms=LEAD_MS)
        utterance.add(segment(texts[0], 2))
        fleet.submit(utterance, ear)
        assert await ear.ended() is Status.FINISHED
    assert len(ear.pcm) == 12
    assert [time.word.text for time in ear.words if not time.final] == texts[2].split()
    assert [part.text for part in ear.parts if hasattr(part, "text")] == [texts[2]]


async def test_engine_may_be_silent_for_longer_while_listeners_have_enough() -> None:
    async with fleet_of(*fake_engines(1), silence_s=1.0) as fleet:
        (link,) = fleet.engines
        assert fleet._silence_s(link) == fleet_module.IDLE_SILENCE_S
        clock = PlaybackPosition(0.0, 0.0)
        utterance = await make(fleet, "word " * 20, playback=clock, max_lead_ms=800.0)
        fleet.submit(utterance, Ear())
        assert fleet._silence_s(link) == 1.0
        await until(lambda: utterance.lead_ms > 400.0)  # the mark at which it makes more
        assert fleet._silence_s(link) == fleet_module.PATIENCE
        clock.played_ms = utterance.produced_ms - 200.0
        assert fleet._silence_s(link) == 1.0


async def test_silent_engine_is_left_and_used_again_when_it_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    expected, ear, engines, metrics = await undisturbed(*TEXTS), Ear(), fake_engines(2), Metrics()
    async with fleet_of(*engines, metrics=metrics, silence_s=0.3) as fleet:

        def fall_silent() -> None:
            silent = next(each for each in engines if each.utterances)
            for connection in silent.server._connections:
                connection._timer.cancel()
                connection._flushing = asyncio.get_running_loop().call_later(9, lambda: None)

        player = Player(fleet, ear, {5: fall_silent})
        fleet.submit(await make(fleet, *TEXTS, playback=player.clock, max_lead_ms=LEAD_MS), ear)
        await ear.ended()
        assert_same(ear, expected)
        await until(lambda: len(fleet.engines) == 2)
    text = metrics.render()[0].decode()
    assert 'sayline_moves_total{reason="death"} 1.0' in text
    assert "sayline_engine_losses_total{engine=" in text


@pytest.mark.parametrize("directions", [("up",), ("down",), ("up", "down")], ids="-".join)
async def test_engine_behind_a_line_that_is_cut_without_a_word_is_left(
    directions: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also if only one direction is cut; the engine, too, notices that its front is gone."""
    monkeypatch.setattr(engine_server_module, "FRONT_SILENCE_S", 1.0)
    expected, ear, engines = await undisturbed(*TEXTS), Ear(), fake_engines(2)
    async with AsyncExitStack() as stack:
        for engine in engines:
            await engine.start()
            stack.push_async_callback(engine.stop)
        lines = [await stack.enter_async_context(BlackHole(each.port).listening()) for each in engines]
        fleet = Fleet(engines[0].engine.model, FleetOptions([(HOST, each.port) for each in lines], silence_s=0.3))
        fleet.start()
        stack.push_async_callback(fleet.stop)
        await until(lambda: len(fleet.engines) == 2)
        cut_line: list[int] = []

        def cut_off() -> None:
            cut_line.append(next(number for number, each in enumerate(engines) if each.utterances))
            lines[cut_line[0]].stop(*directions)

        player = Player(fleet, ear, {5: cut_off})
        fleet.submit(await make(fleet, *TEXTS, playback=player.clock, max_lead_ms=800.0), ear)
        await ear.ended()
        assert_same(ear, expected)
        assert "silent for 0." in caplog.text
        [number] = cut_line
        assert lines[number].port not in [link.address.port for link in fleet.engines]
        await until(lambda: not engines[number].utterances)
        lines[number].resume()
        await until(lambda: len(fleet.engines) == 2)


async def test_all_engines_gone_and_one_back() -> None:
    expected, ear, (engine,) = await undisturbed(*TEXTS), Ear(), fake_engines(1)
    async with fleet_of(engine) as fleet:
        player = Player(fleet, ear, {5: engine.kill})
        fleet.submit(await make(fleet, *TEXTS, playback=player.clock, max_lead_ms=LEAD_MS), ear)
        await until(lambda: not fleet.engines)
        assert fleet.obstacle == "no engine is connected"
        assert fleet.waiting == 1
        with pytest.raises(Full, match="no engine is there"):
            fleet.check_room()
        late = Ear()
        fleet.submit(await make(fleet, "Hi there."), late)
        again = TestEngine(FakeEngine(), port=engine.port)
        await again.start()
        await ear.ended()
        assert_same(ear, expected)
        assert await late.ended() is Status.FINISHED
        await again.stop()


async def test_utterance_without_an_engine_fails_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_module, "ORPHAN_S", 0.1)
    ear, (engine,) = Ear(), fake_engines(1)
    async with fleet_of(engine) as fleet:
        player = Player(fleet, ear, {5: engine.kill})
        fleet.submit(await make(fleet, *TEXTS, playback=player.clock, max_lead_ms=LEAD_MS), ear)
        assert await ear.ended() is Status.FAILED
        assert fleet.waiting == len(fleet.streams) == 0


async def test_utterance_that_engines_die_of_does_not_end_them_all(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ear, engines = Ear(), fake_engines(2)
    async with fleet_of(*engines) as fleet:
        for each in engines:
            each.engine.runner.decode_queue.hold()
            monkeypatch.setattr(
                each.loop, "add_stream", lambda _, each=each: asyncio.get_running_loop().call_soon(each.cut)
            )
        fleet.submit(await make(fleet, *TEXTS), ear)
        assert await ear.ended() is Status.FAILED
    assert "with the same utterance" in caplog.text


async def test_full_fleet_queues_and_rejects_as_one_machine_does() -> None:
    async with fleet_of(*fake_engines(2, capacity=1), max_waiting=2) as fleet:
        endless = [await make(fleet, "word " * 5, end=False) for _ in "12"]
        for each in endless:
            fleet.submit(each, Ear())
        waiting = [(await make(fleet, "Hello."), Ear()) for _ in "12"]
        for utterance, ear in waiting:
            fleet.submit(utterance, ear)
        assert [ear.positions for _, ear in waiting] == [[1], [2]]
        assert fleet.waiting == 2
        with pytest.raises(Full, match="2 queued"):
            fleet.submit(await make(fleet, "Hello."), Ear())
        with pytest.raises(Full, match="server full"):
            fleet.submit(await make(fleet, "Hello.", may_queue=False), Ear())
        fleet.streams.cancel(endless[0])
        fleet.streams.cancel(endless[0])
        for _, ear in waiting:
            assert await ear.ended() is Status.FINISHED
        assert waiting[1][1].positions == [2, 1, None]
        assert endless[0].status is Status.CANCELLED
        fleet.streams.cancel(endless[1])
        await fleet.streams.wait_until_idle()


async def test_engine_that_other_fronts_have_filled_gives_an_utterance_back() -> None:
    engines = fake_engines(2, slots=1, max_waiting=0)
    async with fleet_of(*engines) as first, fleet_of_same(engines) as second:
        ears = [Ear() for _ in range(2)]
        for front, ear in zip((first, second), ears, strict=True):
            for link in front.engines[1:]:
                link.load = None  # both know only one engine
            front.submit(await make(front, "Hello there."), ear)
        for ear in ears:
            assert await ear.ended() is Status.FINISHED


def fleet_of_same(engines: list[TestEngine]) -> Any:
    @asynccontextmanager
    async def run() -> AsyncIterator[Fleet]:
        fleet = Fleet(engines[0].engine.model, FleetOptions([(HOST, each.port) for each in engines], silence_s=5.0))
        fleet.start()
        await until(lambda: len(fleet.engines) == len(engines))
        yield fleet
        await fleet.stop()

    return run()


async def test_draining_engine_loses_its_utterances_at_the_end_of_a_segment() -> None:
    expected, ear, engines, metrics = await undisturbed(*TEXTS), Ear(), fake_engines(2), Metrics()
    async with fleet_of(*engines, metrics=metrics) as fleet:
        drains: list[asyncio.Task[None]] = []

        def drain() -> None:
            old = next(each for each in engines if each.utterances)
            drains.append(asyncio.create_task(old.server.drain()))

        player = Player(fleet, ear, {3: drain})
        fleet.submit(await make(fleet, *TEXTS, playback=player.clock, max_lead_ms=LEAD_MS), ear)
        await ear.ended()
        assert_same(ear, expected)
        await asyncio.wait_for(drains[0], 5)
        assert sum(link.draining for link in fleet.engines) == 1
        other = Ear()
        fleet.submit(await make(fleet, "Hi there."), other)
        assert await other.ended() is Status.FINISHED
        assert 'sayline_moves_total{reason="drain"} 1.0' in metrics.render()[0].decode()
        for each in engines:
            each.server.draining = True
        await until(lambda: fleet.obstacle is not None)


async def test_failed_step_ends_its_utterance_only() -> None:
    (engine,) = fake_engines(1)
    async with fleet_of(engine) as fleet:
        bad, good = Ear(), Ear()
        engine.engine.runner.next_codec_error = RuntimeError("a broken frame")
        fleet.submit(await make(fleet, "Hello there."), bad)
        assert await bad.ended() is Status.FAILED
        fleet.submit(await make(fleet, "Hello there."), good)
        assert await good.ended() is Status.FINISHED


async def test_wrong_secret_or_model_is_refused_on_both_sides(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    (engine,) = fake_engines(1)
    engine.server.secret = "right"
    async with fleet_of(engine, secret="right") as fleet:
        wrong = Fleet(engine.engine.model, FleetOptions([(HOST, engine.port)], secret="wrong"))
        wrong.start()
        await until(lambda: "does not know the secret" in caplog.text)
        await wrong.stop()
        assert not wrong.engines
        stranger = FakeEngine().fake_model
        stranger.checkpoint.weights_sha256 = "cd" * 32
        other = Fleet(cast(Model, stranger), FleetOptions([(HOST, engine.port)], secret="right"))
        other.start()
        await until(lambda: "are not those of this front" in caplog.text)
        await other.stop()
        assert len(fleet.engines) == 1


async def test_connections_over_tls(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An engine whose certificate the authority has signed for this address is used, another one is not."""
    caplog.set_level(logging.DEBUG)
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = make_client_context(str(tmp_path / "ca.pem"))
    trusted, *others = fake_engines(3)
    for engine, certificate in (
        (trusted, authority.issue_cert(HOST)),
        (others[0], stranger.issue_cert(HOST)),
        (others[1], authority.issue_cert("elsewhere.example")),
    ):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        await engine.start(context)
    fleet = Fleet(trusted.engine.model, FleetOptions([(HOST, each.port) for each in (trusted, *others)], tls=tls))
    fleet.start()
    await until(lambda: len(fleet.engines) == 1 and caplog.text.count("certificate verify failed") >= 2)
    ear = Ear()
    fleet.submit(await make(fleet, *TEXTS, seed=4), ear)
    await ear.ended()
    assert_same(ear, await undisturbed(*TEXTS, seed=4))
    assert [link.address.port for link in fleet.engines] == [trusted.port]
    await fleet.stop()
    for engine in (trusted, *others):
        await engine.stop()


async def test_front_that_breaks_the_protocol_is_refused_and_the_engine_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    (engine,) = fake_engines(1)
    sampling = engine.engine.model.sampling(seed=1)
    start = wire.Start(1, b"unknown", sampling, 80.0, 500.0, False, None)
    bad = [
        wire.FrontTick(1, starts=[start]),
        wire.FrontTick(1, voices=[wire.VoicePart(b"h", 5, 9, b"abc")]),
        wire.FrontTick(1, voices=[wire.VoicePart(b"h", 0, 3, b"abc")]),
    ]
    async with fleet_of(engine) as fleet:
        for tick in bad:
            caplog.clear()
            (link,) = fleet.engines
            assert link._writer is not None
            link._writer.write(wire.encode(tick))
            await until(lambda: "is lost" in caplog.text)
            await until(lambda: len(fleet.engines) == 1)
        ear = Ear()
        fleet.submit(await make(fleet, "Hello there."), ear)
        assert await ear.ended() is Status.FINISHED


async def test_name_without_an_address_is_looked_up_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fleet_module, "RESOLVE_S", 0.01)
    (engine,) = fake_engines(1)
    async with fleet_of(engine):
        fleet = Fleet(engine.engine.model, FleetOptions([("engines.invalid", engine.port)], silence_s=5.0))
        fleet.start()
        loop, answers = asyncio.get_running_loop(), [OSError("no such name"), []]

        async def look_up(host: str, port: int, **_: Any) -> Any:
            answer = answers.pop(0) if answers else [(0, 0, 0, "", (HOST, port))]
            if isinstance(answer, OSError):
                raise answer
            return answer

        monkeypatch.setattr(loop, "getaddrinfo", look_up)
        await until(lambda: fleet.engines)
        assert "no address" in caplog.text
        late = await make(fleet, "Hi.")
        await fleet.stop()
        assert not fleet.alive
        with pytest.raises(RuntimeError, match="has stopped"):
            fleet.submit(late, Ear())


async def test_stop_ends_utterances_as_cancelled() -> None:
    ear = Ear()
    async with fleet_of(*fake_engines(1)) as fleet:
        fleet.submit(await make(fleet, "Hello there.", end=False), ear)
        await ear.wait(lambda: ear.pcm)
    assert ear.status is Status.CANCELLED
