"""Resumption, admission and shutdown of sessions, over real sockets."""

import asyncio
import contextlib
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed

from sayline_tts.server.access.client_address import ClientAddress
from sayline_tts.server.access.keys import KeyFile
from sayline_tts.server.access.limits import Caller, Limits, RateLimited
from sayline_tts.server.app import SESSIONS, make_app
from sayline_tts.server.settings import Settings
from sayline_tts.server.websocket.protocol import CloseCode
from sayline_tts.server.websocket.sessions import Sessions
from tests.server.fakes import FakeEngine
from tests.server.stream_client import Message, StreamClient, connected_client, is_final, serving

ENCODINGS = pytest.mark.parametrize("encoding", ["json", "msgpack"])
SHORT = "Hello there. How are you? " * 2  # 20 frames, which fit in the lead
LONG = "Hello there. How are you? " * 20


class ResumingClient:
    """Collects the events of its contexts over several connections."""

    def __init__(self) -> None:
        self.received: list[Message] = []
        self.token = ""

    async def expect_ready(self, connection: StreamClient) -> Message:
        ready = await connection.receive()
        self.token = self.token or ready["token"]
        return ready

    async def receive(self, connection: StreamClient, count: int = 1) -> None:
        for _ in range(count):
            self.received.append(await connection.receive())

    async def receive_until_final(self, connection: StreamClient, *context_ids: str) -> None:
        left = set(context_ids)
        while left:
            await self.receive(connection)
            if is_final(self.received[-1]):
                left.discard(self.received[-1]["context_id"])

    def last_seqs(self, *context_ids: str) -> dict[str, int]:
        seqs = dict.fromkeys(context_ids, -1)
        return seqs | {message["context_id"]: message["seq"] for message in self.received if "seq" in message}

    async def resume(self, connection: StreamClient, contexts: dict[str, int]) -> Message:
        await connection.send_raw("resume", token=self.token, contexts=contexts)
        return await connection.receive()


def lose(connection: StreamClient) -> None:
    """Abort the connection without a close frame, as a network failure does."""
    connection.socket.transport.abort()


async def wait_disconnected(app: Any) -> None:
    """Wait until no session has a connection."""
    sessions = app[SESSIONS]
    await sessions.wait_until(lambda: sessions.disconnected == len(sessions))


@ENCODINGS
async def test_resumed_session_has_no_gap_and_no_duplicate(engine: FakeEngine, encoding: str) -> None:
    whole, client = ResumingClient(), ResumingClient()
    app = await make_app(Settings(), engine.model, engine)
    async with serving(app) as address:
        async with connected_client(address, encoding, expect_ready=False) as connection:
            await whole.expect_ready(connection)
            await connection.speak(SHORT, format="pcm", seed=7, max_lead_ms=2000)
            await whole.receive_until_final(connection, "a")
        async with connected_client(address, encoding, expect_ready=False) as connection:
            await client.expect_ready(connection)
            await connection.speak(SHORT, format="pcm", seed=7, max_lead_ms=2000)
            await client.receive(connection, 9)
            lose(connection)
        for count in (1, 15, 0):
            await wait_disconnected(app)
            async with connected_client(address, encoding, expect_ready=False) as connection:
                await client.expect_ready(connection)
                resumed = await client.resume(connection, client.last_seqs())
                assert (resumed["type"], resumed["recovered"], resumed["contexts"]) == ("resumed", True, {"a": 3})
                await client.receive(connection, count)
                if count:
                    lose(connection)
                else:
                    await client.receive_until_final(connection, "a")
    for received in (client.received, whole.received):
        received[-1]["usage"].pop("first_audio_ms")  # a time, so it differs
    assert client.received == whole.received
    assert engine.running == 0


async def test_resumed_counts_the_received_messages(engine: FakeEngine) -> None:
    app, client = await make_app(Settings(), engine.model, engine), ResumingClient()
    async with serving(app) as address:
        async with connected_client(address, expect_ready=False) as connection:
            await client.expect_ready(connection)
            await connection.send("start")
            await connection.send("text", text="Hello there. ")
            await client.receive(connection)
            await connection.send("ack", played_ms=10)  # is not counted
            await connection.send("text", "nobody", text="x")
            assert (await connection.receive_until("error"))["code"] == "unknown_context"
            lose(connection)
        await wait_disconnected(app)
        async with connected_client(address, expect_ready=False) as connection:
            await client.expect_ready(connection)
            client.received += connection.received[:0]
            resumed = await client.resume(connection, {"a": 0, "b": -1})
            assert resumed["contexts"] == {"a": 2, "b": 0}
            await connection.send("end")
            await connection.speak("Hello. ", "b")
            await client.receive_until_final(connection, "a", "b")
    assert client.last_seqs()["b"] > 0


