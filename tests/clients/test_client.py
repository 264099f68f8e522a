import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from http import HTTPStatus

import pytest
import sayline
from sayline import client, handshake, inbox, messages
from sayline import context as context_module
from websockets.datastructures import Headers
from websockets.http11 import Response

from tests.clients import speaker
from tests.clients.scripted import FRAME_SAMPLES, READY, TONE, ScriptedServer, send
from tests.clients.tone import packet


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


async def frames_into(heard: list[int], speech: sayline.Context) -> None:
    """The numbers of the frames that are heard, up to the exception."""
    async for event in speech:
        if isinstance(event, sayline.Frame):
            heard.append(round(event.start_ms / 80))


async def words(*pieces: str) -> AsyncIterator[str]:
    for piece in pieces:
        await asyncio.sleep(0)
        yield piece


@pytest.mark.parametrize("encoding", sayline.Encoding)
async def test_pushed_text_yields_frames(scripted: ScriptedServer, encoding: sayline.Encoding) -> None:
    async with (
        sayline.connect(scripted.url, encoding=encoding) as server,
        server.context("angus", format="pcm") as speech,
    ):
        frames = [frame async for frame in speech.say(words("Hel", "lo the", "re. And ", "more"))]
    assert [frame.seq for frame in frames] == [1, 3, 6, 8]
    assert [frame.start_ms for frame in frames] == [0, 80, 160, 240]
    assert all(frame.pcm == TONE for frame in frames)
    assert scripted.texts() == "Hello there. And more"
    start = scripted.received[0]
    assert start == {"type": "start", "context_id": "speech-1", "voice": "angus", "format": "pcm"}


async def test_session_has_the_server_description(scripted: ScriptedServer) -> None:
    async with sayline.connect(scripted.url) as server:
        assert (server.ready.model, server.ready.voices) == ("tone", ("clara", "angus"))


async def test_text_may_be_a_single_string(scripted: ScriptedServer) -> None:
    text = "word " * 3000
    async with sayline.connect(scripted.url) as server, server.context() as speech:
        assert len([frame async for frame in speech.say(text)]) == 3000
    assert scripted.texts() == text
    assert max(len(m["text"]) for m in scripted.received if m["type"] == "text") == 4096


async def test_opus_audio_is_decoded(scripted: ScriptedServer) -> None:
    async with sayline.connect(scripted.url) as server, server.context() as speech:
        frames = [frame async for frame in speech.say("one two three four")]
    assert scripted.received[0]["format"] == "opus"
    assert [len(frame.pcm) for frame in frames] == [2 * (1920 - 156), *[2 * 1920] * 3]
    assert [frame.start_ms for frame in frames] == [0, 80, 160, 240]
    assert max(memoryview(frames[-1].pcm).cast("h")) == pytest.approx(9000, rel=0.05)
    with pytest.raises(sayline.SaylineError, match=r'context\(format="opus"\)'):
        assert frames[0].packet


async def test_requested_opus_packets_are_included(scripted: ScriptedServer) -> None:
    async with sayline.connect(scripted.url) as server, server.context(format="opus") as speech:
        frames = [frame async for frame in speech.say("one two")]
    assert [frame.packet for frame in frames] == [packet(0), packet(1)]
    assert len(frames[1].pcm) == len(TONE)


