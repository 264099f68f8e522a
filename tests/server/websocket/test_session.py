import asyncio
import json
import random
from contextlib import suppress

import msgpack
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

from sayline_tts.engine.audio.recording import to_int16
from sayline_tts.server.access.client_address import ClientAddress
from sayline_tts.server.access.limits import Caller, Limits
from sayline_tts.server.app import READY, SESSIONS, make_app
from sayline_tts.server.settings import Settings
from sayline_tts.server.websocket.messages import Ready
from tests.server.fakes import FRAMES_PER_WORD, FakeEngine, frame
from tests.server.stream_client import StreamClient, connected_client, is_final, serving

ENCODINGS = pytest.mark.parametrize("encoding", ["json", "msgpack"])
ENDLESS = "word " * 10_000  # far longer than any lead


@ENCODINGS
async def test_ready_is_the_first_message(address: str, encoding: str) -> None:
    async with connected_client(address, encoding, expect_ready=False) as client:
        ready = await client.receive()
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
    async with connected_client(address, encoding) as client:
        await client.speak(
            "Hello there. How are you?", format="pcm", seed=7, voice="bob", temperature=0.5, colour="green"
        )
        await client.receive_until_final()
    count = 5 * FRAMES_PER_WORD
    expected = to_int16(np.concatenate([frame(7, number) for number in range(count)]))
    assert (client.pcm() == expected).all()
    assert [message["seq"] for message in client.received] == list(range(len(client.received)))
    assert [audio["start_sample"] for audio in client.messages_of("audio")] == [
        1920 * number for number in range(count)
    ]
    assert [(part["text"], part["start_ms"], part["end_ms"]) for part in client.messages_of("segment")] == [
        ("Hello there.", 0, 320),
        ("How are you?", 320, 800),
    ]
    usage = client.received[-1].pop("usage")
    assert usage.pop("first_audio_ms") >= 0
    assert usage == {
        "taken_chars": 25,
        "billed_chars": 25,
        "generated_ms": 800,
        "heard_ms": 800,
        "queued_ms": 0,
        "retries": 0,
    }
    assert client.received[-1] == {
        "type": "done",
        "context_id": "a",
        "seq": len(client.received) - 1,
        "duration_ms": 800,
    }


async def test_segment_follows_its_audio(address: str) -> None:
    async with connected_client(address) as client:
        await client.speak("Hello there. How are you?")
        await client.receive_until_final()
    types = [message["type"] for message in client.received if message["type"] != "word"]
    assert types == ["audio"] * 4 + ["segment"] + ["audio"] * 6 + ["segment", "done"]


async def test_speech_begins_before_the_text_ends(address: str) -> None:
    async with connected_client(address) as client:
        await client.send("start")
        await client.send("text", text="Hello there. And")
        assert (await client.receive_until("segment"))["text"] == "Hello there."
        await client.send("text", text=" more")
        await client.send("end")
        await client.receive_until_final()
    assert [part["text"] for part in client.messages_of("segment")] == ["Hello there.", "And more"]


async def test_flush_speaks_pending_text(address: str) -> None:
    async with connected_client(address) as client:
        await client.send("start")
        await client.send("flush")  # with no pending text
        assert (await client.receive())["at_ms"] == 0
        await client.send("text", text="and then")
        await client.send("flush", id="then")
        assert (await client.receive_until("segment"))["text"] == "and then"
        flushed = await client.receive()
        assert (flushed["type"], flushed["at_ms"], flushed["id"]) == ("flushed", 320, "then")
        await client.send("end")
        await client.receive_until_final()
    assert "id" not in client.messages_of("flushed")[0]
    assert (client.received[-1]["type"], client.received[-1]["duration_ms"]) == ("done", 320)


