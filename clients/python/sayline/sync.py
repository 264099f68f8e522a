"""Synchronous API: `with sayline.sync.connect(...) as server, server.context() as speech`.

Names, arguments and exceptions are those of `sayline`, which runs in a thread of its own. Everything may be called from
any thread.
"""

import os
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from sayline import client, context, player, voices
from sayline.connection import ApiKey
from sayline.frame import Frame
from sayline.inbox import Event
from sayline.loop_thread import LoopThread
from sayline.messages import Cancelled, Ready
from sayline.sound_device import Device
from sayline.text_stream import Text
from sayline.wire import Encoding

LOOP = LoopThread()

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")


def same_arguments_as(
    _: Callable[Concatenate[Any, P], Any],
) -> Callable[[Callable[..., R]], Callable[Concatenate[Any, P], R]]:
    """Give the decorated method the signature of that method."""
    return lambda method: method


class Session:
    def __init__(self, session: client.Session) -> None:
        self._session = session

    def __enter__(self) -> Self:
        LOOP.acquire()
        try:
            LOOP.run(self._session.__aenter__())
        except BaseException:
            LOOP.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            LOOP.run(self._session.__aexit__(kind, error, trace))
        finally:
            LOOP.release()

    @same_arguments_as(client.Session.context)
    def context(self, *arguments: Any, **named: Any) -> "Context":
        return Context(LOOP.call(self._session.context, *arguments, **named))

    @property
    def voices(self) -> "Voices":
        return Voices(self._session.voices)

    @property
    def url(self) -> str:
        return self._session.url

    @property
    def ready(self) -> Ready:
        return self._session.ready


class Context:
    """Iterating yields the events."""

    def __init__(self, context: context.Context) -> None:
        self._context = context

    def __enter__(self) -> Self:
        LOOP.run(self._context.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        LOOP.run(self._context.__aexit__(kind, error, trace))

    def say(self, text: Text) -> Iterator[Frame]:
        self.feed(text)
        return (event for event in self if isinstance(event, Frame))

    def save(self, path: str | os.PathLike[str], text: Text) -> None:
        LOOP.run(self._context.save(path, text))

    def feed(self, text: Text) -> None:
        LOOP.call(self._context.feed, text)

    def push(self, text: str) -> None:
        LOOP.run(self._context.push(text))

    def flush(self, id: str | None = None) -> None:
        LOOP.run(self._context.flush(id))

    def end(self) -> None:
        LOOP.run(self._context.end())

    def ack(self, played_ms: float) -> None:
        LOOP.run(self._context.ack(played_ms))

    def cancel(self, played_ms: float | None = None) -> Cancelled:
        return LOOP.run(self._context.cancel(played_ms))

    def __iter__(self) -> Iterator[Event]:
        while (event := LOOP.run(self._next())) is not None:
            yield event

    async def _next(self) -> Event | None:
        return await anext(self._context, None)

    @property
    def context_id(self) -> str:
        return self._context.context_id

    @property
    def sample_rate_hz(self) -> int:
        return self._context.sample_rate_hz

    @property
    def duration_ms(self) -> float:
        return self._context.duration_ms

    @property
    def place(self) -> int | None:
        return self._context.place


class Voices:
    def __init__(self, voices: voices.Voices) -> None:
        self._voices = voices

    def list(self) -> list[voices.Voice]:
        return LOOP.run(self._voices.list())

    @same_arguments_as(voices.Voices.clone)
    def clone(self, *arguments: Any, **named: Any) -> voices.Voice:
        return LOOP.run(self._voices.clone(*arguments, **named))

    def download(self, voice: str) -> bytes:
        return LOOP.run(self._voices.download(voice))

    def delete(self, voice: str) -> None:
        LOOP.run(self._voices.delete(voice))


class Player:
    def __init__(self, device: Device | str | int | None = None) -> None:
        self._player = player.Player(device)

    def __enter__(self) -> Self:
        LOOP.acquire()
        LOOP.run(self._player.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            LOOP.run(self._player.__aexit__(kind, error, trace))
        finally:
            LOOP.release()

    def play(self, speech: Context, on_event: Callable[[Event], None] | None = None) -> Cancelled:
        """`on_event` is called in the event loop's thread: it must be quick."""
        return LOOP.run(self._player.play(speech._context, on_event))

    def cancel(self) -> Cancelled:
        return LOOP.run(self._player.cancel())

    def pause(self) -> None:
        LOOP.call(self._player.pause)

    def resume(self) -> None:
        LOOP.call(self._player.resume)

    @property
    def played_ms(self) -> float:
        return self._player.played_ms

    @property
    def lead_ms(self) -> float:
        return self._player.lead_ms

    @property
    def underruns(self) -> int:
        return self._player.underruns


def connect(
    url: str | None = None,
    api_key: ApiKey | None = None,
    *,
    encoding: Encoding = Encoding.MSGPACK,
    timeout_s: float = 10.0,
) -> Session:
    return Session(client.connect(url, api_key, encoding=encoding, timeout_s=timeout_s))