async def test_pcm_is_requested_without_libopus(scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (client, inbox):
        monkeypatch.setattr(module, "load_libopus", lambda: None)
    async with sayline.connect(scripted.url) as server:
        async with server.context() as speech:
            assert [frame.pcm async for frame in speech.say("one")] == [TONE]
        async with server.context(format="opus") as speech:
            [frame] = [frame async for frame in speech.say("one")]
    assert frame.packet == packet(0)
    with pytest.raises(sayline.SaylineError, match="needs libopus"):
        assert frame.pcm


async def test_invalid_packet_fails_only_its_context(scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async with sayline.connect(scripted.url) as server, server.context() as good:
        async with server.context() as bad:
            monkeypatch.setattr(speaker, "packet", lambda number: b"noise" if number == 1 else packet(number))
            await bad.push("one two three. ")
            heard: list[int] = []
            with pytest.raises(sayline.ProtocolError, match="no Opus packet"):
                await frames_into(heard, bad)
            with pytest.raises(sayline.ProtocolError):
                await anext(bad)
        assert heard == [0]
        await scripted.until_last("cancel")
        assert len([frame async for frame in good.say("one")]) == 1


async def test_events_are_ordered_and_end_with_done(scripted: ScriptedServer) -> None:
    async with sayline.connect(scripted.url) as server, server.context() as speech:
        await speech.push("Hello there. How ")
        await speech.push("are you")
        await speech.end()
        events = [event async for event in speech]
    kinds = [type(event).__name__ for event in events]
    spoken = ["Word", "Frame"]
    assert kinds == [*spoken * 2, "Segment", *spoken * 3, "Segment", "Done"]
    assert events[2] == sayline.Word("speech-1", 2, "there.", 6, 12, "there.", 80, 160, True)
    assert events[4] == sayline.Segment("speech-1", 4, "Hello there.", 0, 12, 0, 160)
    assert events[-1] == sayline.Done("speech-1", 12, 400)


async def test_speech_arrives_while_text_is_being_written(scripted: ScriptedServer) -> None:
    heard = asyncio.Event()

    async def written() -> AsyncIterator[str]:
        yield "Hello there. "
        await heard.wait()
        yield "Now the rest."

    async with sayline.connect(scripted.url) as server, server.context() as speech:
        count = 0
        async for _ in speech.say(written()):
            heard.set()
            count += 1
    assert count == 5


async def test_flush_speaks_immediately(scripted: ScriptedServer) -> None:
    async with sayline.connect(scripted.url) as server, server.context() as speech:
        await speech.push("no full stop")
        await speech.flush("first")
        await speech.flush()
        events = [await anext(speech) for _ in range(9)]
    assert events[6:] == [
        sayline.Segment("speech-1", 6, "no full stop", 0, 12, 0, 240),
        sayline.Flushed("speech-1", 7, 240, "first"),
        sayline.Flushed("speech-1", 8, 240),
    ]


async def test_context_options_are_sent_to_the_server(scripted: ScriptedServer) -> None:
    wishes = {
        "mode": "verbatim", "clean_up": False, "language": "de", "speed": 1.5, "seed": 7, "temperature": 0.5,
        "decode_steps": 2, "max_delay_ms": 300.0, "max_lead_ms": 2000.0, "lookahead_words": 2,
        "lexicons": ["names"], "wait": False, "cache": True,
    }  # fmt: skip
    async with sayline.connect(scripted.url) as server, server.context("angus", format="opus", **wishes) as speech:  # type: ignore[arg-type]
        await speech.cancel()
    start = {"type": "start", "context_id": "speech-1", "voice": "angus", "format": "opus"}
    assert scripted.received[0] == start | wishes


async def test_contexts_are_independent(scripted: ScriptedServer) -> None:
    async with sayline.connect(scripted.url) as server, server.context() as slow, server.context() as fast:
        await slow.push("word " * 500 + "end. ")
        await slow.end()
        assert len([frame async for frame in fast.say("two words")]) == 2
        assert len([event async for event in slow]) == 2 * 501 + 2


async def test_cancel_stops_speech_and_returns_the_heard_text(scripted: ScriptedServer) -> None:
    async with sayline.connect(scripted.url) as server, server.context() as speech:
        await speech.push("one two three. ")
        while not isinstance(await anext(speech), sayline.Segment):
            pass
        scripted.hold.clear()
        await speech.push("four five. ")
        heard = await speech.cancel(130)
        assert heard == sayline.Cancelled("speech-1", 7, 240, 320, 7, "one two", " three. four five. ")
        assert [event async for event in speech] == [heard]
        assert await speech.cancel(200) == heard
        with pytest.raises(sayline.SaylineError, match="open another context"):
            await speech.push("more")


async def test_cancel_after_the_end_computes_the_heard_text_from_words(scripted: ScriptedServer) -> None:
    async with sayline.connect(scripted.url) as server, server.context() as speech:
        await speech.push("one two three. ")
        await speech.end()
        while not isinstance(await anext(speech), sayline.Done):
            pass
        assert await speech.cancel(130) == sayline.Cancelled("speech-1", 7, 240, 240, 7, "one two", " three. ")
        assert (await speech.cancel()).heard_text == "one two three."
        await speech.ack(50)
        assert (await speech.cancel()).heard_text == "one"
        assert scripted.received[-1]["type"] == "end"


async def test_unread_frames_are_dropped_by_cancel(scripted: ScriptedServer) -> None:
    async with sayline.connect(scripted.url) as server, server.context() as over, server.context() as open_still:
        await over.push("one two three. ")
        await over.end()
        await open_still.push("one two three. ")
        async with server.context() as other:
            assert [frame async for frame in other.say("when this is here, so is that.")]
        for speech, last in (over, sayline.Done), (open_still, sayline.Cancelled):
            await speech.cancel()
            kinds = [type(event) async for event in speech]
            assert kinds == [*[sayline.Word] * 3, sayline.Segment, last]


async def test_cancel_stops_the_text_source(scripted: ScriptedServer) -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[str]:
        try:
            while True:
                yield "word. "
                await asyncio.sleep(0)
        finally:
            closed.set()

    async with sayline.connect(scripted.url) as server, server.context() as speech:
        async with aclosing(speech.say(endless())) as frames:
            async for frame in frames:
                if frame.start_ms == 80:
                    await speech.cancel()
        assert closed.is_set()


async def test_leaving_a_context_cancels_it(scripted: ScriptedServer) -> None:
    async with sayline.connect(scripted.url) as server:
        async with server.context() as speech:
            await speech.push("one two three. ")
        await scripted.until_last("cancel")
        async with server.context() as speech:
            assert len([frame async for frame in speech.say("still here")]) == 2


async def test_ended_context_rejects_text(scripted: ScriptedServer) -> None:
    async with sayline.connect(scripted.url) as server:
        speech = server.context()
        assert await speech.cancel() == sayline.Cancelled("speech-1", -1, 0, 0, 0, "", "")
        with pytest.raises(sayline.SaylineError, match="async with"):
            await speech.push("too early")
        async with speech:
            await speech.end()
            with pytest.raises(sayline.SaylineError, match=r"cannot send text: .*; open another context"):
                await speech.push("too late")
    with pytest.raises(TypeError, match="not NoneType"):
        await speech.push(None)  # type: ignore[arg-type]


async def test_failed_context_yields_its_frames_first_and_affects_no_other(scripted: ScriptedServer) -> None:
    async with sayline.connect(scripted.url) as server, server.context() as good:
        heard: list[int] = []
        async with server.context() as bad:
            bad.feed("one explode two")
            with pytest.raises(sayline.ContextFailed, match="internal") as failure:
                await frames_into(heard, bad)
            with pytest.raises(sayline.ContextFailed):
                await bad.push("more")
        assert (failure.value.code, heard) == ("internal", [0])
        assert len([frame async for frame in good.say("one two")]) == 2


async def test_unknown_voice_is_named(scripted: ScriptedServer) -> None:
    async with sayline.connect(scripted.url) as server, server.context(voice="nobody") as speech:
        with pytest.raises(sayline.UnknownVoice, match="there are: clara, angus"):
            await anext(aiter(speech.say("Hello.")))


@pytest.mark.parametrize("encoding", sayline.Encoding)
async def test_queued_context_reports_its_place_and_then_speaks(
    scripted: ScriptedServer, encoding: sayline.Encoding
) -> None:
    scripted.places = [2, 1]
    async with sayline.connect(scripted.url, encoding=encoding) as server, server.context() as speech:
        scripted.hold.clear()
        assert [await anext(speech), await anext(speech)] == [
            sayline.Queued("speech-1", 0, 2),
            sayline.Queued("speech-1", 1, 1),
        ]
        assert speech.place == 1
        scripted.hold.set()
        await speech.push("one. ")
        assert [type(await anext(speech)) for _ in range(2)] == [sayline.Word, sayline.Frame]
        assert speech.place is None


async def test_context_without_wait_fails_with_retry_after(scripted: ScriptedServer) -> None:
    scripted.places = [1]
    async with sayline.connect(scripted.url) as server, server.context(wait=False) as speech:
        with pytest.raises(sayline.Full) as failure:
            await anext(speech)
    assert (failure.value.code, failure.value.retry_after_ms) == ("full", 1500)
    assert scripted.received[0]["wait"] is False


async def test_acks_are_sent_until_the_context_is_over(scripted: ScriptedServer) -> None:
    async with sayline.connect(scripted.url) as server:
        speech = server.context()
        await speech.ack(0)  # before it begins: to nobody
        async with speech:
            await speech.push("one two. ")
            await speech.ack(120.5)
            await speech.end()
            await speech.ack(160)
            assert [event async for event in speech][-1] == sayline.Done("speech-1", 5, 160)
            await speech.ack(160)
            await scripted.until_last("ack")
    told = [message["played_ms"] for message in scripted.received if message["type"] == "ack"]
    assert told == [120.5, 160]


async def test_rejected_text_fails_the_context(scripted: ScriptedServer) -> None:
    async with sayline.connect(scripted.url) as server:
        async with server.context() as speech:
            await speech.push("one refuse two. ")
            with pytest.raises(sayline.Limited, match="too much text") as failure:
                await frames_into([], speech)
        assert failure.value.code == "text_limit"
        await scripted.until_last("cancel")


async def test_error_of_the_text_source_is_raised_to_the_reader(scripted: ScriptedServer) -> None:
    async def broken() -> AsyncIterator[str]:
        yield "Hello there. "
        raise ZeroDivisionError

    async with sayline.connect(scripted.url) as server:
        async with server.context() as speech:
            with pytest.raises(ZeroDivisionError):
                async for _ in speech.say(broken()):
                    pass
        await scripted.until_last("cancel")


async def test_cancelled_text_source_ends_the_speech(scripted: ScriptedServer) -> None:
    async def cancelled() -> AsyncIterator[str]:
        yield "Hello there. "
        raise asyncio.CancelledError

    async with sayline.connect(scripted.url) as server, server.context() as speech:
        with pytest.raises(sayline.SaylineError, match="before it ended"):
            async for _ in speech.say(cancelled()):
                pass


async def test_server_close_reason_is_raised(scripted: ScriptedServer) -> None:
    async with sayline.connect(scripted.url) as server, server.context() as speech:
        await scripted.connections[0].close(1012, "restarting")
        with pytest.raises(sayline.ConnectionLost, match="restarting"):
            await anext(speech)


async def test_session_error_is_part_of_connection_lost(scripted: ScriptedServer) -> None:
    async with sayline.connect(scripted.url) as server, server.context() as speech:
        complaint = {"type": "error", "code": "overloaded", "message": "too many contexts", "final": False}
        complaint["retry_after_ms"] = 1500.0
        await send(scripted.connections[0], complaint)
        await scripted.connections[0].close(1008)
        with pytest.raises(sayline.ConnectionLost, match="too many contexts") as loss:
            await anext(speech)
    assert (loss.value.close_code, loss.value.retry_after_ms) == (1008, 1500)


async def test_malformed_frame_ends_the_session(scripted: ScriptedServer) -> None:
    async with sayline.connect(scripted.url) as server, server.context() as speech:
        with pytest.raises(sayline.ProtocolError, match=r"not sayline\.v1\.msgpack"):
            async for _ in speech.say("one damage two"):
                pass
        await scripted.connections[0].wait_closed()
    assert scripted.connections[0].close_code == 1002


async def test_unknown_messages_are_ignored(scripted: ScriptedServer) -> None:
    async with sayline.connect(scripted.url) as server, server.context() as speech:
        await send(scripted.connections[0], {"type": "viseme", "context_id": "speech-1", "shape": "o"})
        await send(scripted.connections[0], {"type": "done", "context_id": "of nobody", "seq": 0, "duration_ms": 0})
        await send(scripted.connections[0], READY)
        assert len([frame async for frame in speech.say("one two")]) == 2


async def test_duplicate_event_is_dropped(scripted: ScriptedServer) -> None:
    async with sayline.connect(scripted.url) as server, server.context() as speech:
        await speech.push("one two. ")
        events = [await anext(speech) for _ in range(5)]
        for said in scripted.sessions["token-1"].speakers["speech-1"].said:
            await send(scripted.connections[0], said)
        await speech.end()
        events += [event async for event in speech]
        assert speech.duration_ms == 160
    assert [event.seq for event in events] == list(range(6))


async def test_rejection_after_cancel_is_ignored(scripted: ScriptedServer) -> None:
    async with sayline.connect(scripted.url) as server, server.context() as speech:
        scripted.hold.clear()
        await speech.push("one refuse two. ")
        refused = {"code": "text_limit", "message": "too much", "final": False, "context_id": "speech-1"}
        cancelling = asyncio.create_task(speech.cancel())
        await asyncio.sleep(0)
        speech.receive(messages.Error(**refused))  # type: ignore[arg-type]
        assert (await cancelling).unheard_text == "one refuse two. "
        assert [type(event) async for event in speech] == [sayline.Cancelled]


async def test_push_waits_while_too_much_text_is_pending(
    scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context_module, "MAX_PENDING_CHARS", 25)
    scripted.hold.clear()
    async with sayline.connect(scripted.url) as server, server.context() as speech:
        speech.feed(words(*["seven letters. "] * 20))
        await scripted.until(lambda received: len(received) == 3)
        assert len(scripted.texts()) == 2 * len("seven letters. ")
        scripted.hold.set()
        assert len([event async for event in speech if isinstance(event, sayline.Frame)]) == 40


async def test_waiting_push_ends_with_the_session(scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context_module, "MAX_PENDING_CHARS", 5)
    scripted.hold.clear()
    async with sayline.connect(scripted.url) as server, server.context() as speech:
        await speech.push("seven letters. ")
        waiting = asyncio.create_task(speech.push("more. "))
        await scripted.until(lambda received: len(received) == 2)
        await scripted.connections[0].close(1012)
        with pytest.raises(sayline.ConnectionLost):
            await waiting


async def test_context_that_is_never_read_fails_as_slow_consumer(
    scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "MAX_BUFFERED_MS", 400)
    async with sayline.connect(scripted.url) as server, server.context() as idle, server.context() as other:
        await idle.push("word " * 20 + "end. ")
        assert len([frame async for frame in other.say("one two")]) == 2
        heard: list[int] = []
        with pytest.raises(sayline.SlowConsumer, match="read events faster"):
            await frames_into(heard, idle)
    assert heard == [0, 1, 2, 3, 4, 5]


async def test_push_to_a_lost_context_is_discarded(scripted: ScriptedServer) -> None:
    async with sayline.connect(scripted.url) as server, server.context() as speech:
        await scripted.until_last("start")
        async with server._send_lock:  # as while another connection is looked for
            pushing = asyncio.create_task(speech.push("one. "))
            await asyncio.sleep(0)
            server._fail_contexts(sayline.NotRecovered("it is there again, but knows nothing"), ["speech-1"])
        await pushing
        with pytest.raises(sayline.NotRecovered):
            await anext(speech)
    assert scripted.texts() == ""


async def test_missing_server_error_says_how_to_start_one(unused_tcp_port: int) -> None:
    url = f"ws://127.0.0.1:{unused_tcp_port}"
    with pytest.raises(sayline.Refused, match=f"no server at {url}: start one with `sayline serve`"):
        async with sayline.connect(url):
            pass


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (HTTPStatus.UNAUTHORIZED, "requires an API key: pass api_key="),
        (HTTPStatus.NOT_FOUND, "not Sayline"),
        (HTTPStatus.SERVICE_UNAVAILABLE, "try again in a moment"),
        (HTTPStatus.IM_A_TEAPOT, "HTTP 418: no"),
    ],
)
async def test_refused_error_says_what_to_do(scripted: ScriptedServer, status: HTTPStatus, advice: str) -> None:
    scripted.refuse_with = status
    with pytest.raises(sayline.Refused, match=advice):
        async with sayline.connect(scripted.url):
            pass


