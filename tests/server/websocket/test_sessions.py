"""Resumption, admission and the end of all sessions, over real sockets."""

import asyncio
import contextlib
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from sayline_tts.server.access.limits import Caller, Limits
from sayline_tts.server.app import SESSIONS, make_app
from sayline_tts.server.settings import Settings
from tests.server.fakes import FakeEngine
from tests.server.peer import Message, Peer, is_last, peer, running

ENCODINGS = pytest.mark.parametrize("encoding", ["json", "msgpack"])
SHORT = "Hello there. How are you? " * 2  # 20 frames, which one lead holds
LONG = "Hello there. How are you? " * 20


class Client:
    """One that remembers what came, over as many connections as it takes."""

    def __init__(self) -> None:
        self.heard: list[Message] = []
        self.token = ""

    async def greet(self, one: Peer) -> Message:
        ready = await one.hear()
        self.token = self.token or ready["token"]
        return ready

    async def hear(self, one: Peer, count: int = 1) -> None:
        for _ in range(count):
            self.heard.append(await one.hear())

    async def hear_out(self, one: Peer, *context_ids: str) -> None:
        left = set(context_ids)
        while left:
            await self.hear(one)
            if is_last(self.heard[-1]):
                left.discard(self.heard[-1]["context_id"])

    def last_seqs(self, *context_ids: str) -> dict[str, int]:
        seqs = dict.fromkeys(context_ids, -1)
        return seqs | {message["context_id"]: message["seq"] for message in self.heard if "seq" in message}

    async def resume(self, one: Peer, contexts: dict[str, int]) -> Message:
        await one.send_bare("resume", token=self.token, contexts=contexts)
        return await one.hear()


def cut(one: Peer) -> None:
    """As a network does: without a word."""
    one.socket.transport.abort()


async def parked(app: Any) -> None:
    """Until no session has a connection."""
    sessions = app[SESSIONS]
    await sessions.until(lambda: sessions.parked == len(sessions))


@ENCODINGS
async def test_a_lost_connection_leaves_no_gap_and_no_repeat(engine: FakeEngine, encoding: str) -> None:
    whole, client = Client(), Client()
    app = await make_app(Settings(), engine.model, engine)
    async with running(app) as address:
        async with peer(address, encoding, greet=False) as one:
            await whole.greet(one)
            await one.say(SHORT, format="pcm", seed=7, max_lead_ms=2000)
            await whole.hear_out(one, "a")
        async with peer(address, encoding, greet=False) as one:
            await client.greet(one)
            await one.say(SHORT, format="pcm", seed=7, max_lead_ms=2000)
            await client.hear(one, 9)
            cut(one)
        for count in (1, 15, 0):
            await parked(app)
            async with peer(address, encoding, greet=False) as one:
                await client.greet(one)
                resumed = await client.resume(one, client.last_seqs())
                assert (resumed["type"], resumed["recovered"], resumed["contexts"]) == ("resumed", True, {"a": 3})
                await client.hear(one, count)
                if count:
                    cut(one)
                else:
                    await client.hear_out(one, "a")
    assert client.heard == whole.heard
    assert engine.running == 0


async def test_text_that_was_lost_is_known_by_what_was_taken(engine: FakeEngine) -> None:
    app, client = await make_app(Settings(), engine.model, engine), Client()
    async with running(app) as address:
        async with peer(address, greet=False) as one:
            await client.greet(one)
            await one.send("start")
            await one.send("text", text="Hello there. ")
            await client.hear(one)
            await one.send("ack", played_ms=10)  # is not counted
            await one.send("text", "nobody", text="x")
            assert (await one.hear_until("error"))["code"] == "unknown_context"
            cut(one)
        await parked(app)
        async with peer(address, greet=False) as one:
            await client.greet(one)
            client.heard += one.heard[:0]
            resumed = await client.resume(one, {"a": 0, "b": -1})
            assert resumed["contexts"] == {"a": 2, "b": 0}
            await one.send("end")
            await one.say("Hello. ", "b")
            await client.hear_out(one, "a", "b")
    assert client.last_seqs()["b"] > 0