@ENCODINGS
async def test_contexts_on_one_connection_are_independent(address: str, encoding: str) -> None:
    async with connected_client(address, encoding) as client:
        for seed, name in enumerate("abc"):
            await client.send("start", name, format="pcm", seed=seed)
        for word in ("one ", "two ", "three. "):
            for name in "abc":
                await client.send("text", name, text=word)
        for name in "cab":
            await client.send("end", name)
        await client.receive_until_final(*"abc")
    for seed, name in enumerate("abc"):
        assert (client.pcm(name) == to_int16(np.concatenate([frame(seed, n) for n in range(6)]))).all()
        assert sum(is_final(message) for message in client.received if message["context_id"] == name) == 1


async def test_context_id_can_be_reused_after_its_last_event(address: str) -> None:
    async with connected_client(address) as client:
        for _ in range(3):
            await client.speak("Once more.")
            await client.receive_until_final()
    assert [audio["start_sample"] for audio in client.messages_of("audio")] == [0, 1920, 3840, 5760] * 3
    assert sum(message["seq"] == 0 for message in client.received) == 3


async def test_nothing_follows_cancelled_and_the_slot_is_reused(address: str, engine: FakeEngine) -> None:
    async with connected_client(address) as client:
        for _ in range(5):
            await client.speak(ENDLESS, seed=1, max_lead_ms=400)
            await client.receive_until("audio")
            await client.send("cancel")
            await client.receive_until("cancelled")
        frames = len(client.messages_of("audio"))
        await client.speak("Hello there.", "b", format="pcm", seed=3)
        await client.receive_until_final("b")
    assert (client.pcm("b") == to_int16(np.concatenate([frame(3, number) for number in range(4)]))).all()
    assert len(client.messages_of("audio")) == frames
    assert len(client.messages_of("cancelled")) == 5
    assert not client.messages_of("done")
    assert engine.running == 0


async def test_cancelled_has_the_sent_duration(address: str) -> None:
    async with connected_client(address) as client:
        await client.speak(ENDLESS, max_lead_ms=800)
        await client.receive_until("audio")
        await client.send("cancel")
        cancelled = await client.receive_until("cancelled")
    assert cancelled["duration_ms"] == 80 * len(client.messages_of("audio"))


async def test_context_can_be_cancelled_before_it_speaks(address: str) -> None:
    async with connected_client(address) as client:
        await client.send("start")
        await client.send("cancel")
        await client.send("cancel")
        await client.receive_until("cancelled")
        await check_still_speaks(client)
    assert not client.messages_of("error")


async def check_still_speaks(client: StreamClient) -> None:
    await client.speak("All is well.", "healthy")
    await client.receive_until_final("healthy")
    assert len(client.messages_of("audio", "healthy")) == 6


UNKNOWN = {"type": "text", "context_id": "nobody", "text": "x"}
INVALID_MESSAGES = [
    ("not JSON", "nope", "bad_message", "not valid JSON", None),
    ("an empty message", "", "bad_message", "not valid JSON", None),
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
    ("an unknown type", '{"type":"sing","context_id":"a"}', "unknown_type", "'sing'; use one of: start, text", "a"),
    ("a type that is not a string", '{"type":5}', "bad_message", "type", None),
    ("a missing field", '{"type":"text","context_id":"a"}', "bad_message", "text", "a"),
    ("a wrong type", '{"type":"text","context_id":"a","text":5}', "bad_message", "Expected `str`", "a"),
    ("an empty id", '{"type":"start","context_id":""}', "bad_message", "1 to 64", None),
    ("a long id", '{"type":"start","context_id":"' + "ü" * 33 + '"}', "bad_message", "66 bytes", None),
    ("half a character", '{"type":"text","context_id":"\\ud83d","text":""}', "unknown_context", "no context", "\ufffd"),
    ("an unknown format", '{"type":"start","context_id":"a","format":"mp3"}', "bad_message", "mp3", "a"),
    ("a negative seed", '{"type":"start","context_id":"a","seed":-1}', "bad_message", "seed", "a"),
    ("a hot temperature", '{"type":"start","context_id":"a","temperature":11}', "bad_message", "temperature", "a"),
    ("a negative time", '{"type":"ack","context_id":"a","played_ms":-1}', "bad_message", "played_ms", "a"),
    ("an unknown context", json.dumps(UNKNOWN), "unknown_context", "'nobody'", "nobody"),
    (
        "1 MB of text",
        '{"type":"text","context_id":"a","text":"' + "word " * 200_000 + '"}',
        "message_too_big",
        "split the text",
        None,
    ),
    ("a binary frame", b"\x00", "bad_message", "text frames", None),
]


