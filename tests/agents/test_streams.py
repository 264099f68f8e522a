"""The real LLM SDKs against a local server: the text of their streams is spoken."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from sayline import text_of

openai = pytest.importorskip("openai", reason="see tests/agents/constraints.txt")
anthropic = pytest.importorskip("anthropic", reason="see tests/agents/constraints.txt")
messages = pytest.importorskip("langchain_core.messages", reason="see tests/agents/constraints.txt")
models = pytest.importorskip("langchain_core.language_models.fake_chat_models")

SAID = "Hello there. How are you?"
PIECES = ["Hello", " there.", " How are", " you?"]
QUESTION: Any = [{"role": "user", "content": "Greet me."}]

Event = dict[str, Any]


def chat_events() -> list[Event]:
    def event(**delta: str) -> Event:
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        return {"id": "a", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}

    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return [event(role="assistant", content=""), *(event(content=piece) for piece in PIECES), event(),
            {**event(), "choices": [], "usage": usage}]  # fmt: skip


def response_events() -> list[Event]:
    place = {"item_id": "i", "output_index": 0, "content_index": 0}
    deltas = [{"type": "response.output_text.delta", "delta": piece, "logprobs": [], **place} for piece in PIECES]
    thought = {"type": "response.reasoning_text.delta", "delta": "Hm.", **place}
    done = {"type": "response.output_text.done", "text": SAID, "logprobs": [], **place}
    return [{**event, "sequence_number": n} for n, event in enumerate([thought, *deltas, done])]


def anthropic_events() -> list[Event]:
    message: Event = {
        "id": "m", "type": "message", "role": "assistant", "content": [], "model": "m", "stop_reason": None,
        "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1},
    }  # fmt: skip

    def delta(index: int, **content: str) -> Event:
        return {"type": "content_block_delta", "index": index, "delta": content}

    thinking = {"type": "thinking", "thinking": "", "signature": ""}
    ending = {"stop_reason": "end_turn", "stop_sequence": None}

    return [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": thinking},
        delta(0, type="thinking_delta", thinking="Hm."),
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
        *(delta(1, type="text_delta", text=piece) for piece in PIECES),
        {"type": "content_block_stop", "index": 1},
        {"type": "message_delta", "delta": ending, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    ]  # fmt: skip


class Provider:
    """Streams what its doors promise; `hangs` before the last event, until nobody listens any more."""

    def __init__(self) -> None:
        self.hangs = False
        self.left = asyncio.Event()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(server for server in head.lower().split(b"\r\n") if server.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        doors = {b"/chat/completions": chat_events, b"/responses": response_events, b"/messages": anthropic_events}
        events = next(events for door, events in doors.items() if door in head.split(b"\r\n")[0])()
        for event in events[:-3] if self.hangs else events:
            kind = f"event: {event['type']}\n" if "type" in event else ""
            writer.write(f"{kind}data: {json.dumps(event)}\n\n".encode())
        if self.hangs:
            await reader.read()
            self.left.set()
        elif b"/chat/" in head:
            writer.write(b"data: [DONE]\n\n")
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def provider() -> AsyncIterator[tuple[Provider, dict[str, Any]]]:
    it = Provider()
    async with await asyncio.start_server(it.answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield it, {"base_url": f"http://127.0.0.1:{port}", "api_key": "k", "max_retries": 0}


async def said(stream: Any) -> str:
    return "".join([piece async for piece in text_of(stream)])


async def test_openai_chat_completions_are_spoken() -> None:
    async with provider() as (_, where), openai.AsyncOpenAI(**where) as client:
        asked = {"model": "m", "messages": QUESTION, "stream": True}
        assert await said(await client.chat.completions.create(**asked)) == SAID
        assert await said(client.chat.completions.create(**asked)) == SAID
        assert await said(client.chat.completions.stream(model="m", messages=QUESTION)) == SAID


async def test_openai_responses_are_spoken() -> None:
    async with provider() as (_, where), openai.AsyncOpenAI(**where) as client:
        assert await said(client.responses.create(model="m", input="Greet me.", stream=True)) == SAID


async def test_openai_sync_stream_is_spoken() -> None:
    async with provider() as (_, where):
        client = openai.OpenAI(**where)

        def create(**more: Any) -> Any:
            return client.chat.completions.create(model="m", messages=QUESTION, **more)

        assert await said(await asyncio.to_thread(create, stream=True)) == SAID
        assert await said(client.chat.completions.stream(model="m", messages=QUESTION)) == SAID
        stream = await asyncio.to_thread(client.responses.create, model="m", input="Greet me.", stream=True)
        assert await said(stream) == SAID
        client.close()


async def test_anthropic_messages_are_spoken() -> None:
    asked = {"model": "m", "max_tokens": 9, "messages": QUESTION}
    async with provider() as (_, where), anthropic.AsyncAnthropic(**where) as client:
        assert await said(client.messages.create(**asked, stream=True)) == SAID
        assert await said(client.messages.stream(**asked)) == SAID
        async with client.messages.stream(**asked) as stream:
            assert await said(stream) == SAID
        async with client.messages.stream(**asked) as stream:
            assert await said(stream.text_stream) == SAID


async def test_anthropic_sync_stream_is_spoken() -> None:
    asked = {"model": "m", "max_tokens": 9, "messages": QUESTION}
    async with provider() as (_, where):
        client = anthropic.Anthropic(**where)
        assert await said(client.messages.stream(**asked)) == SAID
        assert await said(await asyncio.to_thread(lambda: client.messages.create(**asked, stream=True))) == SAID
        client.close()


async def test_langchain_messages_are_spoken() -> None:
    model = models.GenericFakeChatModel(messages=iter([messages.AIMessage(SAID) for _ in range(2)]))
    assert await said(model.astream("Greet me.")) == SAID
    assert await said(model.stream("Greet me.")) == SAID


async def test_langchain_blocks_are_spoken_and_tools_are_not() -> None:
    blocks = [{"type": "text", "text": "Hello", "index": 0}, {"type": "tool_use", "name": "no", "input": {}, "id": "1"}]
    stream = [
        messages.AIMessageChunk(content=blocks),
        messages.ToolMessage("a tool's", tool_call_id="1"),
        messages.AIMessageChunk(content=" there."),
    ]
    assert await said(stream) == "Hello there."


@pytest.mark.parametrize("sdk", ["openai", "anthropic"])
async def test_abandoned_model_stream_is_closed(sdk: str) -> None:
    async with provider() as (it, where):
        it.hangs = True
        if sdk == "openai":
            client = openai.AsyncOpenAI(**where)
            stream = client.chat.completions.create(model="m", messages=QUESTION, stream=True)
        else:
            client = anthropic.AsyncAnthropic(**where)
            stream = client.messages.create(model="m", max_tokens=9, messages=QUESTION, stream=True)
        async with aclosing(text_of(stream)) as pieces:
            assert await anext(pieces) == PIECES[0]
        async with asyncio.timeout(10):
            await it.left.wait()
        await client.close()


async def test_unstreamed_answer_raises() -> None:
    whole = openai.types.Completion(id="a", choices=[], created=1, model="m", object="text_completion")
    with pytest.raises(TypeError, match="is `stream=True` missing"):
        await said(whole)
