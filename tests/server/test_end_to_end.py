"""End to end over WebSocket with the embedded model: clients receive what the model generates."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import numpy as np
import pytest

from sayline_tts.engine.audio.onset import fade_in
from sayline_tts.engine.engine import Engine, FrameSpoken, UtteranceEnded
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.scheduling.utterance import Utterance
from sayline_tts.server.app import make_app
from sayline_tts.server.audio.opus import load_opuslib
from sayline_tts.server.settings import Settings
from tests.server.stream_client import StreamClient, connected_client, is_final, serving

TEXT = "Hello there. It is a fine day, is it not? Yes."
ROUNDING = 8 / 32768  # summation order differs between batch sizes


@pytest.fixture
async def speaking(model: Model) -> AsyncIterator[str]:
    async with serving(await make_app(Settings(), model)) as address:
        yield address


def alone(model: Model, voice: str, parts: list[str], seed: int, decode_steps: int = 1) -> np.ndarray:
    """The engine's audio of these segments, without a server."""
    utterance = Utterance(model.load_voice(voice), model.sampling(decode_steps=decode_steps, seed=seed))
    for part in parts:
        utterance.add(model.segment(part))
    utterance.end()
    engine = Engine(model, 1)
    engine.add(utterance)
    frames: list[np.ndarray] = []
    while True:
        batch = engine.schedule()
        for event in engine.commit(batch, engine.run(batch) if batch else None):
            if isinstance(event, FrameSpoken):
                frames.append(event.pcm)
            elif isinstance(event, UtteranceEnded):
                return np.concatenate([fade_in(frames[0]), *frames[1:]])


def decode(packets: list[bytes]) -> np.ndarray:
    api = load_opuslib().api.decoder
    state = api.create_state(24_000, 1)
    try:
        parts = [api.decode_float(state, packet, len(packet), 1920, False, channels=1) for packet in packets]
    finally:
        api.destroy(state)
    return np.frombuffer(b"".join(parts), np.float32)


async def word_by_word(one: StreamClient, text: str, context_id: str, **fields: object) -> None:
    await one.send("start", context_id, **fields)
    for word in text.split():
        await one.send("text", context_id, text=word + " ")
    await one.send("end", context_id)


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_pcm_is_the_models_output(speaking: str, model: Model, encoding: str) -> None:
    async with connected_client(speaking, encoding) as one:
        await word_by_word(one, TEXT, "a", format="pcm", seed=11, voice="adam")
        await one.receive_until_final()
    parts = one.messages_of("segment")
    expected = alone(model, "adam", [part["text"] for part in parts], 11)
    output = one.pcm() / 32768
    assert len(parts) == 3
    assert output.shape == expected.shape
    assert np.abs(output - expected).max() < ROUNDING
    assert one.received[-1]["duration_ms"] == len(expected) / 24
    assert [part["start_ms"] for part in parts] == [0, *(part["end_ms"] for part in parts[:-1])]
    assert parts[-1]["end_ms"] == one.received[-1]["duration_ms"]


async def test_opus_decodes_to_the_same_speech(speaking: str, model: Model) -> None:
    async with connected_client(speaking, expect_ready=False) as one:
        skip = (await one.receive())["opus_pre_skip"]
        await one.speak("Hello there, how are you?", seed=3)
        await one.receive_until_final()
    packets = [audio["data"] for audio in one.messages_of("audio")]
    expected = alone(model, "clara", ["Hello there, how are you?"], 3)
    decoded = decode(packets)
    assert decoded.shape == expected.shape
    output, sent = decoded[skip:], expected[:-skip]
    assert np.square(output - sent).sum() < 0.3 * np.square(sent).sum()
    assert [audio["start_sample"] for audio in one.messages_of("audio")] == [
        1920 * number for number in range(len(packets))
    ]