async def test_disconnected_session_stops_at_its_lead(engine: FakeEngine) -> None:
    app, client = await make_app(Settings(), engine.model, engine), ResumingClient()
    async with serving(app) as address:
        async with connected_client(address, expect_ready=False) as connection:
            await client.expect_ready(connection)
            await connection.speak(LONG, max_lead_ms=800)
            await client.receive(connection)
            utterance = engine.utterances[0]
            lose(connection)
        await wait_disconnected(app)
        await engine.wait_until(
            lambda: utterance.lead_ms > 400
        )  # above the low-water mark, where it may wait for others
        for _ in range(50):
            await asyncio.sleep(0)
        assert utterance.lead_ms <= 800
        assert engine.running == 1


async def test_context_that_ended_while_disconnected_is_reported_once(engine: FakeEngine) -> None:
    app, client = await make_app(Settings(), engine.model, engine), ResumingClient()
    async with serving(app) as address:
        async with connected_client(address, expect_ready=False) as connection:
            await client.expect_ready(connection)
            engine.runner.may_step.clear()
            await connection.speak("Hello there.")
            await engine.wait_scheduled()
            lose(connection)
        await wait_disconnected(app)
        engine.runner.may_step.set()
        await engine.wait_until(lambda: engine.running == 0)
        async with connected_client(address, expect_ready=False) as connection:
            await client.expect_ready(connection)
            assert (await client.resume(connection, {"a": -1}))["contexts"] == {"a": 3}
            await client.receive_until_final(connection, "a")
            await connection.speak("All is well.", "b")
            await client.receive_until_final(connection, "b")
    assert [message["seq"] for message in client.received if message["context_id"] == "a"] == list(range(8))
    assert sum(map(is_final, client.received)) == 2


async def test_contexts_that_are_not_listed_are_cancelled(engine: FakeEngine) -> None:
    app, client = await make_app(Settings(), engine.model, engine), ResumingClient()
    async with serving(app) as address:
        async with connected_client(address, expect_ready=False) as connection:
            await client.expect_ready(connection)
            for name in "ab":
                await connection.speak(LONG, name)
                await connection.receive_until("audio", context_id=name)
            lose(connection)
        await wait_disconnected(app)
        async with connected_client(address, expect_ready=False) as connection:
            await client.expect_ready(connection)
            assert (await client.resume(connection, {}))["contexts"] == {}
            await connection.speak("All is well.", "b")
            await client.receive_until_final(connection, "b")
    assert {message["context_id"] for message in client.received} == {"b"}
    assert engine.running == 0


@pytest.mark.parametrize(
    ("contexts", "reason"),
    [({"a": 10_000}, "missed"), ({"nobody": 4}, "missed")],
    ids=["events that were never sent", "a context that was never started"],
)
async def test_impossible_resume_gets_a_new_session(engine: FakeEngine, contexts: dict[str, int], reason: str) -> None:
    app, client = await make_app(Settings(), engine.model, engine), ResumingClient()
    async with serving(app) as address:
        async with connected_client(address, expect_ready=False) as connection:
            await client.expect_ready(connection)
            await connection.speak(LONG)
            await client.receive(connection)
            lose(connection)
        await wait_disconnected(app)
        async with connected_client(address, expect_ready=False) as connection:
            ready = await client.expect_ready(connection)
            resumed = await client.resume(connection, contexts)
            assert (resumed["recovered"], resumed["session_id"]) == (False, ready["session_id"])
            assert reason in resumed["message"]
            await engine.wait_until(lambda: engine.running == 0)
            await connection.speak("All is well.")
            await connection.receive_until_final()


async def test_discarded_events_prevent_resumption(engine: FakeEngine) -> None:
    app = await make_app(Settings.load(resume_mb=0.01), engine.model, engine)
    client = ResumingClient()
    async with serving(app) as address:
        async with connected_client(address, expect_ready=False) as connection:
            await client.expect_ready(connection)
            await connection.speak(LONG, format="pcm", max_lead_ms=10_000)
            await client.receive(connection, 20)
            lose(connection)
        await wait_disconnected(app)
        async with connected_client(address, expect_ready=False) as connection:
            await client.expect_ready(connection)
            assert (await client.resume(connection, {"a": 0}))["recovered"] is False


async def test_late_resume_is_refused(engine: FakeEngine) -> None:
    app, client = await make_app(Settings.load(resume_s=0.01), engine.model, engine), ResumingClient()
    async with serving(app) as address:
        async with connected_client(address, expect_ready=False) as connection:
            await client.expect_ready(connection)
            await connection.speak(LONG)
            await client.receive(connection)
            lose(connection)
        await engine.wait_until(lambda: engine.running == 0)
        async with connected_client(address, expect_ready=False) as connection:
            await client.expect_ready(connection)
            resumed = await client.resume(connection, client.last_seqs())
            assert (resumed["recovered"], resumed["contexts"]) == (False, {})
            assert "start its contexts again" in resumed["message"]


