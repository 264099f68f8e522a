import asyncio
import json
from contextlib import suppress

import msgpack
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

from sayline_tts.engine.audio.recording import to_int16
from sayline_tts.server.access.limits import Caller, Limits
from sayline_tts.server.app import READY, SESSIONS, make_app
from sayline_tts.server.settings import Settings
from sayline_tts.server.websocket.protocol import Ready
from tests.server.fakes import FRAMES_PER_WORD, FakeEngine, frame
from tests.server.peer import Peer, is_last, peer, running

ENCODINGS = pytest.mark.parametrize("encoding", ["json", "msgpack"])
ENDLESS = "word " * 10_000  # far more than any lead


@ENCODINGS
async def test_the_server_says_first_what_it_is(address: str, encoding: str) -> None:
    async with peer(address, encoding, greet=False) as one:
        ready = await one.hear()
    assert ready == {
        "type": "ready",
        "protocol": "sayline.v1",
        "server": ready["server"],
        "model": "fake",
        "voices": ["ann", "bob", "eve"],
        "default_voice": "ann",
        "sample_rate_hz": 24_000,
        "frame_ms": 80.0,
        "opus_pre_skip": ready["opus_pre_skip"],
        "session_id": ready["session_id"],
        "token": ready["token"],
        "resume_s": 30.0,
    }
    assert len(ready["token"]) >= 20
    assert ready["token"] != ready["session_id"]
    assert ready["server"].startswith("sayline/")
    assert 0 < ready["opus_pre_skip"] < 1920


@ENCODINGS
async def test_text_in_speech_out(address: str, encoding: str) -> None:
    async with peer(address, encoding) as one:
        await one.say("Hello there. How are you?", format="pcm", seed=7, voice="bob", temperature=0.5, colour="green")
        await one.hear_all()
    count = 5 * FRAMES_PER_WORD
    expected = to_int16(np.concatenate([frame(7, number) for number in range(count)]))
    assert (one.pcm() == expected).all()
    assert [message["seq"] for message in one.heard] == list(range(len(one.heard)))
    assert [audio["start_sample"] for audio in one.of("audio")] == [1920 * number for number in range(count)]
    assert [(part["text"], part["start_ms"], part["end_ms"]) for part in one.of("segment")] == [
        ("Hello there.", 0, 320),
        ("How are you?", 320, 800),
    ]
    assert one.heard[-1] == {"type": "done", "context_id": "a", "seq": len(one.heard) - 1, "duration_ms": 800}


async def test_a_segment_comes_behind_its_audio_and_before_the_next(address: str) -> None:
    async with peer(address) as one:
        await one.say("Hello there. How are you?")
        await one.hear_all()
    told = [message["type"] for message in one.heard if message["type"] != "word"]
    assert told == ["audio"] * 4 + ["segment"] + ["audio"] * 6 + ["segment", "done"]


async def test_speech_begins_before_the_text_ends(address: str) -> None:
    async with peer(address) as one:
        await one.send("start")
        await one.send("text", text="Hello there. And")
        assert (await one.hear_until("segment"))["text"] == "Hello there."
        await one.send("text", text=" more")
        await one.send("end")
        await one.hear_all()
    assert [part["text"] for part in one.of("segment")] == ["Hello there.", "And more"]


async def test_flush_speaks_what_waits(address: str) -> None:
    async with peer(address) as one:
        await one.send("start")
        await one.send("flush")  # of nothing
        assert (await one.hear())["at_ms"] == 0
        await one.send("text", text="and then")
        await one.send("flush", id="then")
        assert (await one.hear_until("segment"))["text"] == "and then"
        flushed = await one.hear()
        assert (flushed["type"], flushed["at_ms"], flushed["id"]) == ("flushed", 320, "then")
        await one.send("end")
        await one.hear_all()
    assert "id" not in one.of("flushed")[0]
    assert (one.heard[-1]["type"], one.heard[-1]["duration_ms"]) == ("done", 320)


@ENCODINGS
async def test_contexts_on_one_socket_do_not_mix(address: str, encoding: str) -> None:
    async with peer(address, encoding) as one:
        for seed, name in enumerate("abc"):
            await one.send("start", name, format="pcm", seed=seed)
        for word in ("one ", "two ", "three. "):
            for name in "abc":
                await one.send("text", name, text=word)
        for name in "cab":
            await one.send("end", name)
        await one.hear_all(*"abc")
    for seed, name in enumerate("abc"):
        assert (one.pcm(name) == to_int16(np.concatenate([frame(seed, n) for n in range(6)]))).all()
        assert sum(is_last(message) for message in one.heard if message["context_id"] == name) == 1


