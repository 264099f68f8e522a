"""The Python client, driven line by line like the JavaScript one."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import sayline
from sayline import wire

from tests.clients.conformance.common_form import digest

Content = Any
END, BREAK = object(), object()


class TextBroke(Exception):
    """What a text's own iterator raises."""


class Writing:
    """A text that is written when we say so."""

    def __init__(self) -> None:
        self.pieces: asyncio.Queue[Any] = asyncio.Queue()
        self._closed = asyncio.Event()

    async def until_closed(self) -> None:
        """Waits until nobody reads it any more."""
        await self._closed.wait()

    async def __aiter__(self) -> AsyncIterator[str]:
        try:
            while (piece := await self.pieces.get()) is not END:
                if piece is BREAK:
                    raise TextBroke("the text broke")
                yield piece
        finally:
            self._closed.set()


class PythonClient:
    """Use with `async with`. Every verb answers with what there is to report."""

    def __init__(self, encoding: sayline.Encoding) -> None:
        self.encoding = encoding
        self._session: Any
        self._opened = False
        self._contexts: dict[str, Any] = {}
        self._writings: dict[str, Any] = {}

    def open(self, url: str, api_key: str | None) -> Any:
        return sayline.connect(url, api_key, encoding=self.encoding)

    def new_writing(self) -> Any:
        return Writing()

    async def __aenter__(self) -> "PythonClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client_close(None)

    async def do(self, actor: str, verb: str, content: Content) -> Any:
        """Events, or what else there is to tell; in an `error` what was raised."""
        own: Callable[[Content], Awaitable[Any]] | None = getattr(self, f"client_{verb}", None)
        try:
            if actor == "client":
                assert own is not None, verb
                return await own(content)
            return await getattr(self, f"context_{verb}")(actor, content)
        except (sayline.SaylineError, TypeError, TextBroke) as error:
            return {"error": report_error(error)}

    async def client_connect(self, content: dict[str, Any]) -> None:
        self._session = self.open(content["url"], content.get("api_key"))
        await self._session.__aenter__()
        self._opened = True

    async def client_close(self, _: Content) -> None:
        if self._opened:
            self._opened = False
            await self._session.__aexit__(None, None, None)

    async def client_ready(self, _: Content) -> dict[str, Any]:
        return {"ready": dataclasses.asdict(self._session.ready)}

    async def client_decode(self, frames: list[dict[str, str]]) -> dict[str, list[str]]:
        """What each frame is: the type of its message, or why it is none."""
        return {"verdicts": [self._verdict(frame) for frame in frames]}

    def _verdict(self, frame: dict[str, str]) -> str:
        try:
            whole = frame["text"] if "text" in frame else bytes.fromhex(frame["bytes"])
            return wire.type_name(type(wire.decode(whole, self.encoding)))
        except sayline.SaylineError as error:
            return type(error).__name__

    async def context_start(self, name: str, options: dict[str, Any] | None) -> None:
        context = self._session.context(**(options or {}))
        self._contexts[name] = context
        await context.__aenter__()

    async def context_push(self, name: str, text: str) -> None:
        await self._contexts[name].push(text)

    async def context_flush(self, name: str, id: str | None) -> None:
        await self._contexts[name].flush(id)

    async def context_end(self, name: str, _: Content) -> None:
        await self._contexts[name].end()

    async def context_ack(self, name: str, played_ms: float) -> None:
        await self._contexts[name].ack(played_ms)

    async def context_cancel(self, name: str, played_ms: float | None) -> dict[str, Any]:
        return {"events": [report_event(await self._contexts[name].cancel(played_ms))]}

    async def context_leave(self, name: str, _: Content) -> None:
        await self._contexts[name].__aexit__(None, None, None)

    async def context_feed(self, name: str, text: str | None) -> None:
        self._writings[name] = self.new_writing()
        self._contexts[name].feed(self._writings[name] if text is None else text)

    async def context_write(self, name: str, text: str) -> None:
        self._writings[name].pieces.put_nowait(text)

    async def context_written(self, name: str, _: Content) -> None:
        self._writings[name].pieces.put_nowait(END)

    async def context_break(self, name: str, _: Content) -> None:
        self._writings[name].pieces.put_nowait(BREAK)

    async def context_stops_writing(self, name: str, _: Content) -> None:
        await self._writings[name].until_closed()

    async def context_say(self, name: str, text: str) -> dict[str, Any]:
        """Frames alone."""
        return {"events": [report_event(frame) async for frame in self._contexts[name].say(text)]}

    async def context_read(self, name: str, count: int | None) -> dict[str, Any]:
        """So many events, or all up to the last one or an exception."""
        events: list[dict[str, Any]] = []
        try:
            while count is None or len(events) < count:
                events.append(report_event(await anext(self._contexts[name])))
        except StopAsyncIteration:
            pass
        except (sayline.SaylineError, TextBroke) as error:
            return {"events": events, "error": report_error(error)}
        return {"events": events}

    async def context_look(self, name: str, _: Content) -> dict[str, str]:
        context = self._contexts[name]
        return {"told": f"place {context.place or 'none'}, {context.duration_ms:g} ms"}


def report_event(event: sayline.Event) -> dict[str, Any]:
    if isinstance(event, sayline.Frame):
        data = event.pcm if event.opus_data is None else event.packet
        return {"type": "frame", "seq": event.seq, "start_ms": event.start_ms, "sha1": digest(data)}
    return {"type": wire.type_name(type(event)), **dataclasses.asdict(event)}


def report_error(error: BaseException) -> dict[str, Any]:
    facts = {name: getattr(error, name, None) for name in ("code", "close_code", "retry_after_ms")}
    return {"kind": type(error).__name__, "message": str(error), **facts}