async def test_what_goes_on_meanwhile_stops_at_its_lead(engine: FakeEngine) -> None:
    app, client = await make_app(Settings(), engine.model, engine), Client()
    async with running(app) as address:
        async with peer(address, greet=False) as one:
            await client.greet(one)
            await one.say(LONG, max_lead_ms=800)
            await client.hear(one)
            utterance = engine.utterances[0]
            cut(one)
        await parked(app)
        await engine.until(lambda: utterance.lead_ms > 400)  # then it can wait for others to step with
        for _ in range(50):
            await asyncio.sleep(0)
        assert utterance.lead_ms <= 800
        assert engine.running == 1


async def test_a_context_that_ended_meanwhile_is_told_so_once(engine: FakeEngine) -> None:
    app, client = await make_app(Settings(), engine.model, engine), Client()
    async with running(app) as address:
        async with peer(address, greet=False) as one:
            await client.greet(one)
            engine.runner.may_step.clear()
            await one.say("Hello there.")
            await engine.until_scheduled()
            cut(one)
        await parked(app)
        engine.runner.may_step.set()
        await engine.until(lambda: engine.running == 0)
        async with peer(address, greet=False) as one:
            await client.greet(one)
            assert (await client.resume(one, {"a": -1}))["contexts"] == {"a": 3}
            await client.hear_out(one, "a")
            await one.say("All is well.", "b")
            await client.hear_out(one, "b")
    assert [message["seq"] for message in client.heard if message["context_id"] == "a"] == list(range(8))
    assert sum(map(is_last, client.heard)) == 2


async def test_contexts_that_are_not_named_are_cancelled(engine: FakeEngine) -> None:
    app, client = await make_app(Settings(), engine.model, engine), Client()
    async with running(app) as address:
        async with peer(address, greet=False) as one:
            await client.greet(one)
            for name in "ab":
                await one.say(LONG, name)
                await one.hear_until("audio", context_id=name)
            cut(one)
        await parked(app)
        async with peer(address, greet=False) as one:
            await client.greet(one)
            assert (await client.resume(one, {}))["contexts"] == {}
            await one.say("All is well.", "b")
            await client.hear_out(one, "b")
    assert {message["context_id"] for message in client.heard} == {"b"}
    assert engine.running == 0


@pytest.mark.parametrize(
    ("contexts", "why"),
    [({"a": 10_000}, "missed"), ({"nobody": 4}, "missed")],
    ids=["events that never were", "a context that never was"],
)
async def test_who_claims_what_cannot_be_begins_anew(engine: FakeEngine, contexts: dict[str, int], why: str) -> None:
    app, client = await make_app(Settings(), engine.model, engine), Client()
    async with running(app) as address:
        async with peer(address, greet=False) as one:
            await client.greet(one)
            await one.say(LONG)
            await client.hear(one)
            cut(one)
        await parked(app)
        async with peer(address, greet=False) as one:
            ready = await client.greet(one)
            resumed = await client.resume(one, contexts)
            assert (resumed["recovered"], resumed["session_id"]) == (False, ready["session_id"])
            assert why in resumed["message"]
            await engine.until(lambda: engine.running == 0)
            await one.say("All is well.")
            await one.hear_all()


async def test_more_than_is_kept_cannot_be_resumed(engine: FakeEngine) -> None:
    app = await make_app(Settings.load(resume_mb=0.01), engine.model, engine)
    client = Client()
    async with running(app) as address:
        async with peer(address, greet=False) as one:
            await client.greet(one)
            await one.say(LONG, format="pcm", max_lead_ms=10_000)
            await client.hear(one, 20)
            cut(one)
        await parked(app)
        async with peer(address, greet=False) as one:
            await client.greet(one)
            assert (await client.resume(one, {"a": 0}))["recovered"] is False


async def test_who_comes_too_late_is_told_so(engine: FakeEngine) -> None:
    app, client = await make_app(Settings.load(resume_s=0.01), engine.model, engine), Client()
    async with running(app) as address:
        async with peer(address, greet=False) as one:
            await client.greet(one)
            await one.say(LONG)
            await client.hear(one)
            cut(one)
        await engine.until(lambda: engine.running == 0)
        async with peer(address, greet=False) as one:
            await client.greet(one)
            resumed = await client.resume(one, client.last_seqs())
            assert (resumed["recovered"], resumed["contexts"]) == (False, {})
            assert "anew" in resumed["message"]