async def test_an_id_can_be_used_again_after_its_last_event(address: str) -> None:
    async with peer(address) as one:
        for _ in range(3):
            await one.say("Once more.")
            await one.hear_all()
    assert [audio["start_sample"] for audio in one.of("audio")] == [0, 1920, 3840, 5760] * 3
    assert sum(message["seq"] == 0 for message in one.heard) == 3


async def test_after_cancelled_comes_nothing_and_the_slot_serves_the_next(address: str, engine: FakeEngine) -> None:
    async with peer(address) as one:
        for _ in range(5):
            await one.say(ENDLESS, seed=1, max_lead_ms=400)
            await one.hear_until("audio")
            await one.send("cancel")
            await one.hear_until("cancelled")
        frames = len(one.of("audio"))
        await one.say("Hello there.", "b", format="pcm", seed=3)
        await one.hear_all("b")
    assert (one.pcm("b") == to_int16(np.concatenate([frame(3, number) for number in range(4)]))).all()
    assert len(one.of("audio")) == frames
    assert len(one.of("cancelled")) == 5
    assert not one.of("done")
    assert engine.running == 0


async def test_cancelled_says_how_much_was_sent(address: str) -> None:
    async with peer(address) as one:
        await one.say(ENDLESS, max_lead_ms=800)
        await one.hear_until("audio")
        await one.send("cancel")
        cancelled = await one.hear_until("cancelled")
    assert cancelled["duration_ms"] == 80 * len(one.of("audio"))


async def test_a_context_can_be_cancelled_before_it_speaks(address: str) -> None:
    async with peer(address) as one:
        await one.send("start")
        await one.send("cancel")
        await one.send("cancel")
        await one.hear_until("cancelled")
        await still_speaks(one)
    assert not one.of("error")


async def still_speaks(one: Peer) -> None:
    await one.say("All is well.", "healthy")
    await one.hear_all("healthy")
    assert len(one.of("audio", "healthy")) == 6


UNKNOWN = {"type": "text", "context_id": "nobody", "text": "x"}
REFUSED = [
    ("not JSON", "nope", "bad_message", "not JSON", None),
    ("an empty message", "", "bad_message", "not JSON", None),
    ("100,000 nested arrays", "[" * 60_000, "bad_message", "array", None),
    (
        "a deep array in an unknown field",
        '{"type":"end","context_id":"a","x":' + "[" * 60_000,
        "bad_message",
        "deep",
        None,
    ),
    ("an array", "[]", "bad_message", "array", None),
    ("no type", '{"context_id":"a"}', "bad_message", "type", "a"),
    ("an unknown type", '{"type":"sing","context_id":"a"}', "unknown_type", "'sing'; there are: start, text", "a"),
    ("a type that is no text", '{"type":5}', "bad_message", "type", None),
    ("a missing field", '{"type":"text","context_id":"a"}', "bad_message", "text", "a"),
    ("a wrong type", '{"type":"text","context_id":"a","text":5}', "bad_message", "Expected `str`", "a"),
    ("an empty id", '{"type":"start","context_id":""}', "bad_message", "1 to 64", None),
    ("a long id", '{"type":"start","context_id":"' + "ü" * 33 + '"}', "bad_message", "66 bytes", None),
    ("half a character", '{"type":"text","context_id":"a","text":"\\ud83d"}', "bad_message", "half a character", None),
    ("an unknown format", '{"type":"start","context_id":"a","format":"mp3"}', "bad_message", "mp3", "a"),
    ("a negative seed", '{"type":"start","context_id":"a","seed":-1}', "bad_message", "seed", "a"),
    ("a hot temperature", '{"type":"start","context_id":"a","temperature":11}', "bad_message", "temperature", "a"),
    ("a negative time", '{"type":"ack","context_id":"a","played_ms":-1}', "bad_message", "played_ms", "a"),
    ("a context that is not there", json.dumps(UNKNOWN), "unknown_context", "'nobody'", "nobody"),
    (
        "1 MB of text",
        '{"type":"text","context_id":"a","text":"' + "word " * 200_000 + '"}',
        "message_too_big",
        "pieces",
        None,
    ),
    ("a binary frame", b"\x00", "bad_message", "text frames", None),
]


