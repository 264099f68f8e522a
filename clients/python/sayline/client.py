"""The session: any number of contexts over one connection, which is replaced and resumed when it is lost."""

import asyncio
import itertools
import logging
import os
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from sayline.connection import Address, ApiKey, Connection
from sayline.context import Context
from sayline.errors import ConnectionLost, NotRecovered, Refused, SaylineError
from sayline.messages import ContextMessage, Error, Format, Mode, Ready, Resume, Resumed, ServerMessage, Start
from sayline.opus import load_libopus
from sayline.state import State
from sayline.voices import Voices
from sayline.wire import Encoding

DEFAULT_URL = "ws://127.0.0.1:8000"
FIRST_RETRY_S = 0.1
MAX_RETRY_S = 4.0

log = logging.getLogger("sayline")


def connect(
    url: str | None = None,
    api_key: ApiKey | None = None,
    *,
    encoding: Encoding = Encoding.MSGPACK,
    timeout_s: float = 10.0,
) -> "Session":
    """Return a session; use it with `async with`. Entering raises `Refused` if no session can be opened.

    Omitted arguments are taken from SAYLINE_URL and SAYLINE_API_KEY, if set. `api_key` may be a function, plain or
    async, that returns a key or a token; it is called for each connection.
    """
    if url is None:
        url = os.environ.get("SAYLINE_URL", DEFAULT_URL)
    if api_key is None:
        api_key = os.environ.get("SAYLINE_API_KEY")
    return Session(Address(url, api_key, encoding, timeout_s))


