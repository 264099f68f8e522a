"""A scripted Sayline server on a real socket.

It writes and reads the wire with code of its own, so that a fault in the client's cannot hide in it.
"""

import asyncio
import base64
import itertools
import json
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Self

import msgpack
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tests.clients.scripted_session import Session, send
from tests.clients.speaker import Message, Speaker
from tests.clients.tone import FRAME_SAMPLES, TONE

__all__ = ["FRAME_SAMPLES", "READY", "TONE", "VOICES", "ScriptedServer", "error", "golden", "send"]

VOICES = ["clara", "angus"]
READY: Message = {
    "type": "ready",
    "protocol": "sayline.v1",
    "server": "scripted/1",
    "model": "tone",
    "voices": VOICES,
    "default_voice": "clara",
    "sample_rate_hz": 24000,
    "frame_ms": 80.0,
    "opus_pre_skip": 156,
    "session_id": "session-1",
    "token": "token-1",
    "resume_s": 30.0,
}


class ScriptedServer:
    """Use with `async with`.

    Each word of a text is one frame. Words with a meaning of their own: `explode` (the context fails), `refuse` (the
    message is refused, the context goes on), both with a code of their own as in `refuse-rate_limited`; `hangup` (the
    socket is cut), `snap` (and what was said just now is lost on the way), `vanish` (so is the text itself, the first
    time), `damage` (a frame that is not a message), `later` (a type of a later server). `hold` stops all speech until
    it is set.
    """

    def __init__(self) -> None:
        self.hold = asyncio.Event()
        self.hold.set()
        self.api_key: str | None = None
        self.refuse_with: HTTPStatus | None = None
        self.places: list[int] = []  # in which every context waits before it speaks
        self.subprotocols = ("sayline.v1.msgpack", "sayline.v1.json")
        self.greeting: Message | None = READY
        self.resume_s = 30.0
        self.forgets = False  # sessions whose socket is lost
        self.taken_more = 0  # messages than there were, as it says when a session is resumed
        self.answer_resume: Message | None = None  # instead of `resumed`
        self.sessions: dict[str, Session] = {}  # by token
        self.close_with: tuple[int, str] | None = None
        self.received: list[Message] = []
        self.paths: list[str] = []  # of handshakes
        self.changed = asyncio.Condition()
        self.answer_http: Callable[[Request], Response | None] = lambda request: None
        self.connections: list[ServerConnection] = []
        self._context_numbers = itertools.count(1)
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
        for session in self.sessions.values():
            for speaker in session.speakers.values():
                await speaker.stop()
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

    async def connected(self, times: int) -> None:
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(lambda: len(self.connections) >= times), 10)

    async def until_last(self, kind: str) -> None:
        await self.until(lambda received: bool(received) and received[-1]["type"] == kind)

    async def until_text(self, text: str) -> None:
        await self.until(lambda received: bool(received) and received[-1].get("text") == text)

    def texts(self, context_id: str = "speech-1") -> str:
        return "".join(m["text"] for m in self.received if m["type"] == "text" and m["context_id"] == context_id)

    async def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path.split("?")[0] != "/v1/stream":
            return self.answer_http(request) or connection.respond(HTTPStatus.NOT_FOUND, "nothing here\n")
        self.paths.append(request.path)
        if self.refuse_with is not None:
            return connection.respond(self.refuse_with, "no\n")
        offered = request.headers.get("Sec-WebSocket-Protocol", "").split(", ")
        keys = [request.headers.get("Authorization"), *offered]
        if self.api_key is not None and not {f"Bearer {self.api_key}", f"sayline.key.{self.api_key}"} & {*keys}:
            return connection.respond(HTTPStatus.UNAUTHORIZED, "no key\n")
        return None

    async def _serve(self, socket: ServerConnection) -> None:
        async with self.changed:
            self.connections.append(socket)
            self.changed.notify_all()
        if self.close_with is not None:
            await socket.close(*self.close_with)
        elif self.greeting is not None:
            session = Session(next(self._context_numbers), socket)
            self.sessions[session.token] = session
            ready = {"session_id": session.id, "token": session.token, "resume_s": self.resume_s}
            await send(socket, self.greeting | (ready if self.greeting["type"] == "ready" else {}))
            await self._listen(session, socket)
        else:
            await socket.wait_closed()

    async def _listen(self, session: Session, socket: ServerConnection) -> None:
        sending = asyncio.create_task(session.send_all(socket))
        with suppress(ConnectionClosed):
            async for frame in socket:
                message = json.loads(frame) if isinstance(frame, str) else msgpack.unpackb(frame)
                async with self.changed:
                    self.received.append(message)
                    self.changed.notify_all()
                if message["type"] == "resume":
                    sending.cancel()
                    session = self._resume(message, session, socket)
                    sending = asyncio.create_task(session.send_all(socket))
                elif message["type"] == "start":
                    self._start(message, session)
                elif speaker := session.speakers.get(message["context_id"]):
                    if "vanish" in message.get("text", "") and len(self.connections) == 1:
                        session.cut()
                        break
                    speaker.take(message)
        sending.cancel()
        if session.socket is socket:
            session.lose()
        if self.forgets or not self.resume_s:
            for speaker in session.speakers.values():
                await speaker.stop()

    def _start(self, message: Message, session: Session) -> None:
        context_id, voice = message["context_id"], message.get("voice", "clara")
        if voice not in VOICES:
            session.say(error("unknown_voice", "no voice of that name; there are: clara, angus", context_id))
        elif self.places and not message.get("wait", True):
            session.say({**error("full", "all are speaking", context_id), "retry_after_ms": 1500.0})
        else:
            speaker = session.speakers[context_id] = Speaker(message, self.hold, session)
            for place in self.places:
                speaker.say("queued", place=place)

    def _resume(self, message: Message, own: Session, socket: ServerConnection) -> Session:
        if self.answer_resume is not None:
            own.say(self.answer_resume)
            return own
        former = None if self.forgets else self.sessions.get(message["token"])
        if former is None:
            told = "no session has this token; start its contexts anew"
            own.say({"type": "resumed", "recovered": False, "session_id": own.id, "contexts": {}, "message": told})
            return own
        del self.sessions[own.token]
        former.socket = socket
        speakers = {name: former.speakers[name] for name in message["contexts"] if name in former.speakers}
        taken = {
            name: self.taken_more + (speakers[name].taken if name in speakers else 0) for name in message["contexts"]
        }
        told = "the session goes on"
        former.say({"type": "resumed", "recovered": True, "session_id": former.id, "contexts": taken, "message": told})
        for name, speaker in speakers.items():
            for event in speaker.said[message["contexts"][name] + 1 :]:
                former.say(event)
        return former


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
