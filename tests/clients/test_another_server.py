"""A session whose server is gone goes on on another one that knows nothing of it.

No word is lost, and at most the one that was cut is said again. The real server with a fake model, and every client.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import pairwise
from typing import Any

import pytest
import sayline
from hypothesis import given, settings
from hypothesis import strategies as st
from sayline import client as client_module

from sayline_tts.engine.checkpoint.alignment_heads import AlignmentHeads
from sayline_tts.server.app import make_app
from sayline_tts.server.settings import Settings
from tests.clients.conformance.node_client import NodeClient
from tests.clients.conformance.python_client import PythonClient
from tests.clients.cut import Cut, CutLine
from tests.server.fakes import FakeEngine
from tests.server.stream_client import serving

TEXT = "One two three four. Five six seven. Eight nine ten eleven twelve. "
WORD_MS = 160.0
WITHOUT_NODE = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
CLIENTS = [*sayline.Encoding, pytest.param("javascript", marks=WITHOUT_NODE)]
# Within words, between them, before the first event, before the answer to `resume`, and in what the client says again.
CUTS = [Cut(after_heard=5), Cut(after_heard=1), Cut(after_heard=9), Cut(after_said=2), Cut(after_heard=2)]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_RETRY_S", 0.01)


@pytest.fixture(params=CLIENTS)
async def client(request: pytest.FixtureRequest) -> AsyncIterator[NodeClient | PythonClient]:
    async with AsyncExitStack() as stack:
        made = NodeClient() if request.param == "javascript" else PythonClient(request.param)
        yield await stack.enter_async_context(made)


async def two_servers(stack: AsyncExitStack, exact: bool = True) -> list[str]:
    """`exact`: whether they know when words begin and end."""
    addresses = []
    for _ in range(2):
        engine = FakeEngine()
        engine.fake_model.heads = AlignmentHeads(((0, 0),), 0.0) if exact else None
        app = await make_app(Settings(), engine.model, engine)
        addresses.append(await stack.enter_async_context(serving(app)))
    return addresses


async def speak(client: NodeClient | PythonClient, url: str) -> list[dict[str, Any]]:
    assert await client.do("client", "connect", {"url": url}) is None
    assert await client.do("a", "start", {"format": "pcm", "max_lead_ms": 60_000, "seed": 7}) is None
    for word in TEXT.split(" ")[:-1]:
        await client.do("a", "push", word + " ")
        if word == "seven.":
            await client.do("a", "flush", "half")
    await client.do("a", "flush", "all")
    await client.do("a", "end", None)
    told = await client.do("a", "read", None)
    await client.do("client", "close", None)
    assert "error" not in told, told["error"]
    events: list[dict[str, Any]] = told["events"]
    return events


def assert_continuous(events: list[dict[str, Any]]) -> None:
    assert [event["seq"] for event in events] == list(range(len(events)))
    frames = [event for event in events if event["type"] == "frame"]
    assert [frame["start_ms"] for frame in frames] == [80 * number for number in range(len(frames))]
    assert (events[-1]["type"], events[-1]["duration_ms"]) == ("done", 80 * len(frames))
    assert [event["id"] for event in events if event["type"] == "flushed"] == ["half", "all"]


def repeats(events: list[dict[str, Any]]) -> int:
    """How many words are said again. Of the tellings of each word the last one is whole."""
    words = [event for event in events if event["type"] == "word"]
    starts_ms = [word["start_ms"] for word in words]
    lengths_ms = [end - start for start, end in pairwise([*starts_ms, events[-1]["duration_ms"]])]
    tellings = [
        (TEXT[word["start_char"] : word["end_char"]], length) for word, length in zip(words, lengths_ms, strict=True)
    ]
    whole = [one for one, following in zip(tellings, [*tellings[1:], ("", 0.0)], strict=True) if one[0] != following[0]]
    assert whole == [(word, WORD_MS) for word in TEXT.split()]
    assert all(length_ms <= WORD_MS for _, length_ms in tellings)
    return len(tellings) - len(whole)


async def test_speech_goes_on_on_a_server_that_does_not_know_it(client: NodeClient | PythonClient) -> None:
    async with AsyncExitStack() as stack:
        line = CutLine(CUTS, *await two_servers(stack))
        events = await speak(client, await stack.enter_async_context(line.open()))
        assert line.connections == len(CUTS) + 1
        assert_continuous(events)
        assert repeats(events) <= len(CUTS)


@settings(max_examples=10, deadline=None)
@given(
    cuts=st.lists(
        st.builds(Cut, after_heard=st.integers(1, 60)) | st.builds(Cut, after_said=st.integers(1, 15)), max_size=3
    )
)
def test_servers_may_be_lost_at_any_message(cuts: list[Cut]) -> None:
    async def run() -> None:
        async with AsyncExitStack() as stack:
            line = CutLine(cuts, *await two_servers(stack))
            client = PythonClient(sayline.Encoding.JSON)
            events = await speak(client, await stack.enter_async_context(line.open()))
            assert_continuous(events)
            assert repeats(events) <= len(cuts)

    asyncio.run(run())


async def test_without_exact_times_the_sentence_is_said_again(client: NodeClient | PythonClient) -> None:
    """Better twice than not at all."""
    async with AsyncExitStack() as stack:
        line = CutLine([Cut(after_heard=19)], *await two_servers(stack, exact=False))
        events = await speak(client, await stack.enter_async_context(line.open()))
        assert_continuous(events)
        sentences = [event["text"] for event in events if event["type"] == "segment"]
        assert sentences == ["One two three four.", "Five six seven.", "Eight nine ten eleven twelve."]
        frames = sum(event["type"] == "frame" for event in events)
        assert 24 < frames < 24 + 6


async def test_cancelling_tells_what_was_heard_on_all_servers(client: NodeClient | PythonClient) -> None:
    async with AsyncExitStack() as stack:
        line = CutLine([Cut(after_heard=14)], *await two_servers(stack))
        await client.do("client", "connect", {"url": await stack.enter_async_context(line.open())})
        for name in "ab":
            await client.do(name, "start", {"format": "pcm", "max_lead_ms": 60_000})
        await client.do("a", "push", TEXT)
        words: list[dict[str, Any]] = []
        while len(words) < 9:
            words += [e for e in (await client.do("a", "read", 1))["events"] if e["type"] == "word"]
        assert line.connections == 2
        *_, last, _ = words  # its audio has come
        [heard] = (await client.do("a", "cancel", last["start_ms"] + 120))["events"]
        spoken = last["end_char"]
        assert (heard["heard_chars"], heard["heard_text"]) == (spoken, TEXT[:spoken])
        assert heard["unheard_text"] == TEXT[spoken:]
        await client.do("client", "close", None)


async def test_cancelling_at_a_word_of_the_server_before(client: NodeClient | PythonClient) -> None:
    """The server that answers has never heard of that word."""
    async with AsyncExitStack() as stack:
        line = CutLine([Cut(after_heard=14)], *await two_servers(stack))
        await client.do("client", "connect", {"url": await stack.enter_async_context(line.open())})
        await client.do("a", "start", {"format": "pcm", "max_lead_ms": 60_000})
        await client.do("a", "push", TEXT)
        while line.connections < 2:
            await client.do("a", "read", 1)
        [heard] = (await client.do("a", "cancel", 80.0))["events"]
        assert (heard["heard_chars"], heard["heard_text"], heard["unheard_text"]) == (3, "One", TEXT[3:])
        await client.do("client", "close", None)


async def test_server_with_other_audio_cannot_go_on(client: NodeClient | PythonClient) -> None:
    async with AsyncExitStack() as stack:
        addresses = []
        for rate_hz in (24_000, 16_000):
            engine = FakeEngine()
            engine.fake_model.sample_rate_hz = rate_hz
            addresses.append(await stack.enter_async_context(serving(await make_app(Settings(), engine.model, engine))))
        line = CutLine([Cut(after_heard=5)], *addresses)
        await client.do("client", "connect", {"url": await stack.enter_async_context(line.open())})
        await client.do("a", "start", {"format": "pcm"})
        await client.do("a", "push", TEXT)
        told = await client.do("a", "read", None)
        assert told["error"]["kind"] == "NotRecovered"
        await client.do("client", "close", None)