async def test_decode_steps_option_is_used(speaking: str, model: Model) -> None:
    async with connected_client(speaking) as one:
        await one.speak("Hello there.", format="pcm", seed=5, decode_steps=3)
        await one.receive_until_final()
    wish = {"text": "Hello there.", "format": "pcm", "seed": 5, "decode_steps": 3}
    async with aiohttp.ClientSession() as client, client.post(f"http://{speaking}/stream", json=wish) as response:
        streamed = np.frombuffer(await response.read(), "<i2") / 32768
    expected = alone(model, "clara", ["Hello there."], 5, decode_steps=3)
    assert np.abs(one.pcm() / 32768 - expected).max() < ROUNDING
    assert np.abs(streamed - expected).max() < ROUNDING
    assert np.abs(expected - alone(model, "clara", ["Hello there."], 5)[: len(expected)]).max() > 10 * ROUNDING


async def test_seed_determines_the_speech(speaking: str) -> None:
    async with connected_client(speaking) as one:
        for name, seed in (("a", 1), ("b", 1), ("c", 2)):
            await one.speak("Hello there.", name, format="pcm", seed=seed, temperature=0.9)
            await one.receive_until_final(name)
    assert np.abs(one.pcm("a") - one.pcm("b").astype(int)).max() <= 1
    short = min(len(one.pcm("a")), len(one.pcm("c")))
    assert np.abs(one.pcm("a")[:short] - one.pcm("c")[:short].astype(int)).max() > 100


@pytest.mark.slow
async def test_twenty_concurrent_sessions(speaking: str, model: Model) -> None:
    texts = [f"{TEXT} This is number {number}." for number in range(20)]

    async def session(number: int) -> StreamClient:
        async with connected_client(speaking, ["json", "msgpack"][number % 2]) as one:
            await word_by_word(
                one,
                texts[number],
                "a",
                format="pcm",
                seed=number,
                voice=["adam", "ross", "clara"][number % 3],
                clean_up=False,
            )
            await one.receive_until_final()
        return one

    clients = await asyncio.gather(*(session(number) for number in range(20)))
    for number, one in enumerate(clients):
        audio = one.messages_of("audio")
        assert [message["seq"] for message in one.received] == list(range(len(one.received)))
        assert sum(map(is_final, one.received)) == 1
        assert (one.received[-1]["type"], one.received[-1]["duration_ms"]) == ("done", 80 * len(audio))
        assert " ".join(part["text"] for part in one.messages_of("segment")) == texts[number]
    for number in (0, 7, 19):
        one = clients[number]
        parts = [part["text"] for part in one.messages_of("segment")]
        expected = alone(model, ["adam", "ross", "clara"][number % 3], parts, number)
        assert len(one.pcm()) == len(expected)
        assert np.abs(one.pcm() / 32768 - expected).max() < 20 * ROUNDING


async def test_a_voice_cut_off_leaves_no_trace_in_the_next(speaking: str, model: Model) -> None:
    async with connected_client(speaking) as one:
        for number in range(4):
            await one.speak(TEXT * 3, f"cut{number}", seed=number)
            await one.receive_until("audio")
            await one.send("cancel", f"cut{number}")
            await one.receive_until("cancelled")
            frames = len(one.messages_of("audio", f"cut{number}"))
            await one.speak("Hello there.", f"whole{number}", format="pcm", seed=5)
            await one.receive_until_final(f"whole{number}")
            assert len(one.messages_of("audio", f"cut{number}")) == frames
    expected = alone(model, "clara", ["Hello there."], 5)
    for number in range(4):
        assert np.abs(one.pcm(f"whole{number}") / 32768 - expected).max() < ROUNDING


@pytest.mark.parametrize("voice", ["adam", "clara"])
async def test_speech_starts_without_a_click(speaking: str, voice: str) -> None:
    """A codec that starts from zeros begins with a step; the 20 ms of silence in front of the voice show it."""
    async with connected_client(speaking) as one:
        await one.speak("Pat has a pot.", format="pcm", seed=1, voice=voice)
        await one.receive_until_final()
    onset = np.abs(one.pcm()[:480])
    assert onset[:48].max() < 2 * onset[48:].max() + 2
