"""Both clients and our own server, over a line that is cut in the middle. The model is fake, the sockets are real."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sayline
from sayline import backoff

from server.app import make_app
from server.settings import Settings
from tests.clients.cut import CutLine
from tests.server.fakes import FakeEngine
from tests.server.peer import running

TEXT = "One two three four. Five six seven. Eight nine ten eleven twelve. "
FRAMES = 2 * 12
CUTS = [20_000, 40_000, 2_000, 30_000]  # bytes from the server: in the middle of frames, once in that of `ready`
PROGRAM = """
import { connect } from '@sayline/client';
const server = await connect('%s');
const speech = server.context({ maxLeadMs: 60000, seed: 7 });
speech.feed('%s');
for await (const event of speech) console.log(event.seq, event.type, event.start_ms ?? '');
server.close();
"""


@pytest.fixture
async def address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[str]:
    monkeypatch.setenv("SAYLINE_DATA", str(tmp_path))
    monkeypatch.setattr(backoff, "MAX_S", 0.01)
    engine = FakeEngine()
    async with running(await make_app(Settings(), engine.model, engine)) as where:
        yield where


async def speak(url: str, encoding: sayline.Encoding) -> list[sayline.Event]:
    async with sayline.connect(url, encoding=encoding) as server, server.context(max_lead_ms=60_000, seed=7) as speech:
        for word in TEXT.split(" "):
            await speech.push(word + " ")
        await speech.flush("all")
        await speech.end()
        return [event async for event in speech]


@pytest.mark.parametrize("encoding", sayline.Encoding)
async def test_a_cut_line_changes_nothing_in_what_is_heard(address: str, encoding: sayline.Encoding) -> None:
    line = CutLine(address, CUTS)
    async with line.open() as url:
        events = await speak(url, encoding)
    assert line.connections == len(CUTS) + 1
    assert [event.seq for event in events] == list(range(len(events)))
    frames = [event for event in events if isinstance(event, sayline.Frame)]
    assert [frame.start_ms for frame in frames] == [80 * n for n in range(FRAMES)]
    undisturbed = await speak(f"ws://{address}", encoding)
    assert [frame.pcm for frame in frames] == [e.pcm for e in undisturbed if isinstance(e, sayline.Frame)]
    words = [event for event in events if isinstance(event, sayline.Word)]
    assert [TEXT[word.start_char : word.end_char] for word in words] == TEXT.split()


async def test_what_was_heard_and_what_was_not_are_the_text(address: str) -> None:
    async with sayline.connect(f"ws://{address}") as server, server.context(max_lead_ms=60_000) as speech:
        await speech.push(TEXT)
        words = []
        while not isinstance(event := await anext(speech), sayline.Segment):
            words += [event] if isinstance(event, sayline.Word) else []
        heard = await speech.cancel((words[2].start_ms + words[2].end_ms) / 2)
    assert (heard.heard_text, heard.unheard_text) == ("One two three", TEXT[13:])
    assert heard.heard_chars == 13


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
async def test_the_javascript_client_does_the_same(address: str) -> None:
    line = CutLine(address, CUTS)
    async with line.open() as url:
        process = await asyncio.create_subprocess_exec(
            "node", "--experimental-websocket", "--no-warnings", "--input-type=module",
            cwd=Path(__file__).parents[2] / "clients" / "js", stdin=-1, stdout=-1, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        program = PROGRAM % (url, TEXT)
        out, _ = await asyncio.wait_for(process.communicate(program.encode()), 60)
    events = [line.split() for line in out.decode().splitlines()]
    assert [event[0] for event in events] == [str(n) for n in range(len(events))], out.decode()
    assert [event[2] for event in events if event[1] == "frame"] == [str(80 * n) for n in range(FRAMES)]
    assert line.connections == len(CUTS) + 1