@pytest.mark.parametrize(
    ("raw", "code", "reason", "context_id"),
    [row[1:] for row in INVALID_MESSAGES],
    ids=[row[0] for row in INVALID_MESSAGES],
)
async def test_invalid_message_is_refused_without_side_effects(
    address: str, raw: str | bytes, code: str, reason: str, context_id: str | None
) -> None:
    async with connected_client(address) as client, connected_client(address) as other:
        await other.send("start", "healthy")
        await client.socket.send(raw)
        error = await client.receive()
        await check_still_speaks(client)
        await other.send("text", "healthy", text="All is well.")
        await other.send("end", "healthy")
        await other.receive_until_final("healthy")
    assert error["type"] == "error"
    assert error["code"] == code
    assert reason in error["message"]
    assert error.get("context_id") == context_id
    assert error["final"] is ("start" in str(raw) and context_id is not None)
    assert len(other.messages_of("audio", "healthy")) == 6


@pytest.mark.parametrize(
    "raw", [b"", b"\xc1", b"\x91" * 60_000, b"\x81\xa1x" + b"\x91" * 60_000, msgpack.packb({"type": "text"}), "text"]
)
async def test_invalid_msgpack_is_refused_without_side_effects(address: str, raw: str | bytes) -> None:
    async with connected_client(address, "msgpack") as client:
        await client.socket.send(raw)
        error = await client.receive()
        assert (error["code"], error["final"]) == ("bad_message", False)
        await check_still_speaks(client)


@pytest.mark.parametrize("text", ["", "   ", "\n\t", "\x00\x01\x1b\x7f", "🙂🎉👩‍👩‍👧", "... -- !!", "\u200b\u2060"])
async def test_text_without_a_word_is_an_error(address: str, text: str) -> None:
    async with connected_client(address) as client:
        await client.speak(text)
        error = await client.receive()
        assert (error["code"], error["context_id"], error["final"]) == ("bad_text", "a", True)
        assert "send some words" in error["message"]
        await check_still_speaks(client)


async def test_text_in_a_script_that_the_model_cannot_speak_is_skipped_with_a_warning(address: str) -> None:
    async with connected_client(address) as client:
        await client.speak("I say привет and 你好 to you.")
        await client.receive_until_final()
        (done,) = client.messages_of("done")
        assert done["warnings"] == ["text in Chinese characters was skipped", "text in the Cyrillic script was skipped"]
        await client.speak("Hello.", "b")
        await client.receive_until_final("b")
        assert "warnings" not in client.messages_of("done", "b")[0]
        await client.speak("你好。", "c")
        error = await client.receive()
        assert (error["code"], error["context_id"], error["final"]) == ("bad_text", "c", True)
        assert "cannot speak text in Chinese characters; choose a model of the text's language" in error["message"]


async def test_context_without_text_is_an_error(address: str) -> None:
    async with connected_client(address) as client:
        await client.send("start")
        await client.send("end")
        assert (await client.receive())["code"] == "bad_text"


async def test_unspeakable_characters_are_skipped(address: str) -> None:
    async with connected_client(address) as client:
        await client.speak("Hello\x00 there 🙂. ")
        await client.receive_until_final()
    assert client.messages_of("segment")[0]["text"].startswith("Hello\x00 there")  # as written


async def test_unknown_voice_ends_only_its_context(address: str) -> None:
    async with connected_client(address) as client:
        await client.speak("Hello.", voice="../../etc/passwd")
        error = await client.receive_until("error")
        assert (error["code"], error["final"]) == ("unknown_voice", True)
        assert "there are: ann, bob, eve" in error["message"]
        await check_still_speaks(client)


