"""Every client with the real server (and a fake model) over a proxy that cuts connections."""

import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sayline
from sayline import client as client_module

from sayline_tts.server.app import make_app
from sayline_tts.server.settings import Settings
from tests.clients.conformance.node_client import NodeClient
from tests.clients.conformance.python_client import PythonClient
from tests.clients.cut import Cut, CutLine
from tests.server.fakes import FakeEngine
from tests.server.stream_client import serving

TEXT = "One two three four. Five six seven. Eight nine ten eleven twelve. "
FRAMES = 2 * 12
WITHOUT_NODE = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
CLIENTS = [*sayline.Encoding, pytest.param("javascript", marks=WITHOUT_NODE)]
IN_MESSAGES = [Cut(after_bytes=n) for n in (20_000, 40_000, 2_000, 30_000)]  # once in that of `ready`
BETWEEN_THEM = [Cut(after_said=n) for n in (1, 0, 1)] + [Cut(after_heard=n) for n in (2, 9, 1, 4)]


@pytest.fixture
async def address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[str]:
    monkeypatch.setenv("SAYLINE_DATA", str(tmp_path))
    monkeypatch.setattr(client_module, "MAX_RETRY_S", 0.01)
    engine = FakeEngine()
    async with serving(await make_app(Settings(), engine.model, engine)) as where:
        yield where


@pytest.fixture(params=CLIENTS)
async def client(request: pytest.FixtureRequest) -> AsyncIterator[NodeClient | PythonClient]:
    async with AsyncExitStack() as stack:
        made = NodeClient() if request.param == "javascript" else PythonClient(request.param)
        yield await stack.enter_async_context(made)


async def speak(client: NodeClient | PythonClient, url: str) -> list[dict[str, Any]]:
    assert await client.do("client", "connect", {"url": url}) is None
    assert await client.do("a", "start", {"format": "pcm", "max_lead_ms": 60_000, "seed": 7}) is None
    for word in TEXT.split(" ")[:-1]:
        await client.do("a", "push", word + " ")
    await client.do("a", "flush", "all")
    await client.do("a", "end", None)
    told = await client.do("a", "read", None)
    await client.do("client", "close", None)
    assert "error" not in told, told["error"]
    events: list[dict[str, Any]] = told["events"]
    return events


@pytest.mark.parametrize("cuts", [IN_MESSAGES, BETWEEN_THEM], ids=["in messages", "between them"])
async def test_lost_connections_do_not_change_the_audio(
    address: str, client: NodeClient | PythonClient, cuts: list[Cut]
) -> None:
    line = CutLine(cuts, address)
    async with line.open() as url:
        events = await speak(client, url)
    assert line.connections == len(cuts) + 1
    assert [event["seq"] for event in events] == list(range(len(events)))
    frames = [event for event in events if event["type"] == "frame"]
    assert [frame["start_ms"] for frame in frames] == [80 * n for n in range(FRAMES)]
    undisturbed = await speak(client, f"ws://{address}")
    assert [frame["sha1"] for frame in frames] == [e["sha1"] for e in undisturbed if e["type"] == "frame"]
    words = [event for event in events if event["type"] == "word"]
    assert [TEXT[word["start_char"] : word["end_char"]] for word in words] == TEXT.split()


async def test_heard_and_unheard_text_add_up(address: str, client: NodeClient | PythonClient) -> None:
    await client.do("client", "connect", {"url": f"ws://{address}"})
    await client.do("a", "start", {"max_lead_ms": 60_000})
    await client.do("a", "push", TEXT)
    words: list[dict[str, Any]] = []
    while len(words) < 4:
        words += [e for e in (await client.do("a", "read", 1))["events"] if e["type"] == "word"]
    assert all(first["end_ms"] <= second["start_ms"] for first, second in pairwise(words))
    [heard] = (await client.do("a", "cancel", (words[2]["start_ms"] + words[2]["end_ms"]) / 2))["events"]
    await client.do("client", "close", None)
    assert (heard["heard_text"], heard["unheard_text"]) == ("One two three", TEXT[13:])
    assert heard["heard_chars"] == 13
