"""A carrier's side of a call, driven by the test; a scripted server on a real socket."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import mu_law
import pytest
import sayline
import telephone
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve

from tests.clients.scripted import TONE, ScriptedServer

WAIT_S = 10
FRAME_MS = 80
STORY = "One two three four. Five six."


class Caller:
    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def send(self, event: str, **fields: Any) -> None:
        await self._socket.send(json.dumps({"event": event, "streamSid": "MZ1", **fields}))

    async def receive(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(await asyncio.wait_for(self._socket.recv(), WAIT_S))
        assert event["streamSid"] == "MZ1"
        return event

    async def hung_up(self) -> None:
        await asyncio.wait_for(self._socket.wait_closed(), WAIT_S)

    async def until(self, kind: str) -> list[dict[str, Any]]:
        """What comes, up to the first of this kind."""
        events = [await self.receive()]
        while events[-1]["event"] != kind:
            events.append(await self.receive())
        return events


@asynccontextmanager
async def called(answer: Callable[[ServerConnection], Awaitable[None]]) -> AsyncIterator[Caller]:
    async with serve(answer, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}", max_queue=None) as socket:
            await socket.send(json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"}))
            caller = Caller(socket)
            await caller.send("start", start={"callSid": "CA1"})
            yield caller


@asynccontextmanager
async def saying(
    scripted: ScriptedServer, text: sayline.Text
) -> AsyncIterator[tuple[Caller, asyncio.Future[sayline.Cancelled]]]:
    """A call in which only this is said."""
    heard: asyncio.Future[sayline.Cancelled] = asyncio.get_running_loop().create_future()

    async def answer(socket: ServerConnection) -> None:
        call = telephone.Call(socket)
        await call.start()
        listening = asyncio.create_task(call.listen())
        async with sayline.connect(scripted.url) as server:
            heard.set_result(await call.say(server, text))
        await listening

    async with called(answer) as caller:
        yield caller, heard
        if not heard.done():
            await caller.send("dtmf", dtmf={"digit": "1"})
            await asyncio.wait_for(heard, WAIT_S)


async def unfinished() -> AsyncIterator[str]:
    yield "One two three. "
    yield "Four"
    await asyncio.Event().wait()


@pytest.fixture
async def caller(scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Caller]:
    """Has dialled; hangs up in the end."""
    monkeypatch.setattr(telephone, "STORY", STORY)
    async with called(lambda socket: telephone.answer(socket, scripted.url)) as made:
        yield made


async def test_story_arrives_in_packets_of_20_ms(caller: Caller) -> None:
    sound = b""
    marks: list[str] = []
    while len(marks) < 6:
        event = await caller.receive()
        if event["event"] == "media":
            packet = base64.b64decode(event["media"]["payload"])
            assert len(packet) == 160
            sound += packet
        else:
            marks.append(event["mark"]["name"])
    assert sound == mu_law.TelephoneEncoder(24_000).encode(TONE * 6)
    assert marks == [f"speech-1 {FRAME_MS * n:.1f}" for n in range(1, 7)]


async def test_dtmf_interrupts_and_the_heard_text_is_known(caller: Caller, scripted: ScriptedServer) -> None:
    marks = [(await caller.until("mark"))[-1] for _ in range(6)]
    for mark in marks[:3]:
        await caller.send("mark", mark=mark["mark"])
    await caller.send("dtmf", dtmf={"digit": "1"})
    await caller.until("clear")
    for mark in marks[3:]:  # as a carrier does that drops what it has
        await caller.send("mark", mark=mark["mark"])
    await scripted.until(lambda received: scripted.texts("speech-2") != "")
    assert scripted.texts("speech-2").startswith("You heard me say: One two three. And now")


async def test_speech_interrupts(caller: Caller) -> None:
    await caller.until("mark")
    loud = mu_law.TelephoneEncoder(24_000).encode(TONE)[160:320]
    for _ in range(mu_law.VOICE_PACKETS):
        await caller.send("media", media={"track": "inbound", "payload": base64.b64encode(loud).decode()})
    await caller.until("clear")


async def test_interrupted_speech_is_cancelled_at_the_playback_position(scripted: ScriptedServer) -> None:
    async with saying(scripted, unfinished()) as (caller, saying_it):
        await caller.send("mark", mark=(await caller.until("mark"))[-1]["mark"])
        await caller.send("dtmf", dtmf={"digit": "1"})
        heard = await asyncio.wait_for(saying_it, WAIT_S)
    assert {"type": "cancel", "context_id": "speech-1", "played_ms": FRAME_MS} in scripted.received
    assert (heard.heard_text, heard.unheard_text) == ("One", " two three. Four")


async def test_playback_position_is_acked_about_once_a_second(
    scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telephone, "ACK_MS", 2 * FRAME_MS)
    async with saying(scripted, unfinished()) as (caller, _):
        for _ in range(3):
            await caller.send("mark", mark=(await caller.until("mark"))[-1]["mark"])
            await caller.send("mark", mark={"name": "speech-0 1000"})  # of an earlier one
        await scripted.until_last("ack")
    assert [message["played_ms"] for message in scripted.received if message["type"] == "ack"] == [2 * FRAME_MS]


async def test_completed_story_can_be_repeated(caller: Caller, scripted: ScriptedServer) -> None:
    for _ in range(6):
        await caller.send("mark", mark=(await caller.until("mark"))[-1]["mark"])
    await scripted.until_last("end")
    await caller.send("dtmf", dtmf={"digit": "1"})
    await caller.send("dtmf", dtmf={"digit": "1"})
    await scripted.until(lambda received: scripted.texts("speech-2") != "")


async def test_hang_up_cancels_the_speech(caller: Caller, scripted: ScriptedServer) -> None:
    await caller.until("mark")
    await caller.send("stop")
    await asyncio.wait_for(scripted.connections[0].wait_closed(), WAIT_S)
    assert scripted.connections[0].close_code == 1000


async def test_server_failure_ends_the_call_with_a_message(
    caller: Caller, scripted: ScriptedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    await caller.until("mark")
    await scripted.connections[0].close(1012, "the server restarts")
    await caller.send("dtmf", dtmf={"digit": "1"})
    await caller.hung_up()
    assert "speech failed: the connection to" in capsys.readouterr().out