async def test_unreachable_voice_ends_only_its_context(address: str) -> None:
    async with connected_client(address) as client:
        await client.send("start", voice="eve")
        error = await client.receive_until("error")
        assert (error["code"], error["final"]) == ("hub_unreachable", True)
        await check_still_speaks(client)


async def test_second_start_does_not_affect_the_open_context(address: str) -> None:
    async with connected_client(address) as client:
        await client.send("start")
        await client.send("start")
        error = await client.receive()
        assert (error["code"], error["context_id"], error["final"]) == ("context_exists", "a", False)
        await client.socket.send('{"type":"start","context_id":"a","seed":"x"}')
        assert (await client.receive())["final"] is False
        await client.send("text", text="Hello there.")
        await client.send("end")
        await client.receive_until_final()
    assert len(client.messages_of("audio")) == 4


async def test_text_after_end_is_refused_and_earlier_text_is_spoken(address: str, engine: FakeEngine) -> None:
    async with connected_client(address) as client:
        engine.runner.may_step.clear()
        await client.speak("Hello there.")
        await client.send("flush")
        await client.send("end")
        await client.send("text", text="Too late.")
        error = await client.receive_until("error")
        engine.runner.may_step.set()
        await client.receive_until_final()
    assert (error["code"], error["final"]) == ("context_ended", False)
    assert [part["text"] for part in client.messages_of("segment")] == ["Hello there."]


async def test_number_of_contexts_is_limited(address: str) -> None:
    async with connected_client(address) as client:
        for number in range(17):
            await client.send("start", f"c{number}")
        error = await client.receive()
        assert (error["code"], error["context_id"], error["final"]) == ("too_many_contexts", "c16", True)
        await client.send("cancel", "c0")
        await client.receive_until("cancelled")
        await check_still_speaks(client)


async def test_pending_text_is_limited(address: str, engine: FakeEngine) -> None:
    engine.runner.may_step.clear()
    async with connected_client(address) as client:
        await client.send("start")
        for _ in range(3):
            await client.send("text", text="word " * 8_000)
        error = await client.receive_until("error")
        assert (error["code"], error["context_id"], error["final"]) == ("text_limit", "a", False)
        engine.runner.may_step.set()
        await check_still_speaks(client)


async def test_lost_client_frees_its_slots(engine: FakeEngine) -> None:
    app = await make_app(Settings.load(resume_s=0), engine.model, engine)
    async with serving(app) as address, connected_client(address) as other:
        await other.send("start", "healthy")
        async with connected_client(address) as client:
            for name in "abc":
                await client.speak(ENDLESS, name)
            for name in "abc":
                await client.receive_until("audio", context_id=name)
            assert engine.running == 3
            client.socket.transport.abort()
        await engine.wait_until(lambda: engine.running == 0)
        await other.send("text", "healthy", text="All is well.")
        await other.send("end", "healthy")
        await other.receive_until_final("healthy")


async def test_failed_step_ends_only_its_contexts(
    address: str, engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected_client(address) as client, connected_client(address) as other:
        await other.send("start", "healthy")
        engine.runner.next_error = RuntimeError("out of memory")
        await client.speak("Hello there.")
        error = await client.receive()
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
        await other.receive_until_final("healthy")
        await check_still_speaks(client)
    assert "out of memory" in caplog.text


async def test_oversized_message_closes_the_connection(address: str) -> None:
    async with connected_client(address) as client:
        with suppress(ConnectionClosed):
            await client.socket.send("x" * 3_000_000)
        with pytest.raises(ConnectionClosed):
            await client.receive()
    async with connected_client(address) as client:
        await check_still_speaks(client)


async def test_client_without_heartbeat_is_dropped(engine: FakeEngine) -> None:
    app = await make_app(Settings.load(heartbeat_s=0.1), engine.model, engine)
    async with serving(app) as address:
        host, port = address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            f"GET /v1/stream HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Protocol: sayline.v1.json\r\n\r\n".encode()
        )
        async with connected_client(address) as other:
            received = await reader.read()  # until the server closes the connection
            await check_still_speaks(other)
        assert b"101 Switching Protocols" in received
        writer.close()


