"""Run a scenario: drive the client and the scripted server in turn, and compare their reports."""

import asyncio
import re
from collections import Counter
from difflib import ndiff
from typing import Any, Protocol

import pytest
from sayline import Encoding

from tests.clients.conformance.common_form import error_line, event_line, message_line, ready_line
from tests.clients.conformance.scenario import Scenario, Step
from tests.clients.scripted import READY, ScriptedServer, send

MAX_WAIT_S = 20
BROWSERS_CODE = {3002: 1002}  # a browser may not close with 1002 itself


class Client(Protocol):
    encoding: Encoding

    async def do(self, actor: str, verb: str, content: Any) -> Any: ...


class Conductor:
    """`url` is where the client finds the server, directly or over a line that breaks."""

    def __init__(self, server: ScriptedServer, client: Client, url: str | None = None) -> None:
        self._server, self._client = server, client
        self._url = url or server.url
        self._ids: dict[str, str] = {}  # of contexts, by their names in the scenario
        self._heard = 0  # of what the server received
        self._later: dict[str, asyncio.Task[list[str]]] = {}

    async def play(self, scenario: Scenario) -> None:
        try:
            for step in scenario.steps:
                await self._take(step)
        finally:
            await self._client.do("client", "close", None)
        await asyncio.wait_for(self._left(), MAX_WAIT_S)
        told = self._lines(self._server.received[self._heard :])
        if told and any(step.verb == "hears" for step in scenario.steps):
            pytest.fail("\n".join(["the server hears, and should not:", *told]), pytrace=False)

    async def _left(self) -> None:
        for connection in self._server.connections:
            await connection.wait_closed()

    async def _take(self, step: Step) -> None:
        if step.later:
            self._later[step.actor] = asyncio.create_task(self._perform(step))
            await asyncio.sleep(0)
            return
        lines = await asyncio.wait_for(self._perform(step), MAX_WAIT_S)
        as_expected = zip(step.expected, lines, strict=False)
        fitting = [expected if fits(expected, line) else line for expected, line in as_expected]
        told = [*fitting, *lines[len(fitting) :]]
        if told != list(step.expected):
            pytest.fail("\n".join([f"{step.actor} {step.verb}", *ndiff(step.expected, told)]), pytrace=False)

    async def _perform(self, step: Step) -> list[str]:
        if step.actor == "server":
            return await getattr(self, f"_server_{step.verb}")(step) or []
        if step.verb == "answers":
            return await self._later.pop(step.actor)
        if step.verb == "start":
            self._ids[step.actor] = f"speech-{len(self._ids) + 1}"
        if step.verb == "count":
            return counts(await self._client.do(step.actor, "read", None))
        content = {"url": self._url} | (step.content or {}) if step.verb == "connect" else step.content
        if step.verb == "feed" and isinstance(content, dict):
            content = (content["chars"] - 2) * "w" + ". "
            content *= step.content["words"]
        return self._told(await self._client.do(step.actor, step.verb, content) or {})

    def _told(self, answer: dict[str, Any]) -> list[str]:
        told = [answer["told"]] if "told" in answer else []
        told += [ready_line(name, answer["ready"][name]) for name in READY if "ready" in answer and name != "type"]
        told += [event_line(event) for event in answer.get("events", [])]
        return told + ([error_line(answer["error"], (self._url,))] if "error" in answer else [])

    async def _server_set(self, step: Step) -> None:
        for name, value in step.content.items():
            assert hasattr(self._server, name), name
            setattr(self._server, name, READY | value if name == "greeting" and value is not None else value)

    async def _server_hold(self, _: Step) -> None:
        self._server.hold.clear()

    async def _server_release(self, _: Step) -> None:
        self._server.hold.set()

    async def _server_hears(self, step: Step) -> list[str]:
        until = self._heard + len(step.expected)
        await self._server.until(lambda received: len(received) >= until)
        heard_split, self._heard = self._server.received[self._heard : until], until
        return self._lines(heard_split)

    async def _server_says(self, step: Step) -> None:
        """A message that is not in its script."""
        of = step.content.get("context_id")
        await send(self._server.connections[-1], step.content | ({"context_id": self._ids.get(of, of)} if of else {}))

    async def _server_sends(self, step: Step) -> None:
        """A frame that may be no message: text, or bytes in hexadecimal."""
        frame = step.content["text"] if "text" in step.content else bytes.fromhex(step.content["bytes"])
        await self._server.connections[-1].send(frame)

    async def _server_cuts(self, _: Step) -> None:
        self._server.connections[-1].transport.abort()

    async def _server_closes(self, step: Step) -> None:
        await self._server.connections[-1].close(*step.content)

    async def _server_is_left(self, _: Step) -> list[str]:
        """With which code the client closed the newest connection."""
        await self._server.connections[-1].wait_closed()
        code = self._server.connections[-1].close_code
        return [str(BROWSERS_CODE.get(code or 0, code))]

    async def _server_connected(self, step: Step) -> None:
        await self._server.connected(step.content)

    def _lines(self, received: list[dict[str, Any]]) -> list[str]:
        names = {id: name for name, id in self._ids.items()}
        lines = []
        for message in received:
            if message["type"] == "resume":
                contexts = {names[id]: seq for id, seq in message["contexts"].items()}
                lines.append(message_line(message | {"contexts": contexts}))
            else:
                lines.append(f"{names[message['context_id']]} {message_line(message)}")
        return lines


def counts(answer: dict[str, Any]) -> list[str]:
    """What a long speech is told by."""
    assert "error" not in answer, answer["error"]
    return [f"{number} {kind}" for kind, number in Counter(event["type"] for event in answer["events"]).items()]


def fits(expected: str, told: str) -> bool:
    """Of the words of an error what is expected has to be there; `...` is anything."""
    if not expected.startswith("! "):
        return told == expected
    facts, _, words = expected.partition(": ")
    told_facts, _, told_words = told.partition(": ")
    return told_facts == facts and bool(
        re.search(".*".join(map(re.escape, words.split(" ... "))), told_words, re.DOTALL)
    )
