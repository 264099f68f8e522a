"""A Sayline server that speaks by a script: a real socket, and a tone of 80 ms for every word instead of a voice.

It writes and reads the wire with code of its own, so that a fault in the client's cannot hide in it.
"""

import asyncio
import base64
import json
import math
import struct
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Self

import msgpack
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

FRAME_SAMPLES = 1920
VOICES = ["slt", "awb"]
TONE = struct.pack(f"<{FRAME_SAMPLES}h", *(round(9000 * math.sin(n * math.tau / 80)) for n in range(FRAME_SAMPLES)))
READY = {
    "type": "ready",
    "protocol": "sayline.v1",
    "server": "scripted/1",
    "model": "tone",
    "voices": VOICES,
    "default_voice": "slt",
    "sample_rate_hz": 24000,
    "frame_ms": 80.0,
    "opus_pre_skip": 156,
}

Message = dict[str, Any]


class ScriptedServer:
    """Use with `async with`.

    A segment ends with a full stop and a space, or at a flush or the end; each of its words is one frame. Words with
    a meaning of their own: `explode` (the context fails), `refuse` (the message is refused, the context goes on),
    `hangup` (the socket is cut), `damage` (a frame that is not a message). `hold` stops all speech until it is set.
    """

    def __init__(self) -> None:
        self.hold = asyncio.Event()
        self.hold.set()
        self.api_key: str | None = None
        self.refuse_with: HTTPStatus | None = None
        self.places: list[int] = []  # in which every context waits before it speaks
        self.subprotocols = ("sayline.v1.msgpack", "sayline.v1.json")
        self.greeting: Message | None = READY
        self.close_with: tuple[int, str] | None = None
        self.received: list[Message] = []
        self.changed = asyncio.Condition()
        self.answer_http: Callable[[Request], Response | None] = lambda request: None
        self.connections: list[ServerConnection] = []
        self._server: Server

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            0,
            subprotocols=self.subprotocols,  # type: ignore[arg-type]
            select_subprotocol=lambda _, offered: next((name for name in offered if name in self.subprotocols), None),
            process_request=self._admit,
            compression=None,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    @property
    def port(self) -> int:
        return int(next(iter(self._server.sockets)).getsockname()[1])

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def until(self, true: Callable[[list[Message]], bool]) -> None:
        """Waits for what the server has received."""
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(lambda: true(self.received)), 10)

    async def until_last(self, kind: str) -> None:
        await self.until(lambda received: bool(received) and received[-1]["type"] == kind)

    async def until_text(self, text: str) -> None:
        await self.until(lambda received: bool(received) and received[-1].get("text") == text)

    def texts(self, context_id: str = "speech-1") -> str:
        return "".join(m["text"] for m in self.received if m["type"] == "text" and m["context_id"] == context_id)

    async def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path.split("?")[0] != "/v1/stream":
            return self.answer_http(request) or connection.respond(HTTPStatus.NOT_FOUND, "nothing here\n")
        if self.refuse_with is not None:
            return connection.respond(self.refuse_with, "no\n")
        offered = request.headers.get("Sec-WebSocket-Protocol", "").split(", ")
        keys = [request.headers.get("Authorization"), *offered]
        if self.api_key is not None and not {f"Bearer {self.api_key}", f"sayline.key.{self.api_key}"} & {*keys}:
            return connection.respond(HTTPStatus.UNAUTHORIZED, "no key\n")
        return None

    async def _serve(self, socket: ServerConnection) -> None:
        self.connections.append(socket)
        if self.close_with is not None:
            await socket.close(*self.close_with)
        elif self.greeting is not None:
            await send(socket, self.greeting)
        speakers: dict[str, Speaker] = {}
        with suppress(ConnectionClosed):
            async for frame in socket:
                message = json.loads(frame) if isinstance(frame, str) else msgpack.unpackb(frame)
                async with self.changed:
                    self.received.append(message)
                    self.changed.notify_all()
                await self._obey(message, speakers, socket)
        for speaker in speakers.values():
            await speaker.stop()

    async def _obey(self, message: Message, speakers: dict[str, "Speaker"], socket: ServerConnection) -> None:
        context_id = message["context_id"]
        if message["type"] == "start":
            if message.get("voice", "slt") not in VOICES:
                await send(socket, error("unknown_voice", "no voice of that name; there are: slt, awb", context_id))
                return
            if self.places and not message.get("wait", True):
                await send(socket, {**error("full", "all are speaking", context_id), "retry_after_ms": 1500.0})
                return
            for place in self.places:
                await send(socket, {"type": "queued", "context_id": context_id, "place": place})
            speakers[context_id] = Speaker(message, self.hold, lambda message: send(socket, message), socket)
        elif context_id in speakers:
            speaker = speakers[context_id]
            match message["type"]:
                case "text":
                    speaker.push(message["text"])
                case "flush":
                    speaker.flush()
                case "end":
                    speaker.end()
                case "cancel":
                    await speaker.stop()
                    del speakers[context_id]
                    duration_ms = speaker.seq * 80.0
                    await send(socket, {"type": "cancelled", "context_id": context_id, "duration_ms": duration_ms})


