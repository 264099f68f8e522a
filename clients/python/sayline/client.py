"""The session: any number of contexts over one connection to a server, and over the next one when that is lost."""

import asyncio
import itertools
import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Self

from sayline.backoff import delays_s
from sayline.connection import Address, Connection
from sayline.context import Context
from sayline.errors import ConnectionLost, NotRecovered, Refused, SaylineError
from sayline.messages import ContextMessage, Error, Format, Mode, Ready, Resume, Resumed, ServerMessage, Start
from sayline.opus import load_libopus
from sayline.state import State
from sayline.wire import Encoding

DEFAULT_URL = "ws://127.0.0.1:8000"

log = logging.getLogger("sayline")


def connect(
    url: str | None = None,
    api_key: str | None = None,
    *,
    encoding: Encoding = Encoding.MSGPACK,
    timeout_s: float = 10.0,
) -> "Session":
    """Use with `async with`. Raises `Refused` on entering, with what to do about it, when no session comes about.

    What is left out is taken from SAYLINE_URL and SAYLINE_API_KEY, where they are set.
    """
    if url is None:
        url = os.environ.get("SAYLINE_URL", DEFAULT_URL)
    if api_key is None:
        api_key = os.environ.get("SAYLINE_API_KEY")
    return Session(Address(url, api_key, encoding, timeout_s))


class Session:
    """Made by `connect`. Its contexts do not wait for each other: one that nobody reads holds up no other.

    A connection that breaks is replaced, and the speech goes on where it was. What cannot go on ends in
    `ConnectionLost`: its contexts alone (`NotRecovered`), or the session with them.
    """

    ready: Ready

    def __init__(self, address: Address) -> None:
        self.url = address.url
        self._address = address
        self._contexts: dict[str, Context] = {}
        self._numbers = itertools.count(1)
        self._complaint: Error | None = None  # the server's last word about the session as a whole
        self._loss: SaylineError | None = None  # why the session is over
        self._connection: Connection
        self._writing = asyncio.Lock()  # what is said goes out in order, also over a new connection
        self._running: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        self._connection = await self._address.connect()
        self.ready = self._connection.ready
        self._running = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.cancel()
        await asyncio.wait([self._running])

    def context(
        self,
        voice: str | None = None,
        *,
        format: Format | None = None,
        mode: Mode | None = None,
        clean_up: bool | None = None,
        language: str | None = None,
        speed: float | None = None,
        seed: int | None = None,
        temperature: float | None = None,
        decode_steps: int | None = None,
        max_delay_ms: float | None = None,
        max_lead_ms: float | None = None,
        wait: bool = True,
    ) -> Context:
        """A stream of speech; use with `async with`. What is None is the server's choice.

        The sound comes as Opus, and is decoded, where this machine has libopus; else as PCM. With `format` "opus" the
        packets can be had too, and with "pcm" every sample is as it was made. `mode` "verbatim" speaks each `push` as
        one phrase; else the server finds the sentences, and half of one waits no longer than `max_delay_ms` for its
        other half. `clean_up` says numbers, dates, links and Markdown as a person would, in `language`. More
        `decode_steps` are more work on each frame. `max_lead_ms` is how far the server may run ahead of the listener:
        large for a file, small for a talk in which it will be interrupted. Where the server is full, `wait` says
        whether this one queues up (`Queued` tells its place) or fails at once with `Full`.
        """
        name = f"speech-{next(self._numbers)}"
        start = Start(
            name, voice, format or ("opus" if load_libopus() else "pcm"), seed, temperature, max_lead_ms,
            None if wait else False, mode, clean_up, language, speed, max_delay_ms, decode_steps,
        )  # fmt: skip
        context = Context(start, self.ready, self._send, packets=format == "opus")
        self._contexts[name] = context
        return context

    async def _run(self) -> None:
        """Until there is no connection any more, and none to be had."""
        loss: SaylineError = ConnectionLost(f"the session with {self.url} was closed here: connect again")
        try:
            while True:
                await self._go_on_without(await self._read())
        except SaylineError as error:
            loss = error
        finally:
            self._loss = loss
            self._lose(loss, list(self._contexts))
            await self._connection.close_for(loss)

    async def _read(self) -> ConnectionLost:
        """Hands every message to its context until the connection is lost. Never waits for a context."""
        while True:
            try:
                self._dispatch(await self._connection.receive())
            except ConnectionLost as loss:
                return loss

    def _dispatch(self, message: ServerMessage) -> None:
        match message:
            case Ready() | Resumed():
                pass
            case Error(context_id=None):
                self._complaint = message
                log.warning("%s: %s (%s)", self.url, message.message, message.code)
            case _:
                if context := self._contexts.get(message.context_id or ""):
                    context.receive(message)
                    if context.state is State.OVER:
                        del self._contexts[context.context_id]

    async def _send(self, message: ContextMessage) -> None:
        """Now, or over the next connection."""
        async with self._writing:
            if self._loss is not None:
                raise self._loss
            if context := self._contexts.get(message.context_id):
                context.on_sending(message)
                with suppress(ConnectionLost):  # who reads notices it too, and `sent` has what to say again
                    await self._connection.send(message)

    async def _go_on_without(self, loss: ConnectionLost) -> None:
        """Over another connection, or raise why not: a server that closes one in an orderly way ends the session."""
        complaint = self._complaint
        told = f"the connection to {self.url} was lost ({complaint.message if complaint else loss})"
        if loss.close_code is not None or not self.ready.resume_s:
            after_ms = complaint.retry_after_ms if complaint else None
            raise ConnectionLost(f"{told}: connect again", loss.close_code, after_ms) from loss
        log.info("%s", told)
        why: Exception = loss
        try:
            async with asyncio.timeout(self.ready.resume_s):
                delays = delays_s()
                while True:
                    asked_ms = why.retry_after_ms if isinstance(why, Refused) else None
                    await asyncio.sleep(next(delays) + (asked_ms or 0.0) / 1000)
                    try:
                        await self._resume()
                        return
                    except (Refused, ConnectionLost) as error:
                        why = error
        except TimeoutError:
            seconds = f"{self.ready.resume_s:g} s"
            raise ConnectionLost(f"{told}, and no other came about in {seconds} ({why}): connect again") from why

    async def _resume(self) -> None:
        connection = await self._address.connect()
        try:
            async with self._writing:
                begun = {name: context for name, context in self._contexts.items() if context.sent.count}
                last_seqs = {name: context.last_seq for name, context in begun.items()}
                await connection.send(Resume(self.ready.token, last_seqs))
                answer = await connection.expect(Resumed)
                if answer.recovered:
                    for name, context in begun.items():
                        for message in context.sent.after(answer.contexts.get(name, 0)):
                            await connection.send(message)
                else:
                    self.ready = connection.ready
                    self._lose(NotRecovered(f"{self.url} is there again, but: {answer.message}"), begun)
                self._connection, self._complaint = connection, None
        except BaseException as error:
            await connection.close_for(error)
            raise
        log.info("%s: %s", self.url, answer.message)

    def _lose(self, loss: SaylineError, names: Iterable[str]) -> None:
        for name in names:
            self._contexts.pop(name).lose(loss)
