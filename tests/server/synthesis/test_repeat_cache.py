"""Which speech is kept, and that a repetition is the same without a step of the engine."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sayline_tts.engine.scheduling.utterance import Utterance
from sayline_tts.engine.segment import Sampling, Segment
from sayline_tts.server.access.keys import KeyFile
from sayline_tts.server.access.limits import Caller, Limits
from sayline_tts.server.app import ENGINE_LOOP, make_app
from sayline_tts.server.settings import Settings
from sayline_tts.server.synthesis.repeat_cache import (
    MAX_CHARS,
    Recorder,
    RepeatCache,
    RepeatKey,
    RepeatText,
    repeat_key,
)
from sayline_tts.server.synthesis.text_options import TextOptions
from tests.server.api_server import api_server
from tests.server.fakes import FakeEngine
from tests.server.stream_client import Message, StreamClient, connected_client, serving

ANN = Caller("ann", Limits(), "ann")
WARM, COLD = Sampling(0.7, None, -4.0, 1, 5), Sampling(0.0, None, -4.0, 1, 5)
TEXT = "Hello there. [pause:0.3] How are you?"


def key_of(*texts: str, wanted: bool | None = None, seed: int | None = 5, **more: Any) -> RepeatKey | None:
    options = more.get("options", TextOptions())
    return repeat_key(more.get("caller", ANN), "alba", texts, options, more.get("sampling", WARM), seed, wanted)


@pytest.mark.parametrize(
    ("text", "wanted", "seed", "sampling", "kept"),
    [
        ("Hello.", None, 5, WARM, True),
        ("Hello.", None, None, WARM, False),
        ("Hello.", None, None, COLD, True),
        ("Hello.", True, None, WARM, True),
        ("Hello.", False, 5, COLD, False),
        ("Call 555.", None, 5, WARM, False),
        ("Write to a@b.example.", None, 5, WARM, False),
        ("Call 555.", True, 5, WARM, True),
        ("x" * MAX_CHARS, None, 5, WARM, True),
        ("x" * (MAX_CHARS + 1), True, 5, WARM, False),
    ],
)
def test_only_repeatable_speech_is_kept(
    text: str, wanted: bool | None, seed: int | None, sampling: Sampling, kept: bool
) -> None:
    assert (key_of(text, wanted=wanted, seed=seed, sampling=sampling) is not None) == kept
    forbidding = replace(ANN, limits=Limits(cache=False))
    assert key_of(text, wanted=wanted, seed=seed, sampling=sampling, caller=forbidding) is None


def test_key_has_all_that_the_audio_depends_on() -> None:
    same = key_of("Hello ", "there.")
    assert same == key_of("Hello there.")
    assert key_of("Hello.", seed=1, sampling=COLD) == key_of("Hello.", seed=2, sampling=COLD)
    others = [
        key_of("Hello there!"),
        key_of("Hello there.", seed=6),
        key_of("Hello there.", sampling=replace(WARM, temperature=0.5)),
        key_of("Hello there.", sampling=replace(WARM, decode_steps=2)),
        key_of("Hello there.", options=TextOptions(speed=1.5)),
        key_of("Hello there.", options=TextOptions(clean_up=False)),
        key_of("Hello there.", caller=replace(ANN, name="bob")),
        key_of("Hello there.", options=TextOptions(verbatim=True)),
        key_of("Hello ", "there.", options=TextOptions(verbatim=True)),
        same,
    ]
    assert len(set(others)) == len(others)


def test_text_is_complete_unless_flushed_or_too_long() -> None:
    text = RepeatText()
    text.add("Hello ")
    text.add("there.")
    assert text.complete == ["Hello ", "there."]
    text.flushed = True
    assert text.complete is None
    text = RepeatText()
    text.add("x" * MAX_CHARS)
    text.add("x")
    text.add("x")
    assert text.complete is None


def recorded(cache: RepeatCache, text: str, frames: int) -> None:
    key = key_of(text)
    assert key is not None
    recorder = Recorder(cache, key)
    for _ in range(frames):
        recorder.add_frame([], np.zeros(250, np.float32))
    recorder.end_part(Segment(text, (1,), 9, 0), [], 0.0, 80.0)
    recorder.finish()


def test_least_recently_used_speech_is_dropped() -> None:
    cache = RepeatCache(3 * 2024)
    for text in ("one", "two", "three"):
        recorded(cache, text, 1)
    assert cache.used_bytes == 3 * 2024
    keys = {text: key_of(text) for text in ("one", "two", "three", "four")}
    assert keys["one"] is not None
    assert cache.get(keys["one"])
    recorded(cache, "four", 1)
    assert [text for text, key in keys.items() if key and cache.get(key)] == ["one", "three", "four"]
    recorded(cache, "four", 1)  # again
    assert cache.used_bytes == 3 * 2024


def test_speech_larger_than_the_cache_is_not_kept() -> None:
    cache = RepeatCache(3000)
    recorded(cache, "long", 5)
    assert cache.used_bytes == 0


@pytest.fixture
async def client(engine: FakeEngine) -> AsyncIterator[StreamClient]:
    async with (
        serving(await make_app(Settings(), engine.model, engine)) as address,
        connected_client(address) as client,
    ):
        yield client


async def spoken(client: StreamClient, **start: Any) -> list[Message]:
    """All events of a context, without the times that differ."""
    client.received.clear()
    await client.speak(TEXT, **{"format": "pcm", "seed": 5, "cache": True, **start})
    await client.receive_until_final()
    client.received[-1]["usage"].pop("first_audio_ms")
    return list(client.received)


@pytest.mark.parametrize("format", ["pcm", "opus"])
async def test_repetition_is_the_same_and_costs_no_step(client: StreamClient, engine: FakeEngine, format: str) -> None:
    first = await spoken(client, format=format)
    steps = engine.runner.steps
    assert await spoken(client, format=format) == first
    assert engine.runner.steps == steps
    other = "opus" if format == "pcm" else "pcm"
    assert len(await spoken(client, format=other)) == len(first)
    assert engine.runner.steps == steps
    await spoken(client, seed=6)
    assert engine.runner.steps > steps


async def test_repetition_needs_no_place_in_the_engine(engine: FakeEngine) -> None:
    async with serving(await make_app(Settings(), engine.model, engine)) as address:
        async with connected_client(address) as client:
            await spoken(client)
        engine.runner.may_step.clear()
        async with connected_client(address) as busy, connected_client(address) as client:
            await busy.speak("word " * 20)
            await engine.wait_scheduled()
            await spoken(client, wait=False)
            engine.runner.may_step.set()
            await busy.receive_until_final()


async def test_lead_is_kept_while_nothing_is_played(client: StreamClient, engine: FakeEngine) -> None:
    await spoken(client, max_lead_ms=2000)
    await client.speak(TEXT, format="pcm", seed=5, cache=True, max_lead_ms=240)
    await client.receive_until("audio")
    await client.send("cancel", played_ms=0)
    cancelled = await client.receive_until("cancelled")
    assert cancelled["generated_ms"] <= 320
    assert cancelled["unheard_text"] == TEXT


async def test_repetition_is_paced_by_playback(client: StreamClient, engine: FakeEngine) -> None:
    first = await spoken(client)
    steps = engine.runner.steps
    assert await spoken(client, max_lead_ms=160) == first
    assert engine.runner.steps == steps


async def test_flushed_text_is_not_held(client: StreamClient) -> None:
    await client.send("start", cache=True, seed=5)
    await client.send("text", text="Hello there")
    await client.send("flush")
    await client.receive_until("flushed")
    await client.send("end")
    await client.receive_until_final()
    assert client.received[-1]["type"] == "done"


async def test_text_is_awaited_before_the_cache_is_asked(client: StreamClient, engine: FakeEngine) -> None:
    await spoken(client)
    steps = engine.runner.steps
    await client.send("start", cache=True, seed=5, format="pcm")
    for piece in TEXT.split(" "):
        await client.send("text", text=piece + " " * (not piece.endswith("?")))
        await asyncio.sleep(0)
    await client.send("end")
    await client.receive_until_final()
    assert engine.runner.steps == steps


async def test_held_text_can_be_cancelled(client: StreamClient) -> None:
    await client.send("start", cache=True, seed=5)
    await client.send("text", text="Hello there.")
    await client.send("cancel")
    assert (await client.receive_until("cancelled"))["unheard_text"] == "Hello there."


async def test_full_engine_refuses_what_was_held() -> None:
    engine = FakeEngine(slots=1)
    async with (
        serving(await make_app(Settings(), engine.model, engine)) as address,
        connected_client(address) as busy,
        connected_client(address) as client,
    ):
        engine.runner.may_step.clear()
        await busy.speak("word " * 20)
        await engine.wait_scheduled()
        await client.speak(TEXT, seed=5, cache=True, wait=False)
        assert (await client.receive_until("error"))["code"] == "full"
        engine.runner.may_step.set()


async def test_fault_after_holding_ends_the_context(
    client: StreamClient, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(utterance: Utterance) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(engine, "add", broken)
    await client.speak(TEXT, seed=5, cache=True)
    assert (await client.receive_until("error"))["code"] == "internal"


async def test_failed_replay_ends_its_context_alone(
    client: StreamClient, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await spoken(client)

    def broken(utterance: Utterance) -> Segment:
        raise RuntimeError("broken")

    monkeypatch.setattr(Utterance, "take_part", broken)
    await client.speak(TEXT, seed=5, cache=True, format="pcm")
    assert (await client.receive_until("error"))["code"] == "internal"
    await client.speak("Hello there.", "b", cache=False)
    await client.receive_until_final("b")
    assert client.received[-1]["type"] == "done"


async def test_speech_over_http_is_repeated(engine: FakeEngine, tmp_path: Path) -> None:
    async with api_server(engine, tmp_path) as server:
        server.shared.engine_loop.streams.repeats = RepeatCache(2**20)
        bodies = []
        for path, format in (("/generate", "wav"), ("/generate", "wav"), ("/stream", "mp3"), ("/stream", "mp3")):
            async with server.post(path, text=TEXT, seed=5, format=format, cache=True) as response:
                bodies.append(await response.read())
            if len(bodies) == 1:
                steps = engine.runner.steps
        assert bodies[0] == bodies[1]
        assert bodies[2] == bodies[3]
        assert engine.runner.steps == steps
        rendered = server.shared.metrics.render()[0].decode()
    assert 'sayline_repeats_total{result="hit"} 3.0' in rendered
    assert 'sayline_repeats_total{result="miss"} 1.0' in rendered


async def test_recordings_without_a_name_are_not_kept(engine: FakeEngine, tmp_path: Path) -> None:
    async with api_server(engine, tmp_path) as server:
        server.shared.engine_loop.streams.repeats = RepeatCache(2**20)
        async with server.client.post(server.url + "/tts", data={"text": TEXT}) as response:
            await response.read()
        assert server.shared.engine_loop.streams.repeats.used_bytes == 0


async def test_key_that_forbids_it_is_obeyed(engine: FakeEngine, tmp_path: Path) -> None:
    settings = Settings.load(data=str(tmp_path))
    key = KeyFile(settings.keys_path).add("ann", Limits(cache=False))
    app = await make_app(settings, engine.model, engine)
    headers = {"Authorization": f"Bearer {key}"}
    async with serving(app) as address, connected_client(address, additional_headers=headers) as client:
        await spoken(client)
    assert app[ENGINE_LOOP].streams.repeats.used_bytes == 0


async def test_stopping_ends_a_replay(engine: FakeEngine) -> None:
    app = await make_app(Settings(), engine.model, engine)
    async with serving(app) as address, connected_client(address) as client:
        await spoken(client)
        await client.speak(TEXT, format="pcm", seed=5, cache=True, max_lead_ms=80)
        await client.receive_until("audio")
        await app[ENGINE_LOOP].stop()
        assert (await client.receive_until("error"))["code"] == "shutting_down"