async def test_invalid_utf_8_closes_the_connection(address: str) -> None:
    async with connected_client(address) as client:
        await client.socket.send(b"\xff\xfe", text=True)
        with pytest.raises(ConnectionClosed):
            await client.receive()
        assert client.socket.close_code == 1007
    async with connected_client(address) as client:
        await check_still_speaks(client)


async def test_full_server_says_when_to_retry() -> None:
    engine = FakeEngine(slots=1, max_waiting=0)
    async with (
        serving(await make_app(Settings(), engine.model, engine)) as address,
        connected_client(address) as client,
    ):
        engine.runner.may_step.clear()
        await client.speak("Hello there.")
        await engine.wait_scheduled()
        await client.speak("Hello there.", "b")
        error = await client.receive()
        engine.runner.may_step.set()
        await client.receive_until_final()
        assert (error["code"], error["context_id"], error["final"]) == ("full", "b", True)
        assert "try again" in error["message"]
        assert 0 < error["retry_after_ms"] <= 60_000
        await check_still_speaks(client)


@ENCODINGS
async def test_queued_context_gets_its_place_whenever_it_changes(encoding: str) -> None:
    engine = FakeEngine(capacity=1)
    async with (
        serving(await make_app(Settings(), engine.model, engine)) as address,
        connected_client(address, encoding) as client,
    ):
        await client.speak(ENDLESS, "a")
        await client.receive_until("audio")
        for name in "bcd":
            await client.speak("Hello there.", name)
            await client.receive_until("queued", context_id=name)
        await client.send("cancel", "c")
        await client.receive_until("queued", context_id="d")
        await client.send("cancel", "a")
        await client.receive_until_final("b", "d")
    places = [(message["context_id"], message["place"]) for message in client.received if message["type"] == "queued"]
    assert places == [("b", 1), ("c", 2), ("d", 3), ("d", 2), ("d", 1)]
    assert [cancelled["duration_ms"] for cancelled in client.messages_of("cancelled", "c")] == [0]
    assert [len(client.messages_of("audio", name)) for name in "bd"] == [4, 4]


async def test_context_that_does_not_wait_fails_at_once() -> None:
    engine = FakeEngine(capacity=1)
    async with (
        serving(await make_app(Settings(), engine.model, engine)) as address,
        connected_client(address) as client,
    ):
        await client.speak(ENDLESS, "a")
        await client.receive_until("audio")
        await client.send("start", "b", wait=False)
        error = await client.receive_until("error")
        assert (error["code"], error["context_id"], error["final"]) == ("full", "b", True)
        assert error["retry_after_ms"] > 0
        await client.send("cancel", "a")
        await client.receive_until("cancelled")
        await client.speak("Hello there.", "b", wait=False)
        await client.receive_until_final("b")
    assert len(client.messages_of("audio", "b")) == 4


async def test_ack_is_accepted_at_any_time(address: str) -> None:
    async with connected_client(address) as client:
        await client.send("ack", "nobody", played_ms=5)
        await client.send("start")
        await client.send("ack", played_ms=1e9)  # impossible, so it is limited to what was sent
        await client.send("text", text="Hello there.")
        await client.receive_until("audio")
        await client.send("ack", played_ms=0)
        await client.send("end")
        await client.receive_until_final()
        await client.send("ack", played_ms=320)  # playback ends after the last event
        await check_still_speaks(client)
    assert not [message for message in client.received if message["type"] == "error"]


async def test_ready_lists_the_voices_that_the_caller_may_use(engine: FakeEngine) -> None:
    app = await make_app(Settings(), engine.model, engine)
    async with serving(app):
        sessions = app[SESSIONS]
        session = sessions.open(Caller("key", Limits(voices=("eve", "bob")), "key"), ClientAddress(None, "http", ""))
        session.send_ready(app[READY])
        ready = (await session.outbox.get()).event
        assert isinstance(ready, Ready)
        assert (set(ready.voices), ready.default_voice) == ({"bob", "eve"}, "bob")
        sessions.discard(session)


