"""The session: one WebSocket to a server, with any number of contexts in it."""

import asyncio
import itertools
import logging
from types import TracebackType
from typing import Literal, Self

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from sayline import wire
from sayline.context import Context, State
from sayline.errors import ConnectionLost, ProtocolError, Refused
from sayline.opening import open_socket

log = logging.getLogger("sayline")

Format = Literal["pcm", "opus"]


def connect(
    url: str = "ws://127.0.0.1:8000",
    api_key: str | None = None,
    *,
    encoding: wire.Encoding = wire.Encoding.MSGPACK,
    timeout_s: float = 10.0,
) -> "Session":
    """Use with `async with`. Raises `Refused` on entering, with what to do about it, when no session comes about."""
    return Session(url, api_key, encoding, timeout_s)


class Session:
    """Made by `connect`. Its contexts do not wait for each other: one that nobody reads holds up no other."""

    ready: wire.Ready

    def __init__(self, url: str, api_key: str | None, encoding: wire.Encoding, timeout_s: float) -> None:
        self.url = url
        self._api_key = api_key
        self._encoding = encoding
        self._timeout_s = timeout_s
        self._contexts: dict[str, Context] = {}
        self._numbers = itertools.count(1)
        self._complaint = ""  # the server's last word about the session as a whole
        self._socket: ClientConnection
        self._reading: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        self._socket = await open_socket(self.url, self._api_key, self._encoding, self._timeout_s)
        try:
            self.ready = await self._receive_ready()
        except BaseException:
            await self._socket.close()
            raise
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._socket.close()
        await self._reading

    def context(
        self,
        voice: str | None = None,
        *,
        format: Format = "pcm",
        seed: int | None = None,
        temperature: float | None = None,
        max_lead_ms: float | None = None,
        wait: bool = True,
    ) -> Context:
        """A stream of speech; use with `async with`. What is None is the server's choice.

        `max_lead_ms` is how far the server may run ahead of the listener: large for a file, small for a talk in which
        it will be interrupted. Where the server is full, `wait` says whether this one queues up (`Queued` tells its
        place) or fails at once with `retry_after_ms`.
        """
        name = f"speech-{next(self._numbers)}"
        start = wire.Start(name, voice, format, seed, temperature, max_lead_ms, None if wait else False)
        context = Context(start, self.ready.sample_rate_hz, self.ready.frame_ms, self._send)
        self._contexts[name] = context
        return context

    async def _receive_ready(self) -> wire.Ready:
        try:
            async with asyncio.timeout(self._timeout_s):
                message = wire.decode(await self._socket.recv(), self._encoding)
        except TimeoutError as error:
            raise Refused(f"{self.url} did not say that it is ready within {self._timeout_s:g} s: try again") from error
        except ConnectionClosed as error:
            raise Refused(f"{self.url} closed the session at once ({closing(error)}): try again") from error
        match message:
            case wire.Ready():
                return message
            case wire.Error():
                raise Refused(f"{self.url} refused the session: {message.message}")
            case _:
                raise ProtocolError(f"{self.url} opened with {type(message).__name__.lower()} instead of ready")

    async def _read(self) -> None:
        """Hands every message to its context until the socket closes. Never waits for a context."""
        loss: Exception
        try:
            while True:
                self._dispatch(wire.decode(await self._socket.recv(), self._encoding))
        except ConnectionClosed as error:
            loss = self._lost(error)
        except ProtocolError as error:
            loss = error
        for context in self._contexts.values():
            context.lose(loss)
        self._contexts.clear()
        await self._socket.close(1002 if isinstance(loss, ProtocolError) else 1000)

    def _dispatch(self, message: wire.ServerMessage) -> None:
        match message:
            case wire.Error(context_id=None):
                self._complaint = message.message
                log.warning("%s: %s (%s)", self.url, message.message, message.code)
            case wire.Queued() | wire.Audio() | wire.Segment() | wire.Done() | wire.Cancelled() | wire.Error():
                if context := self._contexts.get(message.context_id or ""):
                    context.receive(message)
                    if context.state is State.OVER:
                        del self._contexts[context.context_id]
            case wire.Ready() | wire.Unknown():
                pass

    async def _send(self, message: wire.ClientMessage) -> None:
        try:
            await self._socket.send(wire.encode(message, self._encoding))
        except ConnectionClosed as error:
            raise self._lost(error) from error

    def _lost(self, error: ConnectionClosed) -> ConnectionLost:
        why = self._complaint or closing(error)
        return ConnectionLost(f"the connection to {self.url} was lost ({why}): connect again")


def closing(error: ConnectionClosed) -> str:
    """Why a socket closed, as the server put it."""
    if error.rcvd is None:
        return "without a word"
    return error.rcvd.reason or f"close code {error.rcvd.code}"
