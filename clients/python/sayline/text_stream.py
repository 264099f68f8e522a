"""Extract the text from the streams of language models' SDKs (OpenAI, Anthropic, LangChain) without importing them.

Reasoning, tool calls and usage are ignored.
"""

import inspect
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, aclosing
from typing import Any

from sayline.threaded_iterator import ThreadedIterator

# Sources of text: an iterable of pieces, an awaitable for one, or a context manager that gives one.
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
    """Yield the pieces of a text from any kind of stream.

    Accepts a string; any iterable of strings, `async` or not; a stream of `openai` (chat completions and responses),
    `anthropic` (`create(stream=True)` and `stream()`) or LangChain, which need not be awaited or entered. Blocking
    streams are read in a thread. Stopping early closes the stream. Raises `TypeError` for anything else.
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
        raise not_text_error(stream)
    if hasattr(stream, "__aiter__"):
        async with aclosing(close_if_unfinished(stream)) as items:
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
        async with aclosing(
            ThreadedIterator(stream if hasattr(stream, "__iter__") else entered_items(stream)).items()
        ) as items:
            async for item in items:
                yield item
    else:
        raise not_text_error(stream)


async def close_if_unfinished(stream: Any) -> AsyncGenerator[Any, None]:
    """Close a stream that is not read to its end, so that the model stops generating."""
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


def entered_items(manager: AbstractContextManager[Any]) -> Iterator[Any]:
    with manager as stream:
        yield from stream


def text_in(item: Any) -> str:
    """Return the text in one item of a stream, or an empty string. Raises `TypeError` for unknown items."""
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
        raise not_text_error(item)
    return ""


def not_text_error(what: object) -> TypeError:
    kind = type(what).__name__
    return TypeError(f"text must be a str or a stream of it, not {kind} (is `stream=True` missing?)")


def text_of_content(content: str | list[str | dict[str, Any]]) -> str:
    """A LangChain message's: a string, or blocks of which some are text."""
    if isinstance(content, str):
        return content
    return "".join(block if isinstance(block, str) else text_of_block(block) for block in content)


def text_of_block(block: dict[str, Any]) -> str:
    return str(block.get("text", "")) if block.get("type") == "text" else ""