async def test_leads_share_the_memory_of_the_session(engine: FakeEngine) -> None:
    """4 MiB hold one minute of PCM and part of another."""
    async with (
        serving(await make_app(Settings(), engine.model, engine)) as address,
        connected_client(address) as client,
    ):
        for name in "abc":
            await client.send("start", name, format="pcm", max_lead_ms=60_000)
        await client.send("start", "d", format="opus", max_lead_ms=60_000)
        for name in "abcd":
            await client.send("text", name, text="Hello ")
        await engine.wait_until(lambda: engine.running == 4)
        first, second, *others = sorted((utterance.buffer.max_lead_ms for utterance in engine.utterances), reverse=True)
        assert first == 60_000
        assert 20_000 < second < 60_000
        assert others == [240, 240]
        await client.send("cancel", "a")
        await client.receive_until("cancelled")
        await client.speak("All is well.", "e")
        await client.receive_until_final("e")


async def test_verbatim_mode_speaks_each_text_as_one_segment(address: str) -> None:
    async with connected_client(address) as client:
        await client.speak("One. Two", mode="verbatim", clean_up=False, language="en", max_delay_ms=100)
        await client.receive_until_final()
    assert [part["text"] for part in client.messages_of("segment")] == ["One. Two"]
    words = client.messages_of("word")
    assert [(word["text"], word["start_char"], word["end_char"], word["estimated"]) for word in words] == [
        ("One.", 0, 4, True),
        ("Two", 5, 8, True),
    ]


@ENCODINGS
async def test_words_have_their_text_as_written(address: str, encoding: str) -> None:
    text = "**Hello**, 👋 that is $5. "
    async with connected_client(address, encoding) as client:
        await client.speak(text, max_lead_ms=10_000)
        await client.receive_until_final()
    words = client.messages_of("word")
    assert words
    for word in words:
        assert text[word["start_char"] : word["end_char"]] == word["text"]
    assert any("$5" in word["text"] for word in words)


@ENCODINGS
async def test_cancelled_splits_the_text_where_playback_stopped(address: str, encoding: str) -> None:
    text = "Hello there. How are you? " * 3
    async with connected_client(address, encoding) as client:
        await client.speak(text, max_lead_ms=2000)
        while len(client.messages_of("audio")) < 10:
            await client.receive()
        await client.send("cancel", played_ms=320)
        cancelled = await client.receive_until("cancelled")
    assert cancelled["heard_text"] == "Hello there."
    assert cancelled["heard_chars"] == 12
    assert cancelled["heard_text"] + cancelled["unheard_text"] == text
    assert cancelled["generated_ms"] >= cancelled["duration_ms"] == 80 * len(client.messages_of("audio"))


@pytest.mark.slow
async def test_after_thousands_of_cancels_at_random_moments_nothing_follows_and_no_slot_is_held(
    engine: FakeEngine,
) -> None:
    rng = random.Random(0)
    async with (
        serving(await make_app(Settings.load(messages_per_second=10_000), engine.model, engine)) as address,
        connected_client(address, "msgpack") as client,
    ):
        for number in range(2_000):
            name = f"c{number}"
            await client.send("start", name, seed=number)
            await client.send("text", name, text="Hello there. How are you? " * rng.randrange(1, 4))
            for _ in range(rng.randrange(4)):
                await asyncio.sleep(0)
            await client.send("cancel", name)
            await client.receive_until("cancelled", context_id=name)
        await client.speak("All is well.", "last")
        await client.receive_until_final("last")
        await engine.wait_until(lambda: engine.running == 0)
    over: set[str] = set()
    for message in client.received:
        assert message["context_id"] not in over, "an event after the last one"
        if message["type"] == "cancelled":
            over.add(message["context_id"])
    assert len(over) == 2_000
