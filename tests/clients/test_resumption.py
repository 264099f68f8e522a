"""Lost connections on a real socket: speech resumes without a gap or repetition, or fails with a reason."""

import asyncio
from collections.abc import AsyncIterator
from itertools import islice

import pytest
import sayline
from sayline import client as client_module
from sayline.client import MAX_RETRY_S

from tests.clients.scripted import ScriptedServer


@pytest.fixture
async def scripted(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ScriptedServer]:
    monkeypatch.setattr(client_module, "MAX_RETRY_S", 0.01)
    async with ScriptedServer() as server:
        yield server


async def all_of(speech: sayline.Context) -> list[sayline.Event]:
    return [event async for event in speech]


async def all_into(heard: list[int], speech: sayline.Context) -> None:
    async for event in speech:
        heard.append(event.seq)


def check_whole(events: list[sayline.Event], words: int) -> None:
    assert [event.seq for event in events] == list(range(len(events)))
    assert [event.start_ms for event in events if isinstance(event, sayline.Frame)] == [80 * n for n in range(words)]
    assert isinstance(events[-1], sayline.Done)


@pytest.mark.parametrize("encoding", sayline.Encoding)
async def test_speech_resumes_without_gap_or_repetition(scripted: ScriptedServer, encoding: sayline.Encoding) -> None:
    async with sayline.connect(scripted.url, encoding=encoding) as server, server.context() as speech:
        speech.feed("one two three hangup four. snap five hangup six snap seven")
        check_whole(await all_of(speech), 7)
        assert len(scripted.connections) > 1
        assert (server.ready.session_id, len(scripted.sessions)) == ("session-1", 1)
    resumes = [message for message in scripted.received if message["type"] == "resume"]
    assert {message["token"] for message in resumes} == {"token-1"}
    assert scripted.paths == ["/v1/stream", *["/v1/stream?session=session-1"] * (len(scripted.paths) - 1)]


async def test_address_with_a_query_keeps_it(scripted: ScriptedServer) -> None:
    async with sayline.connect(f"{scripted.url}/v1/stream?tenant=a") as server, server.context() as speech:
        speech.feed("one hangup two")
        check_whole(await all_of(speech), 2)
    assert set(scripted.paths) == {"/v1/stream?tenant=a", "/v1/stream?tenant=a&session=session-1"}


async def test_lost_text_is_resent(scripted: ScriptedServer) -> None:
    async with sayline.connect(scripted.url) as server, server.context() as speech:
        for text in ["one two. ", "three vanish. ", "four ", "five"]:
            await speech.push(text)
        await speech.flush("all")
        await speech.end()
        events = await all_of(speech)
    check_whole(events, 6)
    assert [event.text for event in events if isinstance(event, sayline.Segment)] == [
        "one two.",
        "three vanish.",
        "four five",
    ]
    assert [event.id for event in events if isinstance(event, sayline.Flushed)] == ["all"]


