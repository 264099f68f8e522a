"""`text_of` with fakes of the SDKs' types; the real ones are used in tests/agents/test_streams.py."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from types import SimpleNamespace as Thing
from typing import Any

import pytest
from sayline.text_stream import Text, text_of


async def all_of(stream: Text) -> list[str]:
    return [piece async for piece in text_of(stream)]


def chat(text: str | None, index: int = 0) -> Thing:
    return Thing(choices=[Thing(index=index, delta=Thing(content=text))])


def block(text: str) -> Thing:
    return Thing(type="content_block_delta", delta=Thing(type="text_delta", text=text))


def message(content: object, kind: str = "AIMessageChunk") -> Thing:
    return Thing(type=kind, content=content)


STREAMS: dict[str, list[Any]] = {
    "strings": ["Hello ", "", "there."],
    "OpenAI's chat completions": [
        chat(""), chat("Hello "), chat(None), chat("other choice", 1), chat("there."),
        Thing(choices=[], usage=7), Thing(choices=[Thing(index=0, delta=None)]),
    ],
    "OpenAI's responses": [
        Thing(type="response.created", response=1),
        Thing(type="response.reasoning_text.delta", delta="Hm."),
        Thing(type="response.output_text.delta", delta="Hello "),
        Thing(type="response.output_text.delta", delta="there."),
        Thing(type="response.output_text.done", text="Hello there."),
    ],
    "OpenAI's chat events": [
        Thing(type="chunk", chunk=chat("Hello ")),
        Thing(type="content.delta", delta="Hello "),
        Thing(type="content.delta", delta="there."),
        Thing(type="content.done", content="Hello there."),
    ],
    "Anthropic's": [
        Thing(type="message_start", message=1),
        Thing(type="content_block_delta", delta=Thing(type="thinking_delta", thinking="Hm.")),
        block("Hello "),
        Thing(type="text", text="Hello ", snapshot="Hello "),
        Thing(type="content_block_delta", delta=Thing(type="input_json_delta", partial_json="{")),
        block("there."),
        Thing(type="message_stop"),
    ],
    "LangChain's": [
        message("Hello "), message("a tool's", "tool"), message([{"type": "text", "text": "the", "index": 0}, "re"]),
        message([{"type": "tool_use", "text": "no"}]), message("."),
    ],
}  # fmt: skip


async def asynchronous(items: list[Any]) -> AsyncIterator[Any]:
    for item in items:
        await asyncio.sleep(0)
        yield item


@pytest.mark.parametrize("items", STREAMS.values(), ids=STREAMS)
async def test_only_spoken_text_is_extracted(items: list[Any]) -> None:
    assert "".join(await all_of(asynchronous(items))) == "Hello there."
    assert "".join(await all_of(iter(items))) == "Hello there."
    assert "".join(await all_of(items)) == "Hello there."


async def test_string_is_yielded_as_is() -> None:
    assert await all_of("Hello there.") == ["Hello there."]


async def test_awaitable_is_awaited() -> None:
    async def create() -> AsyncIterator[Any]:
        return asynchronous(STREAMS["Anthropic's"])

    assert await all_of(create()) == ["Hello ", "there."]


async def test_context_manager_is_entered_and_left() -> None:
    left = []

    @asynccontextmanager
    async def opening() -> AsyncIterator[Any]:
        yield asynchronous(["Hello ", "there."])
        left.append("async")

    @contextmanager
    def opening_blocked() -> Iterator[Any]:
        yield iter(["Hello ", "there."])
        left.append("blocking")

    assert await all_of(opening()) == await all_of(opening_blocked()) == ["Hello ", "there."]
    assert left == ["async", "blocking"]


class Stream:
    """As the SDKs have them: both iterated and entered, and closed by a coroutine or a call."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    async def __aiter__(self) -> AsyncIterator[str]:
        for _ in range(1000):
            await asyncio.sleep(0)
            yield "Hello "

    async def __aenter__(self) -> None:
        raise AssertionError("it can be iterated as it is")

    async def close(self) -> None:
        self.closed.set()


async def test_stopping_early_closes_the_stream() -> None:
    stream = Stream()
    async with aclosing(text_of(stream)) as pieces:
        assert await anext(pieces) == "Hello "
    assert stream.closed.is_set()
    whole = Stream()
    assert len(await all_of(whole)) == 1000
    assert not whole.closed.is_set()


async def test_synchronous_close_is_called() -> None:
    class Plain(Stream):
        def close(self) -> None:  # type: ignore[override]
            self.closed.set()

    stream = Plain()
    async with aclosing(text_of(stream)) as pieces:
        await anext(pieces)
    assert stream.closed.is_set()


async def test_iterable_without_close_is_dropped() -> None:
    class Bare:
        def __aiter__(self) -> "Bare":
            return self

        async def __anext__(self) -> str:
            return "Hello "

    async with aclosing(text_of(Bare())) as pieces:
        assert await anext(pieces) == "Hello "


@pytest.mark.parametrize(
    ("stream", "advice"),
    [
        (7, "text must be a str or a stream of it, not int"),
        (None, "not NoneType"),
        (b"bytes", "not bytes"),
        ({"content": "a whole answer"}, "not dict"),
        ([("id", "a whole answer")], r"not tuple \(is `stream=True` missing\?\)"),
        ([None], "not NoneType"),
    ],
)
async def test_unknown_items_raise_type_error(stream: Any, advice: str) -> None:
    with pytest.raises(TypeError, match=advice):
        await all_of(stream)