@pytest.mark.parametrize(
    ("raw", "code", "told", "context_id"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
async def test_a_bad_message_is_refused_and_nothing_else_happens(
    address: str, raw: str | bytes, code: str, told: str, context_id: str | None
) -> None:
    async with peer(address) as one, peer(address) as other:
        await other.send("start", "healthy")
        await one.socket.send(raw)
        error = await one.hear()
        await still_speaks(one)
        await other.send("text", "healthy", text="All is well.")
        await other.send("end", "healthy")
        await other.hear_all("healthy")
    assert error["type"] == "error"
    assert error["code"] == code
    assert told in error["message"]
    assert error.get("context_id") == context_id
    assert error["final"] is ("start" in str(raw) and context_id is not None)
    assert len(other.of("audio", "healthy")) == 6


@pytest.mark.parametrize(
    "raw", [b"", b"\xc1", b"\x91" * 60_000, b"\x81\xa1x" + b"\x91" * 60_000, msgpack.packb({"type": "text"}), "text"]
)
async def test_bad_msgpack_is_refused_and_nothing_else_happens(address: str, raw: str | bytes) -> None:
    async with peer(address, "msgpack") as one:
        await one.socket.send(raw)
        error = await one.hear()
        assert (error["code"], error["final"]) == ("bad_message", False)
        await still_speaks(one)


@pytest.mark.parametrize("text", ["", "   ", "\n\t", "\x00\x01\x1b\x7f", "🙂🎉👩‍👩‍👧", "... -- !!", "\u200b\u2060"])
async def test_a_text_without_a_word_ends_in_an_error(address: str, text: str) -> None:
    async with peer(address) as one:
        await one.say(text)
        error = await one.hear()
        assert (error["code"], error["context_id"], error["final"]) == ("bad_text", "a", True)
        assert "send some words" in error["message"]
        await still_speaks(one)


async def test_a_context_without_any_text_ends_in_an_error(address: str) -> None:
    async with peer(address) as one:
        await one.send("start")
        await one.send("end")
        assert (await one.hear())["code"] == "bad_text"


async def test_what_cannot_be_said_is_left_out_of_what_can(address: str) -> None:
    async with peer(address) as one:
        await one.say("Hello\x00 there 🙂. ")
        await one.hear_all()
    assert one.of("segment")[0]["text"].startswith("Hello\x00 there")  # as it was written


async def test_an_unknown_voice_ends_its_context_alone(address: str) -> None:
    async with peer(address) as one:
        await one.say("Hello.", voice="../../etc/passwd")
        error = await one.hear_until("error")
        assert (error["code"], error["final"]) == ("unknown_voice", True)
        assert "there are: ann, bob, eve" in error["message"]
        await still_speaks(one)


async def test_a_voice_that_cannot_be_had_ends_its_context_alone(address: str) -> None:
    async with peer(address) as one:
        await one.send("start", voice="eve")
        error = await one.hear_until("error")
        assert (error["code"], error["final"]) == ("hub_unreachable", True)
        await still_speaks(one)


async def test_starting_twice_leaves_the_first_alone(address: str) -> None:
    async with peer(address) as one:
        await one.send("start")
        await one.send("start")
        error = await one.hear()
        assert (error["code"], error["context_id"], error["final"]) == ("context_exists", "a", False)
        await one.socket.send('{"type":"start","context_id":"a","seed":"x"}')
        assert (await one.hear())["final"] is False
        await one.send("text", text="Hello there.")
        await one.send("end")
        await one.hear_all()
    assert len(one.of("audio")) == 4


async def test_text_after_the_end_is_refused_and_the_rest_is_spoken(address: str, engine: FakeEngine) -> None:
    async with peer(address) as one:
        engine.runner.may_step.clear()
        await one.say("Hello there.")
        await one.send("flush")
        await one.send("end")
        await one.send("text", text="Too late.")
        error = await one.hear_until("error")
        engine.runner.may_step.set()
        await one.hear_all()
    assert (error["code"], error["final"]) == ("context_ended", False)
    assert [part["text"] for part in one.of("segment")] == ["Hello there."]


async def test_a_session_has_so_many_contexts(address: str) -> None:
    async with peer(address) as one:
        for number in range(17):
            await one.send("start", f"c{number}")
        error = await one.hear()
        assert (error["code"], error["context_id"], error["final"]) == ("too_many_contexts", "c16", True)
        await one.send("cancel", "c0")
        await one.hear_until("cancelled")
        await still_speaks(one)


async def test_a_context_takes_so_much_text(address: str, engine: FakeEngine) -> None:
    engine.runner.may_step.clear()
    async with peer(address) as one:
        await one.send("start")
        for _ in range(3):
            await one.send("text", text="word " * 8_000)
        error = await one.hear_until("error")
        assert (error["code"], error["context_id"], error["final"]) == ("text_limit", "a", False)
        engine.runner.may_step.set()
        await still_speaks(one)


async def test_a_client_that_vanishes_frees_its_slots(engine: FakeEngine) -> None:
    app = await make_app(Settings.load(resume_s=0), engine.model, engine)
    async with running(app) as address, peer(address) as other:
        await other.send("start", "healthy")
        async with peer(address) as one:
            for name in "abc":
                await one.say(ENDLESS, name)
            for name in "abc":
                await one.hear_until("audio", context_id=name)
            assert engine.running == 4
            one.socket.transport.abort()
        await engine.until(lambda: engine.running == 1)
        await other.send("text", "healthy", text="All is well.")
        await other.send("end", "healthy")
        await other.hear_all("healthy")


async def test_a_failed_step_ends_who_was_in_it_and_nobody_else(
    address: str, engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    async with peer(address) as one, peer(address) as other:
        await other.send("start", "healthy")
        engine.runner.fault = RuntimeError("out of memory")
        await one.say("Hello there.")
        error = await one.hear()
        assert error == {
            "type": "error",
            "code": "internal",
            "message": "internal error",
            "final": True,
            "context_id": "a",
            "seq": 0,
        }
        await other.send("text", "healthy", text="All is well.")
        await other.send("end", "healthy")
        await other.hear_all("healthy")
        await still_speaks(one)
    assert "out of memory" in caplog.text


async def test_a_message_beyond_all_measure_closes_the_connection(address: str) -> None:
    async with peer(address) as one:
        with suppress(ConnectionClosed):
            await one.socket.send("x" * 3_000_000)
        with pytest.raises(ConnectionClosed):
            await one.hear()
    async with peer(address) as one:
        await still_speaks(one)


async def test_a_peer_without_a_sign_of_life_is_dropped(engine: FakeEngine) -> None:
    app = await make_app(Settings.load(heartbeat_s=0.1), engine.model, engine)
    async with running(app) as address:
        host, port = address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            f"GET /v1/stream HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Protocol: sayline.v1.json\r\n\r\n".encode()
        )
        async with peer(address) as other:
            heard = await reader.read()  # until the server gives up
            await still_speaks(other)
        assert b"101 Switching Protocols" in heard
        writer.close()


async def test_a_message_that_is_not_utf_8_closes_the_connection(address: str) -> None:
    async with peer(address) as one:
        await one.socket.send(b"\xff\xfe", text=True)
        with pytest.raises(ConnectionClosed):
            await one.hear()
        assert one.socket.close_code == 1007
    async with peer(address) as one:
        await still_speaks(one)


async def test_where_slot_and_queue_are_full_a_context_is_told_when_to_come_back() -> None:
    engine = FakeEngine(slots=1, max_waiting=0)
    async with running(await make_app(Settings(), engine.model, engine)) as address, peer(address) as one:
        engine.runner.may_step.clear()
        await one.say("Hello there.")
        await engine.until_scheduled()
        await one.say("Hello there.", "b")
        error = await one.hear()
        engine.runner.may_step.set()
        await one.hear_all()
        assert (error["code"], error["context_id"], error["final"]) == ("full", "b", True)
        assert "try again" in error["message"]
        assert 0 < error["retry_after_ms"] <= 60_000
        await still_speaks(one)


@ENCODINGS
async def test_who_waits_hears_its_place_whenever_it_changes(encoding: str) -> None:
    engine = FakeEngine(capacity=1)
    async with running(await make_app(Settings(), engine.model, engine)) as address, peer(address, encoding) as one:
        await one.say(ENDLESS, "a")
        await one.hear_until("audio")
        for name in "bcd":
            await one.say("Hello there.", name)
            await one.hear_until("queued", context_id=name)
        await one.send("cancel", "c")
        await one.hear_until("queued", context_id="d")
        await one.send("cancel", "a")
        await one.hear_all("b", "d")
    places = [(message["context_id"], message["place"]) for message in one.heard if message["type"] == "queued"]
    assert places == [("b", 1), ("c", 2), ("d", 3), ("d", 2), ("d", 1)]
    assert [cancelled["duration_ms"] for cancelled in one.of("cancelled", "c")] == [0]
    assert [len(one.of("audio", name)) for name in "bd"] == [4, 4]


async def test_who_does_not_wait_is_told_at_once_when_to_come_back() -> None:
    engine = FakeEngine(capacity=1)
    async with running(await make_app(Settings(), engine.model, engine)) as address, peer(address) as one:
        await one.say(ENDLESS, "a")
        await one.hear_until("audio")
        await one.send("start", "b", wait=False)
        error = await one.hear_until("error")
        assert (error["code"], error["context_id"], error["final"]) == ("full", "b", True)
        assert error["retry_after_ms"] > 0
        await one.send("cancel", "a")
        await one.hear_until("cancelled")
        await one.say("Hello there.", "b", wait=False)
        await one.hear_all("b")
    assert len(one.of("audio", "b")) == 4


async def test_what_was_played_may_be_told_at_any_time(address: str) -> None:
    async with peer(address) as one:
        await one.send("ack", "nobody", played_ms=5)
        await one.send("start")
        await one.send("ack", played_ms=1e9)  # nonsense, and none of it is taken
        await one.send("text", text="Hello there.")
        await one.hear_until("audio")
        await one.send("ack", played_ms=0)
        await one.send("end")
        await one.hear_all()
        await one.send("ack", played_ms=320)  # the last of it is heard when all has been said
        await still_speaks(one)
    assert not [message for message in one.heard if message["type"] == "error"]


async def test_a_caller_is_shown_the_voices_that_he_may_use(engine: FakeEngine) -> None:
    app = await make_app(Settings(), engine.model, engine)
    async with running(app):
        sessions = app[SESSIONS]
        session = sessions.open(Caller("key", Limits(voices=("eve", "bob")), "key"))
        session.greet(app[READY])
        ready = (await session.outbox.get()).event
        assert isinstance(ready, Ready)
        assert (set(ready.voices), ready.default_voice) == ({"bob", "eve"}, "bob")
        sessions.discard(session)


async def test_leads_of_one_session_share_its_memory(engine: FakeEngine) -> None:
    """4 MiB: one minute of PCM fits, and what is left is less than another."""
    async with running(await make_app(Settings(), engine.model, engine)) as address, peer(address) as one:
        for name in "abc":
            await one.send("start", name, format="pcm", max_lead_ms=60_000)
        await one.send("start", "d", format="opus", max_lead_ms=60_000)
        await engine.until(lambda: engine.running == 4)
        first, second, *others = sorted((utterance.max_lead_ms for utterance in engine.utterances), reverse=True)
        assert first == 60_000
        assert 20_000 < second < 60_000
        assert others == [240, 240]
        await one.send("cancel", "a")
        await one.hear_until("cancelled")
        await one.say("All is well.", "e")
        await one.hear_all("e")


async def test_the_server_is_what_it_says_in_every_mode(address: str) -> None:
    async with peer(address) as one:
        await one.say("One. Two", mode="verbatim", clean_up=False, language="en", max_delay_ms=100)
        await one.hear_all()
    assert [part["text"] for part in one.of("segment")] == ["One. Two"]
    words = one.of("word")
    assert [(word["text"], word["start_char"], word["end_char"], word["estimated"]) for word in words] == [
        ("One.", 0, 4, True),
        ("Two", 5, 8, True),
    ]


@ENCODINGS
async def test_clean_up_tells_words_as_they_were_written(address: str, encoding: str) -> None:
    text = "**Hello**, 👋 that is $5. "
    async with peer(address, encoding) as one:
        await one.say(text, max_lead_ms=10_000)
        await one.hear_all()
    words = one.of("word")
    assert words
    for word in words:
        assert text[word["start_char"] : word["end_char"]] == word["text"]
    assert any("$5" in word["text"] for word in words)


@ENCODINGS
async def test_cancelled_tells_what_was_heard_and_what_was_not(address: str, encoding: str) -> None:
    text = "Hello there. How are you? " * 3
    async with peer(address, encoding) as one:
        await one.say(text, max_lead_ms=2000)
        while len(one.of("audio")) < 10:
            await one.hear()
        await one.send("cancel", played_ms=320)
        cancelled = await one.hear_until("cancelled")
    assert cancelled["heard_text"] == "Hello there."
    assert cancelled["heard_chars"] == 12
    assert cancelled["heard_text"] + cancelled["unheard_text"] == text
    assert cancelled["generated_ms"] >= cancelled["duration_ms"] == 80 * len(one.of("audio"))