async def test_messages_sent_while_disconnected_are_delivered_later(
    scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sayline.connect(scripted.url) as server, server.context() as speech, server.context() as other:
        scripted.connections[0].transport.abort()
        await speech.push("one two. ")
        await speech.end()
        await other.push("three. ")
        async with server.context() as third:
            await third.push("four.")
            await third.end()
            check_whole(await all_of(speech), 2)
            check_whole(await all_of(third), 1)
        assert (await other.cancel()).unheard_text in ("", " ", "three. ")


async def test_several_contexts_resume(scripted: ScriptedServer) -> None:
    async with sayline.connect(scripted.url) as server, server.context() as one, server.context() as two:
        one.feed("one two snap three")
        two.feed("one two three hangup four")
        check_whole(await all_of(one), 3)
        check_whole(await all_of(two), 4)


async def test_unentered_context_is_not_resumed(scripted: ScriptedServer) -> None:
    async with sayline.connect(scripted.url) as server:
        later = server.context()
        async with server.context() as speech:
            speech.feed("one hangup two")
            check_whole(await all_of(speech), 2)
        async with later:
            later.feed("three")
            check_whole(await all_of(later), 1)
    assert all(set(m["contexts"]) == {"speech-2"} for m in scripted.received if m["type"] == "resume")


async def test_cancel_while_disconnected_returns_the_heard_text(scripted: ScriptedServer) -> None:
    async with sayline.connect(scripted.url) as server, server.context() as speech:
        await speech.push("one two. ")
        while not isinstance(await anext(speech), sayline.Segment):
            pass
        scripted.connections[0].transport.abort()
        heard = await speech.cancel(130)
        assert (heard.heard_text, heard.unheard_text) == ("one two.", " ")


async def test_unrecovered_session_raises_not_recovered_and_continues_as_new(
    scripted: ScriptedServer,
) -> None:
    scripted.forgets = True
    async with sayline.connect(scripted.url) as server:
        async with server.context() as speech:
            await speech.push("one two hangup three. ")
            with pytest.raises(sayline.NotRecovered, match=r"but the session is lost: .* start its contexts anew"):
                await all_of(speech)
            with pytest.raises(sayline.NotRecovered):
                await speech.push("more")
            assert (await speech.cancel()).unheard_text.endswith("hangup three. ")
        async with server.context() as speech:
            speech.feed("one two")
            check_whole(await all_of(speech), 2)
        assert server.ready.session_id == "session-2"


async def test_server_without_resumption_is_lost_at_once(scripted: ScriptedServer) -> None:
    scripted.resume_s = 0
    heard: list[int] = []
    async with sayline.connect(scripted.url) as server, server.context() as speech, server.context() as other:
        speech.feed("one two three hangup four")
        with pytest.raises(sayline.ConnectionLost, match="connect again"):
            await all_into(heard, speech)
        with pytest.raises(sayline.ConnectionLost):
            await other.push("more")
        with pytest.raises(sayline.ConnectionLost):
            async with server.context():
                pass
        assert (await speech.cancel()).heard_text == "one two three"
    assert heard == list(range(6))
    assert len(scripted.connections) == 1


async def test_server_that_stays_away_ends_the_session(scripted: ScriptedServer) -> None:
    scripted.resume_s = 0.2
    async with sayline.connect(scripted.url) as server, server.context() as speech:
        scripted.close_with = (1013, "no more sessions")
        speech.feed("one hangup two")
        with pytest.raises(sayline.ConnectionLost, match=r"in 0\.2 s \(.*no more sessions.*\): connect again"):
            await all_of(speech)
    assert len(scripted.connections) >= 2


async def test_reconnect_honours_retry_after(scripted: ScriptedServer) -> None:
    scripted.resume_s = 0.5
    async with sayline.connect(scripted.url) as server, server.context() as speech:
        full = {"type": "error", "code": "full", "message": "no place", "final": False, "retry_after_ms": 60_000.0}
        scripted.greeting = full
        speech.feed("one hangup two")
        with pytest.raises(sayline.ConnectionLost, match=r"in 0\.5 s \(.*no place.*\): connect again"):
            await all_of(speech)
    assert len(scripted.connections) == 2


async def test_leaving_while_disconnected_is_fast(scripted: ScriptedServer) -> None:
    async with sayline.connect(scripted.url) as server:
        scripted.greeting = None
        async with server.context() as speech:
            scripted.connections[0].transport.abort()
            await scripted.connected(2)
        waiting = asyncio.create_task(speech.cancel())
        await asyncio.sleep(0)
    await waiting
    with pytest.raises(sayline.ConnectionLost, match="closed by this client"):
        await all_of(speech)


async def test_unexpected_resume_answer_is_a_protocol_error(scripted: ScriptedServer) -> None:
    async with sayline.connect(scripted.url) as server, server.context() as speech:
        await speech.push("one two. ")
        while not isinstance(await anext(speech), sayline.Segment):
            pass
        scripted.sessions["token-1"].speakers["speech-1"].taken = 100
        scripted.connections[0].transport.abort()
        with pytest.raises(sayline.ProtocolError, match="which is impossible"):
            await all_of(speech)


def test_retry_delays_are_random_below_a_doubling_limit() -> None:
    runs = [list(islice(client_module.retry_delays_s(), 12)) for _ in range(50)]
    for number, limit_s in enumerate([client_module.FIRST_RETRY_S * 2**n for n in range(12)]):
        delays = [run[number] for run in runs]
        assert 0 <= min(delays) < max(delays) <= min(limit_s, MAX_RETRY_S)
