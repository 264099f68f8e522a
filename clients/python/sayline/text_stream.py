"""The text in what a language model's SDK streams: OpenAI's, Anthropic's, LangChain's. Imports none of them.

What is thought, called or counted beside the text is left aside.
"""

import inspect
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, aclosing
from typing import Any

from sayline.threaded_iterator import Reading

# What text may come from: an iterable of pieces, something to await for it, or something to enter for it.
Text = (
    str
    | Iterable[Any]
    | AsyncIterable[Any]
    | Awaitable[Any]
    | AbstractContextManager[Any]
    | AbstractAsyncContextManager[Any]
)

EVENTS_WITH_TEXT = ("response.output_text.delta", "content.delta")  # OpenAI's, in `delta`
MESSAGES = ("ai", "AIMessageChunk")  # LangChain's, from the model


async def text_of(stream: Text) -> AsyncGenerator[str, None]:
    """The pieces of a text as they come, of whatever kind of stream.

    A string; any iterable of strings, `async` or not; a stream of `openai` (chat completions and responses),
    `anthropic` (`create(stream=True)` and `stream()`) or LangChain, as it is, not yet awaited or not yet entered.
    A blocking one is read in a thread. Whoever stops early closes it. Raises `TypeError` for anything else.
    """
    if isinstance(stream, str):
        yield stream
        return
    async with aclosing(items_of(stream)) as items:
        async for item in items:
            if text := text_in(item):
                yield text


async def items_of(stream: Any) -> AsyncGenerator[Any, None]:
    if inspect.isawaitable(stream):
        stream = await stream
    if isinstance(stream, Mapping | bytes):
        raise no_text(stream)
    if hasattr(stream, "__aiter__"):
        async with aclosing(closing_early(stream)) as items:
            async for item in items:
                yield item
    elif hasattr(stream, "__aenter__"):
        async with stream as entered, aclosing(items_of(entered)) as items:
            async for item in items:
                yield item
    elif isinstance(stream, Sequence):
        for item in stream:
            yield item
    elif hasattr(stream, "__iter__") or hasattr(stream, "__enter__"):
        async with aclosing(Reading(stream if hasattr(stream, "__iter__") else entering(stream)).items()) as items:
            async for item in items:
                yield item
    else:
        raise no_text(stream)


async def closing_early(stream: Any) -> AsyncGenerator[Any, None]:
    """A model that nobody listens to need not go on."""
    over = False
    try:
        async for item in stream:
            yield item
        over = True
    finally:
        close = getattr(stream, "aclose", None) or getattr(stream, "close", None)
        if not over and close:
            closed = close()
            if inspect.isawaitable(closed):
                await closed


def entering(manager: AbstractContextManager[Any]) -> Iterator[Any]:
    with manager as stream:
        yield from stream


def text_in(item: Any) -> str:
    """Of one piece of a stream; empty where it holds something else. Raises `TypeError` where it is none."""
    if isinstance(item, str):
        return item
    kind = getattr(item, "type", None)
    if hasattr(item, "choices"):  # OpenAI, chat completions
        return "".join(choice.delta.content or "" for choice in item.choices if choice.delta and choice.index == 0)
    if kind in MESSAGES:
        return text_of_content(item.content)
    if kind in EVENTS_WITH_TEXT:
        return str(item.delta)
    if kind == "content_block_delta":  # Anthropic
        return str(getattr(item.delta, "text", ""))
    if not isinstance(kind, str):
        raise no_text(item)
    return ""


def no_text(what: object) -> TypeError:
    kind = type(what).__name__
    return TypeError(f"text must be a str or a stream of it, not {kind} (was `stream=True` left out?)")


def text_of_content(content: str | list[str | dict[str, Any]]) -> str:
    """A LangChain message's: a string, or blocks of which some are text."""
    if isinstance(content, str):
        return content
    return "".join(block if isinstance(block, str) else text_of_block(block) for block in content)


def text_of_block(block: dict[str, Any]) -> str:
    return str(block.get("text", "")) if block.get("type") == "text" else ""