def test_retry_after_header_is_parsed() -> None:
    response = Response(503, "Service Unavailable", Headers({"Retry-After": "7"}), b"")
    refused = handshake.refusal("ws://a", response)
    assert (refused.retry_after_ms, str(refused)[-16:]) == (7000, "try again in 7 s")


async def test_api_key_is_sent(scripted: ScriptedServer) -> None:
    scripted.api_key = "secret"
    with pytest.raises(sayline.Refused, match="API key"):
        async with sayline.connect(scripted.url, api_key="wrong"):
            pass
    async with sayline.connect(scripted.url, api_key="secret") as server:
        assert server.ready.model == "tone"


@pytest.mark.parametrize("is_async", [False, True])
async def test_key_is_asked_for_again_for_each_connection(scripted: ScriptedServer, is_async: bool) -> None:
    asked: list[str] = []

    def new_key() -> str:
        asked.append(f"token{len(asked)}")
        scripted.api_key = asked[-1]  # the one before has expired
        return asked[-1]

    async def fetch_key() -> str:
        return new_key()

    async with (
        sayline.connect(scripted.url, fetch_key if is_async else new_key) as server,
        server.context() as speech,
    ):
        frames = [frame async for frame in speech.say("one hangup two")]
    assert (len(frames), len(asked)) == (2, 2)