async def test_who_closes_in_order_does_not_come_back(engine: FakeEngine) -> None:
    app, client = await make_app(Settings(), engine.model, engine), Client()
    async with running(app) as address:
        async with peer(address, greet=False) as one:
            await client.greet(one)
            await one.say(LONG)
            await client.hear(one)
        await engine.until(lambda: engine.running == 0)
        assert len(app[SESSIONS]) == 0


async def test_a_connection_that_hangs_is_displaced(engine: FakeEngine) -> None:
    app, client = await make_app(Settings(), engine.model, engine), Client()
    async with running(app) as address, peer(address, greet=False) as old, peer(address, greet=False) as new:
        await client.greet(old)
        await old.say(LONG, max_lead_ms=400)
        await client.hear(old)
        assert (await new.hear())["type"] == "ready"
        resumed = await client.resume(new, client.last_seqs())
        assert resumed["recovered"], resumed
        await new.send("cancel")
        await client.hear_out(new, "a")
        assert (await closed(old))[0] == 4002
    assert client.heard[-1]["type"] == "cancelled"
    assert [message["seq"] for message in client.heard] == list(range(len(client.heard)))


async def test_resuming_comes_first(address: str) -> None:
    async with peer(address) as one:
        await one.send("start")
        await one.send_bare("resume", token="x", contexts={})
        error = await one.hear()
        assert (error["code"], error["final"]) == ("too_late", False)


async def test_nobody_resumes_himself_or_another_callers_session(engine: FakeEngine) -> None:
    app = await make_app(Settings(), engine.model, engine)
    async with running(app) as address, peer(address, greet=False) as one, peer(address, greet=False) as other:
        token = (await one.hear())["token"]
        await one.send_bare("resume", token=token)
        assert (await one.hear())["recovered"] is False
        await other.hear()
        session = next(session for session in app[SESSIONS]._sessions if session.token == token)
        session.caller = Caller("eve", Limits(), "eve")
        await other.send_bare("resume", token=token)
        assert (await other.hear())["recovered"] is False


async def test_a_server_with_enough_sessions_says_when_to_come_back(engine: FakeEngine) -> None:
    app = await make_app(Settings.load(max_sessions=1), engine.model, engine)
    async with running(app) as address:
        async with peer(address), peer(address, greet=False) as other:
            error = await other.hear()
            assert (error["code"], error["final"]) == ("full", False)
            assert error["retry_after_ms"] > 0
            with contextlib.suppress(ConnectionClosed):
                await other.hear()
            assert other.socket.close_code == 1013
        await app[SESSIONS].until(lambda: not len(app[SESSIONS]))
        async with peer(address) as one:
            await one.say("All is well.")
            await one.hear_all()


async def closed(one: Peer) -> tuple[int | None, str | None]:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await one.hear()
    return one.socket.close_code, one.socket.close_reason


async def test_a_server_that_drains_lets_who_speaks_finish_and_lets_nobody_begin(engine: FakeEngine) -> None:
    app = await make_app(Settings(), engine.model, engine)
    async with running(app) as address, peer(address) as idle, peer(address) as busy:
        engine.runner.may_step.clear()
        await busy.say("Hello there.")
        await engine.until_scheduled()
        draining = asyncio.create_task(app[SESSIONS].drain())
        assert await closed(idle) == (1012, "the server restarts")
        await busy.say("Hello there.", "late")
        error = await busy.hear_until("error", context_id="late")
        assert (error["code"], error["final"]) == ("shutting_down", True)
        async with peer(address, greet=False) as late:
            assert await closed(late) == (1013, "the server is shutting down; connect again")
        assert not draining.done()
        engine.runner.may_step.set()
        assert await closed(busy) == (1012, "the server restarts")
        await draining
        assert len(busy.of("audio")) == 4
        assert len(busy.of("done")) == 1


async def test_draining_waits_for_nobody_who_is_not_there(engine: FakeEngine) -> None:
    app = await make_app(Settings(), engine.model, engine)
    async with running(app) as address:
        async with peer(address) as one:
            await one.say(LONG)
            await one.hear()
            cut(one)
        await parked(app)
        await app[SESSIONS].drain()
        await app[SESSIONS].drain()
        assert len(app[SESSIONS]) == 0