async def test_orderly_close_ends_the_session(engine: FakeEngine) -> None:
    app, client = await make_app(Settings(), engine.model, engine), ResumingClient()
    async with serving(app) as address:
        async with connected_client(address, expect_ready=False) as connection:
            await client.expect_ready(connection)
            await connection.speak(LONG)
            await client.receive(connection)
        await engine.wait_until(lambda: engine.running == 0)
        assert len(app[SESSIONS]) == 0


async def test_hanging_connection_loses_its_session_to_the_new_one(engine: FakeEngine) -> None:
    app, client = await make_app(Settings(), engine.model, engine), ResumingClient()
    async with (
        serving(app) as address,
        connected_client(address, expect_ready=False) as old,
        connected_client(address, expect_ready=False) as new,
    ):
        await client.expect_ready(old)
        await old.speak(LONG, max_lead_ms=400)
        await client.receive(old)
        assert (await new.receive())["type"] == "ready"
        resumed = await client.resume(new, client.last_seqs())
        assert resumed["recovered"], resumed
        await new.send("cancel")
        await client.receive_until_final(new, "a")
        assert (await close_frame(old))[0] == 4002
    assert client.received[-1]["type"] == "cancelled"
    assert [message["seq"] for message in client.received] == list(range(len(client.received)))


async def test_resume_must_be_the_first_message(address: str) -> None:
    async with connected_client(address) as connection:
        await connection.send("start")
        await connection.send_raw("resume", token="x", contexts={})
        error = await connection.receive()
        assert (error["code"], error["final"]) == ("too_late", False)


async def test_session_is_resumed_neither_by_itself_nor_by_another_account(engine: FakeEngine) -> None:
    app = await make_app(Settings(), engine.model, engine)
    async with (
        serving(app) as address,
        connected_client(address, expect_ready=False) as connection,
        connected_client(address, expect_ready=False) as other,
    ):
        token = (await connection.receive())["token"]
        await connection.send_raw("resume", token=token)
        assert (await connection.receive())["recovered"] is False
        await other.receive()
        session = next(session for session in app[SESSIONS]._connections if session.token == token)
        session.caller = Caller("eve", Limits(), "eve")
        await other.send_raw("resume", token=token)
        assert (await other.receive())["recovered"] is False


async def test_server_with_too_many_sessions_says_when_to_retry(engine: FakeEngine) -> None:
    app = await make_app(Settings.load(max_sessions=1), engine.model, engine)
    async with serving(app) as address:
        async with connected_client(address), connected_client(address, expect_ready=False) as other:
            error = await other.receive()
            assert (error["code"], error["final"]) == ("full", False)
            assert error["retry_after_ms"] > 0
            with contextlib.suppress(ConnectionClosed):
                await other.receive()
            assert other.socket.close_code == 1013
        await app[SESSIONS].wait_until(lambda: not len(app[SESSIONS]))
        async with connected_client(address) as connection:
            await connection.speak("All is well.")
            await connection.receive_until_final()


def address_of(number: int) -> ClientAddress:
    return ClientAddress(ip_address(f"192.0.2.{number}"), "http", "")


def keyed(name: str, **limits: int) -> Caller:
    return Caller(name, msgspec.convert(limits, Limits), name, sha256="0")


class OpenConnection:
    async def release_session(self) -> None:
        pass

    async def close_after_flush(self, code: CloseCode, reason: str) -> None:
        pass


async def connect_many(sessions: Sessions, caller: Caller, address: ClientAddress, most: int = 1_000) -> int:
    """Open and connect sessions until one is refused. Returns how many there were."""
    for count in range(most):
        try:
            session = sessions.open(caller, address)
        except RateLimited:
            return count
        sessions.attach(session, OpenConnection())
    return most


@pytest.mark.parametrize(
    ("limits", "expected"),
    [({"contexts": 1}, 16), ({"contexts": 10}, 40), ({"contexts": 1, "sessions": 3}, 3), ({}, 50)],
)
async def test_sessions_of_a_key_are_limited_and_others_still_get_one(
    engine: FakeEngine, limits: dict[str, int], expected: int
) -> None:
    app = await make_app(Settings.load(max_sessions=100, max_sessions_per_address=100), engine.model, engine)
    sessions = app[SESSIONS]
    assert await connect_many(sessions, keyed("ann", **limits), address_of(1)) == expected
    assert await connect_many(sessions, keyed("bob"), address_of(1), most=1) == 1


