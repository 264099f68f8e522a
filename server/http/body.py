"""Speech as the body of an answer: streamed from the first frame on, as events, or whole. Knows no text, no voice.

An answer that has begun cannot become an error. Where speech fails after its first byte, the connection is cut, so that
nobody takes what came for all there is.
"""

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import web

from sayline_tts.engine.errors import InputError
from sayline_tts.server.audio.formats import with_true_sizes
from sayline_tts.server.http import errors
from sayline_tts.server.http.speech import Speech

log = logging.getLogger(__name__)

# Proxies keep answers back to gather them, unless they are told not to.
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class ClientGone(ConnectionError):
    """Nobody listens any more."""


class Body:
    """One answer. A client who takes nothing for `stall_s` is cut off."""

    def __init__(self, request: web.Request, speech: Speech, content_type: str, stall_s: float) -> None:
        self._request, self._speech, self._stall_s = request, speech, stall_s
        self._content_type = content_type

    async def whole(self) -> web.Response:
        """Raises what `Speech` raises."""
        data = b"".join([data async for data in self._frames()])
        return web.Response(body=with_true_sizes(data), headers={**HEADERS, "Content-Type": self._content_type})

    async def stream(self, **headers: str) -> web.StreamResponse:
        """Raises what `Speech` raises before its first byte."""
        frames = self._frames()
        first = await anext(frames, b"")
        response = await self._begin(self._content_type, headers)
        try:
            await self._write(response, first)
            async for data in frames:
                await self._write(response, data)
        except Exception as error:
            self._break_off(error)
        return response

    async def events(self) -> web.StreamResponse:
        """As OpenAI sends them (server-sent events). Raises what `Speech` raises before its first byte."""
        frames = self._frames()
        first = await anext(frames, b"")
        response = await self._begin("text/event-stream", {})
        try:
            await self._write(response, _event(type="speech.audio.delta", audio=_text(first)))
            async for data in frames:
                await self._write(response, _event(type="speech.audio.delta", audio=_text(data)))
            await self._write(response, _event(type="speech.audio.done", usage=self._usage()))
        except Exception as error:
            with suppress(ConnectionError, TimeoutError):
                await self._write(response, _event(type="error", **_told(error)))
            self._break_off(error)
        return response

    async def _frames(self) -> AsyncIterator[bytes]:
        async for data in self._speech:
            if _is_gone(self._request):
                raise ClientGone
            yield data

    async def _begin(self, content_type: str, headers: dict[str, str]) -> web.StreamResponse:
        response = web.StreamResponse(headers={**HEADERS, **headers, "Content-Type": content_type})
        await response.prepare(self._request)
        return response

    async def _write(self, response: web.StreamResponse, data: bytes) -> None:
        async with asyncio.timeout(self._stall_s):
            await response.write(data)

    def _break_off(self, error: Exception) -> None:
        """The speech ends here, and whoever hears it must not think that it was all."""
        if not isinstance(error, (ConnectionError, TimeoutError, InputError)):
            log.error("speech failed after its first byte: %r", error)
        if (transport := self._request.transport) is not None:
            transport.abort()

    def _usage(self) -> dict[str, int]:
        said, heard = self._speech.text_tokens, self._speech.frames
        return {"input_tokens": said, "output_tokens": heard, "total_tokens": said + heard}


def _is_gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def _told(error: Exception) -> dict[str, object]:
    if isinstance(error, InputError):
        return errors.body(errors.STATUS.get(error.code, 400), str(error), error.code)
    return errors.body(500, "internal error", "internal")


def _event(**fields: object) -> bytes:
    return f"data: {json.dumps(fields)}\n\n".encode()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