class Speaker:
    """One context of the scripted server."""

    def __init__(
        self, start: Message, hold: asyncio.Event, send: Callable[[Message], Awaitable[None]], socket: ServerConnection
    ) -> None:
        self.seq = 0
        self._context_id = start["context_id"]
        self._data = TONE if start.get("format", "opus") == "pcm" else b"opus packet"
        self._hold, self._send, self._socket = hold, send, socket
        self._text = ""
        self._segments: asyncio.Queue[str | None] = asyncio.Queue()
        self._task = asyncio.create_task(self._speak())

    def push(self, text: str) -> None:
        self._text += text
        *whole, self._text = self._text.replace(". ", ".\0").split("\0")
        for segment in whole:
            self._segments.put_nowait(segment)

    def flush(self) -> None:
        if self._text.strip():
            self._segments.put_nowait(self._text.strip())
        self._text = ""

    def end(self) -> None:
        self.flush()
        self._segments.put_nowait(None)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _speak(self) -> None:
        with suppress(ConnectionClosed):
            while (segment := await self._segments.get()) is not None:
                if not await self._speak_segment(segment):
                    return
            await self._send({"type": "done", "context_id": self._context_id, "duration_ms": self.seq * 80.0})

    async def _speak_segment(self, segment: str) -> bool:
        start_ms = self.seq * 80.0
        for word in segment.split():
            await self._hold.wait()
            match word.strip("."):
                case "explode":
                    await self._send(error("internal", "internal", self._context_id))
                    return False
                case "refuse":
                    await self._send(error("text_limit", "too much text waits", self._context_id, final=False))
                case "hangup":
                    self._socket.transport.abort()
                    return False
                case "damage":
                    await self._socket.send(b"\xc1")
                case _:
                    await self._send(self._frame())
        times = {"start_ms": start_ms, "end_ms": self.seq * 80.0}
        await self._send({"type": "segment", "context_id": self._context_id, "text": segment, **times})
        return True

    def _frame(self) -> Message:
        seq, self.seq = self.seq, self.seq + 1
        start_sample = seq * FRAME_SAMPLES
        message = {"type": "audio", "context_id": self._context_id, "seq": seq, "start_sample": start_sample}
        return {**message, "data": self._data}


async def send(socket: ServerConnection, message: Message) -> None:
    if socket.subprotocol == "sayline.v1.msgpack":
        await socket.send(msgpack.packb(message))
    elif message["type"] == "audio":
        name = message["context_id"].encode()
        header = bytes([1, len(name), 0, 0]) + struct.pack(">IQ", message["seq"], message["start_sample"])
        await socket.send(header + name + message["data"])
    else:
        await socket.send(json.dumps(message))


def error(code: str, message: str, context_id: str, final: bool = True) -> Message:
    return {"type": "error", "code": code, "message": message, "context_id": context_id, "final": final}


def golden(path: Any) -> dict[str, list[Message]]:
    """The golden file's entries by direction, frames as they go over the socket in both encodings."""
    entries: dict[str, list[Message]] = defaultdict(list)
    for entry in json.loads(path.read_text("utf-8")):
        entry["msgpack"] = base64.b64decode(entry["msgpack_base64"])
        if entry["binary"]:
            entry["json"] = base64.b64decode(entry["json"])
            entry["message"]["data"] = base64.b64decode(entry["message"]["data"])
        entries[entry["direction"]].append(entry)
    return entries
