"""One WebSocket connection of the native protocol: parses messages for its session, and serializes the events."""

import asyncio
import logging
from collections.abc import Iterable

from aiohttp import web

from sayline_tts.server.settings import Settings
from sayline_tts.server.websocket import messages, wire
from sayline_tts.server.websocket.messages import Resume
from sayline_tts.server.websocket.outbox import Frame, Outgoing, SwitchSession
from sayline_tts.server.websocket.protocol import ProtocolError
from sayline_tts.server.websocket.session import Session
from sayline_tts.server.websocket.sessions import Sessions
from sayline_tts.server.websocket.socket_connection import SocketConnection
from sayline_tts.server.websocket.wire import Encoding

log = logging.getLogger(__name__)


class Connection(SocketConnection):
    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.WriteTransport,
        encoding: Encoding,
        session: Session,
        sessions: Sessions,
        settings: Settings,
    ) -> None:
        super().__init__(socket, transport, session, sessions, settings)
        self._encoding = encoding

    async def run(self, ready: messages.Ready) -> None:
        self._session.send_ready(ready)
        await self.serve()

    async def _handle(self, data: str | bytes, first: bool) -> None:
        message = wire.parse(data, self._encoding)
        if isinstance(message, Resume):
            await self._resume(message, first)
        else:
            self._session.handle(message)

    def _frames(self, event: messages.ServerEvent | Frame) -> Iterable[str | bytes]:
        assert not isinstance(event, Frame), "frames are other protocols'"
        return (wire.serialize(event, self._encoding),)

    async def _resume(self, message: Resume, first: bool) -> None:
        if not first:
            reason = "resume must be the first message of a connection"
            raise ProtocolError("too_late", f"{reason}; start new contexts instead")
        new = self._session
        session = await self._sessions.take_over(message.token, new)
        if session is None:
            self._report_not_recovered("no session has this token")
            return
        received = session.resume(message.contexts)
        if received is None:
            self._sessions.discard(session)
            self._report_not_recovered("events that were missed have been discarded")
            return
        resumed = messages.Resumed(True, session.id, received, "the session continues")
        session.outbox.requeue([Outgoing(resumed, None)])
        self._session = session
        self._sessions.attach(session, self)
        new.outbox.put(SwitchSession())
        self._sessions.discard(new)
        log.info("the connection resumes session %s", session.id)

    def _report_not_recovered(self, reason: str) -> None:
        session = self._session
        session.outbox.put(messages.Resumed(False, session.id, {}, f"{reason}; start its contexts again", True))