async def test_address_and_key_default_to_the_environment(
    scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted.api_key = "secret"
    monkeypatch.setenv("SAYLINE_URL", scripted.url)
    monkeypatch.setenv("SAYLINE_API_KEY", "secret")
    async with sayline.connect() as server:
        assert (server.ready.model, server.url) == ("tone", scripted.url)
    monkeypatch.delenv("SAYLINE_URL")
    assert sayline.connect().url == "ws://127.0.0.1:8000"


async def test_text_may_be_any_stream(scripted: ScriptedServer) -> None:
    class Delta:
        type = "content.delta"
        delta = "Hello there. "

    async with sayline.connect(scripted.url) as server:
        async with server.context() as speech:
            assert len([frame async for frame in speech.say(Delta() for _ in range(3))]) == 6
        async with server.context() as speech:
            speech.feed(7)  # type: ignore[arg-type]
            with pytest.raises(TypeError, match="not int"):
                await anext(speech)


async def test_server_with_another_protocol_is_refused(scripted: ScriptedServer) -> None:
    scripted.subprotocols = ()  # type: ignore[assignment]
    with pytest.raises(sayline.Refused, match=r"does not support sayline\.v1\.msgpack"):
        async with sayline.connect(scripted.url):
            pass


@pytest.mark.parametrize(
    ("greeting", "what"),
    [
        (None, "sent no ready message"),
        ({"type": "error", "code": "full", "message": "the server is full", "final": False}, "the server is full"),
        ({"type": "done", "context_id": "a", "seq": 0, "duration_ms": 0}, "sent done instead of ready"),
    ],
)
async def test_session_starts_with_ready(scripted: ScriptedServer, greeting: dict[str, object], what: str) -> None:
    scripted.greeting = greeting
    with pytest.raises(sayline.SaylineError, match=what):
        async with sayline.connect(scripted.url, timeout_s=0.3):
            pass


async def test_immediate_close_is_a_refusal(scripted: ScriptedServer) -> None:
    scripted.close_with = (1013, "come back later")
    with pytest.raises(sayline.Refused, match="come back later"):
        async with sayline.connect(scripted.url):
            pass


async def test_non_http_server_is_refused() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ready\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        with pytest.raises(sayline.Refused, match="check the address"):
            async with sayline.connect(f"ws://127.0.0.1:{port}"):
                pass


async def test_unresponsive_server_is_refused() -> None:
    left = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        left.set()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        with pytest.raises(sayline.Refused, match=r"no answer .* within 0\.2 s"):
            async with sayline.connect(f"ws://127.0.0.1:{port}", timeout_s=0.2):
                pass
        await left.wait()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("ws://127.0.0.1:8000", "ws://127.0.0.1:8000/v1/stream"),
        ("http://localhost:8000/", "ws://localhost:8000/v1/stream"),
        ("https://voice.example", "wss://voice.example/v1/stream"),
        ("wss://voice.example/behind/a/proxy?key=1", "wss://voice.example/behind/a/proxy?key=1"),
    ],
)
def test_address_may_be_the_servers_or_the_pages(written: str, meant: str) -> None:
    assert handshake.stream_url(written) == meant


@pytest.mark.parametrize(
    "address",
    ["", "127.0.0.1:8000", "ws://user@127.0.0.1", "ftp://voice.example", "ws://", "ws://host:port", "ws://[1"],
)
async def test_invalid_address_error_shows_the_form(address: str) -> None:
    with pytest.raises(sayline.Refused, match="use the form ws://"):
        async with sayline.connect(address):
            pass


def test_loopback_bypasses_the_proxy() -> None:
    assert handshake.is_loopback("ws://127.0.0.1:8000/")
    assert handshake.is_loopback("ws://[::1]:8000/")
    assert handshake.is_loopback("ws://localhost/")
    assert not handshake.is_loopback("wss://voice.example/")


def test_scripted_frames_are_80_ms_long() -> None:
    assert len(TONE) == 2 * FRAME_SAMPLES
    assert json.loads(json.dumps(READY))["frame_ms"] == FRAME_SAMPLES / 24