class Session:
    """Made by `connect`. Its contexts are independent: one that is not read does not block the others.

    A lost connection is replaced, and speech continues where it was. What cannot continue ends with `ConnectionLost`:
    only the contexts (`NotRecovered`), or the whole session.
    """

    ready: Ready

    def __init__(self, address: Address) -> None:
        self.url = address.url
        self.voices = Voices(address.url, address.key)
        self._address = address
        self._contexts: dict[str, Context] = {}
        self._context_numbers = itertools.count(1)
        self._last_error: Error | None = None  # the last error about the session as a whole
        self._closed_by: SaylineError | None = None  # why the session is over
        self._connection: Connection
        self._send_lock = asyncio.Lock()  # keeps messages in order across connections
        self._receive_task: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        self._connection = await self._address.connect()
        self.ready = self._connection.ready
        self._receive_task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._receive_task.cancel()
        await asyncio.wait([self._receive_task])

    def context(  # more than eight parameters: each is an optional field of `start`
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
        lookahead_words: int | None = None,
        lexicons: Sequence[str] | None = None,
        cache: bool | None = None,
        traceparent: str | None = None,
        wait: bool = True,
    ) -> Context:
        """Return a stream of speech; use it with `async with`. None means the server's default.

        Audio is sent as Opus and decoded if this machine has libopus, otherwise as PCM. With `format` "opus" frames
        carry the packets too; "pcm" is lossless. `mode` "verbatim" speaks each `push` as one phrase; otherwise the
        server detects sentences, and an incomplete one waits at most `max_delay_ms` for its rest. With
        `lookahead_words`, such as 2, it does not wait: it is spoken while it is written, with at least so many words
        ahead of the voice; 0 waits for whole clauses. `clean_up` normalizes
        numbers, dates, links and Markdown in `language`. More `decode_steps` spend more computation on each frame.
        `lexicons` names those that tell how names and other words are said, the more important ones first; None is the
        one called "default", if there is one.
        `cache` lets the server keep the speech and repeat it at once: True waits for the end of the text; None does so
        if there is a `seed` and the text has neither digits nor addresses. `traceparent` (W3C Trace Context) puts the
        server's spans into the caller's trace. `max_lead_ms` limits how far the server runs
        ahead of playback: large for a file, small for a conversation with interruptions. If the server is full, `wait`
        decides whether the context queues (`Queued` events tell its place) or fails at once with `Full`.
        """
        name = f"speech-{next(self._context_numbers)}"
        start = Start(
            name, voice, format or ("opus" if load_libopus() else "pcm"), seed, temperature, max_lead_ms,
            None if wait else False, mode, clean_up, language, speed, max_delay_ms, decode_steps, lookahead_words,
            lexicons, cache, traceparent,
        )  # fmt: skip
        context = Context(start, self.ready, self._send, packets=format == "opus")
        self._contexts[name] = context
        return context

    async def _run(self) -> None:
        """Receive until the connection is lost and cannot be replaced."""
        loss: SaylineError = ConnectionLost(f"the session with {self.url} was closed by this client: connect again")
        try:
            while True:
                await self._reconnect(await self._read())
        except SaylineError as error:
            loss = error
        finally:
            self._closed_by = loss
            self._fail_contexts(loss, list(self._contexts))
            await self._connection.close_for(loss)

    async def _read(self) -> ConnectionLost:
        """Dispatch messages until the connection is lost. Never waits for a context."""
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
                self._last_error = message
                log.warning("%s: %s (%s)", self.url, message.message, message.code)
            case _:
                if context := self._contexts.get(message.context_id or ""):
                    context.receive(message)
                    if context.state is State.OVER:
                        del self._contexts[context.context_id]

    async def _send(self, message: ContextMessage) -> None:
        """Send now, or over the next connection. Raises `SaylineError` if the session is over."""
        async with self._send_lock:
            if self._closed_by is not None:
                raise self._closed_by
            if context := self._contexts.get(message.context_id):
                context.on_sending(message)
                with suppress(ConnectionLost):  # the receiver notices too, and resends from the buffer
                    await self._connection.send(message)

    async def _reconnect(self, loss: ConnectionLost) -> None:
        """Resume over another connection, or raise `ConnectionLost`. A close frame from the server ends the session."""
        complaint = self._last_error
        summary = f"the connection to {self.url} was lost ({complaint.message if complaint else loss})"
        if loss.close_code is not None or not self.ready.resume_s:
            after_ms = complaint.retry_after_ms if complaint else None
            raise ConnectionLost(f"{summary}: connect again", loss.close_code, after_ms) from loss
        log.info("%s", summary)
        why: Exception = loss
        try:
            async with asyncio.timeout(self.ready.resume_s):
                delays = retry_delays_s()
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
            raise ConnectionLost(
                f"{summary} and could not be replaced within {seconds} ({why}): connect again"
            ) from why

    async def _resume(self) -> None:
        connection = await self._address.connect(self.ready.session_id)
        try:
            async with self._send_lock:
                begun = {name: context for name, context in self._contexts.items() if context.resend_buffer.count}
                last_seqs = {name: context.last_seq for name, context in begun.items()}
                await connection.send(Resume(self.ready.token, last_seqs))
                answer = await connection.expect(Resumed)
                if answer.recovered:
                    for name, context in begun.items():
                        for message in context.resend_buffer.after(answer.contexts.get(name, 0)):
                            await connection.send(message)
                else:
                    continues = answer.can_continue and _same_audio(connection.ready, self.ready)
                    self.ready = connection.ready
                    if continues:
                        for context in begun.values():
                            for message in context.restart():
                                await connection.send(message)
                    else:
                        self._fail_contexts(
                            NotRecovered(f"reconnected to {self.url}, but the session is lost: {answer.message}"), begun
                        )
                self._connection, self._last_error = connection, None
        except BaseException as error:
            await connection.close_for(error)
            raise
        log.info("%s: %s", self.url, answer.message)

    def _fail_contexts(self, loss: SaylineError, names: Iterable[str]) -> None:
        for name in names:
            self._contexts.pop(name).on_connection_lost(loss)


def _same_audio(one: Ready, other: Ready) -> bool:
    return (one.sample_rate_hz, one.frame_ms) == (other.sample_rate_hz, other.frame_ms)


def retry_delays_s() -> Iterator[float]:
    """Yield random delays below a limit that doubles: full jitter, so that clients do not all reconnect at once."""
    limit_s = FIRST_RETRY_S
    while True:
        yield random.uniform(0, limit_s)
        limit_s = min(2 * limit_s, MAX_RETRY_S)
