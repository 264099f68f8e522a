from collections.abc import AsyncIterator

import pytest
import sayline
from sayline import Word
from sayline.agents.speech import Speech

from tests.clients.scripted import ScriptedServer


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


async def test_words_and_rest_add_up_to_the_text(scripted: ScriptedServer) -> None:
    async with sayline.connect(scripted.url) as server, server.context(format="pcm") as context:
        speech = Speech(context)
        for piece in ("*One* t", "wo,\ud83d\n three. ", "  "):
            speech.add(piece)
            await context.push(piece)
        await context.end()
        told = [speech.add_word(event) async for event in context if isinstance(event, Word)]
    assert told == ["*One*", " two,", "\n three."]
    assert "".join(told) + speech.rest() == scripted.texts()
    assert (speech.heard_text(39), speech.heard_text(40), speech.heard_text(1000)) == (
        "",
        "*One*",
        "*One* two,\n three.",
    )


async def test_close_cancels_and_stops_reading_text(scripted: ScriptedServer) -> None:
    closed = []

    async def text() -> AsyncIterator[str]:
        try:
            while True:
                yield "One. "
                await scripted.until_text("One. ")
        finally:
            closed.append(True)

    async with sayline.connect(scripted.url) as server:
        context = await server.context(format="pcm").__aenter__()
        context.feed(text())
        await anext(context)
        told = await Speech(context).cancel(0.0)
    assert (told.heard_text, closed) == ("", [True])