async def test_sessions_with_tokens_count_as_those_of_their_key(engine: FakeEngine) -> None:
    sessions, key = (await make_app(Settings(), engine.model, engine))[SESSIONS], keyed("ann", sessions=2)
    tokens = [Caller("ann", Limits(), f"ann token {number}", issuer=key) for number in range(3)]
    assert [await connect_many(sessions, token, address_of(1), most=1) for token in tokens] == [1, 1, 0]


@pytest.mark.parametrize(("setting", "expected"), [(0, 50), (7, 7)])
async def test_sessions_of_an_address_are_limited_also_with_many_keys(
    engine: FakeEngine, setting: int, expected: int
) -> None:
    app = await make_app(Settings.load(max_sessions=100, max_sessions_per_address=setting), engine.model, engine)
    sessions, count = app[SESSIONS], 0
    while await connect_many(sessions, keyed(f"key {count}"), address_of(1), most=1):
        count += 1
    assert count == expected
    assert await connect_many(sessions, keyed("key 0"), address_of(2), most=1) == 1


async def test_this_machine_has_no_limit_of_its_own(engine: FakeEngine) -> None:
    app = await make_app(Settings.load(max_sessions=100), engine.model, engine)
    nobody, here = Caller("anonymous", Limits(), "anonymous here"), ClientAddress(ip_address("127.0.0.1"), "http", "")
    assert await connect_many(app[SESSIONS], nobody, here, most=100) == 100


async def test_client_at_its_limit_can_resume_all_its_sessions_but_hoard_no_more(engine: FakeEngine) -> None:
    app = await make_app(Settings(), engine.model, engine)
    sessions, ann, connection = app[SESSIONS], keyed("ann", sessions=2), OpenConnection()
    for _ in range(2):
        lost = sessions.open(ann, address_of(1))
        sessions.attach(lost, connection)
        sessions.detach(lost, connection, resumable=True)
    assert sessions.disconnected == 2
    assert await connect_many(sessions, ann, address_of(1)) == 2
    for session in list(sessions._connections):
        sessions.detach(session, connection, resumable=True)
        sessions._connections[session] = None
    with pytest.raises(RateLimited, match="4 sessions, of which 2 may be connected"):
        sessions.open(ann, address_of(1))
    for session in list(sessions._connections):
        sessions.discard(session)
    assert sessions._addresses == {}


async def test_client_with_too_many_sessions_is_told(engine: FakeEngine, tmp_path: Path) -> None:
    key = KeyFile(tmp_path / "keys.json").add("ann", Limits(sessions=1))
    app = await make_app(Settings.load(keys_file=str(tmp_path / "keys.json")), engine.model, engine)
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        serving(app) as address,
        connected_client(address, additional_headers=headers),
        connected_client(address, expect_ready=False, additional_headers=headers) as other,
    ):
        error = await other.receive()
        assert (error["code"], error["retry_after_ms"]) == ("rate_limited", 5_000)
        assert await close_frame(other) == (1013, error["message"])


async def close_frame(connection: StreamClient) -> tuple[int | None, str | None]:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await connection.receive()
    return connection.socket.close_code, connection.socket.close_reason


async def test_draining_finishes_open_contexts_and_refuses_new_ones(engine: FakeEngine) -> None:
    app = await make_app(Settings(), engine.model, engine)
    async with serving(app) as address, connected_client(address) as idle, connected_client(address) as busy:
        engine.runner.may_step.clear()
        await busy.speak("Hello there.")
        await engine.wait_scheduled()
        draining = asyncio.create_task(app[SESSIONS].drain())
        assert await close_frame(idle) == (1012, "the server restarts")
        await busy.speak("Hello there.", "late")
        error = await busy.receive_until("error", context_id="late")
        assert (error["code"], error["final"]) == ("shutting_down", True)
        async with connected_client(address, expect_ready=False) as late:
            assert await close_frame(late) == (1013, "the server is shutting down; connect again")
            assert late.received[0]["code"] == "shutting_down"
            assert late.received[0]["retry_after_ms"] > 0
        assert not draining.done()
        engine.runner.may_step.set()
        assert await close_frame(busy) == (1012, "the server restarts")
        await draining
        assert len(busy.messages_of("audio")) == 4
        assert len(busy.messages_of("done")) == 1


async def test_draining_does_not_wait_for_disconnected_sessions(engine: FakeEngine) -> None:
    app = await make_app(Settings(), engine.model, engine)
    async with serving(app) as address:
        async with connected_client(address) as connection:
            await connection.speak(LONG)
            await connection.receive()
            lose(connection)
        await wait_disconnected(app)
        await app[SESSIONS].drain()
        await app[SESSIONS].drain()
        assert len(app[SESSIONS]) == 0
