"""Response bodies of speech: streamed from the first frame, as server-sent events, or complete.

Once a response has started, its status cannot become an error. If speech fails after the first byte, the connection is
aborted, so that no client takes truncated audio for complete.
"""

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress

import msgspec
from aiohttp import web

from sayline_tts.engine.errors import InputError
from sayline_tts.engine.timing.word_time_estimator import WordTime
from sayline_tts.server.accounting.usage import FIELD, server_timing, usage_field
from sayline_tts.server.audio.formats import with_final_sizes
from sayline_tts.server.http import errors
from sayline_tts.server.http.speech import SpeechStream
from sayline_tts.server.http.trailers import Trailers

log = logging.getLogger(__name__)

Render = Callable[[bytes, list[WordTime]], bytes]  # a message of audio, and words that begin in it or before

# Keeps proxies from buffering the response.
FIELDS = (FIELD, "Server-Timing")
WARNINGS = "Sayline-Warnings"  # a list of strings (RFC 9651)
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class ClientDisconnected(ConnectionError):
    """The client disconnected."""


class Body:
    """One response. A client that reads nothing for `stall_s` is disconnected."""

    def __init__(self, request: web.Request, speech: SpeechStream, content_type: str, stall_s: float) -> None:
        self._request, self._speech, self._stall_s = request, speech, stall_s
        self._content_type = content_type

    async def whole(self) -> web.Response:
        """The complete audio. Raises what `SpeechStream` raises."""
        data = b"".join([data async for data in self._frames()])
        headers = {**HEADERS, **self._final_fields(), **self._warnings(), "Content-Type": self._content_type}
        return web.Response(body=with_final_sizes(data), headers=headers)

    async def stream(self, **headers: str) -> web.StreamResponse:
        """Audio as it is generated. Raises what `SpeechStream` raises before its first byte."""
        frames = self._frames()
        first = await anext(frames, b"")
        if (audio_bytes := self._speech.total_audio_bytes) is not None:
            first = with_final_sizes(first, audio_bytes)
        response, trailers = await self._start(self._content_type, headers)
        try:
            await self._write(response, first)
            async for data in frames:
                await self._write(response, data)
            if trailers is not None:
                await trailers.write({**self._final_fields(), **self._warnings()})
        except Exception as error:
            self._abort(error)
        return response

    async def events(self) -> web.StreamResponse:
        """OpenAI's server-sent events. Raises what `SpeechStream` raises before its first byte."""
        return await self.messages(
            "text/event-stream",
            lambda data, words: _event(type="speech.audio.delta", audio=_base64(data)),
            lambda: _event(type="speech.audio.done", usage=self._usage(), **self._warning_list()),
            lambda error: _event(type="error", **_error_fields(error)),
        )

    async def messages(
        self,
        content_type: str,
        render: Render,
        last: Callable[[], bytes] = lambda: b"",
        render_error: Callable[[Exception], bytes] = lambda error: b"",
    ) -> web.StreamResponse:
        """Messages with audio as it is generated. Raises what `SpeechStream` raises before its first byte.

        `render` gets the words that have begun since the message before.
        """
        frames, words = self._frames(), self._new_words()
        first = await anext(frames, b"")
        response, _ = await self._start(content_type, {})
        try:
            await self._write(response, render(first, next(words)))
            async for data in frames:
                await self._write(response, render(data, next(words)))
            await self._write(response, last())
        except Exception as error:
            with suppress(ConnectionError, TimeoutError):
                await self._write(response, render_error(error))
            self._abort(error)
        return response

    async def whole_message(self, render: Render) -> web.Response:
        """The complete audio and all words in one message of JSON. Raises what `SpeechStream` raises."""
        data = with_final_sizes(b"".join([data async for data in self._frames()]))
        headers = {**HEADERS, **self._final_fields(), **self._warnings()}
        return web.Response(body=render(data, self._speech.words), content_type="application/json", headers=headers)

    def _new_words(self) -> Iterator[list[WordTime]]:
        """The words that have begun since the call before."""
        told = 0
        while True:
            words = self._speech.words[told:]
            told += len(words)
            yield words

    async def _frames(self) -> AsyncIterator[bytes]:
        async for data in self._speech:
            if _is_disconnected(self._request):
                raise ClientDisconnected
            yield data

    async def _start(self, content_type: str, headers: dict[str, str]) -> tuple[web.StreamResponse, Trailers | None]:
        """Send the headers. Trailers follow if the client has asked for them and the body is sent in chunks."""
        timing = {"Server-Timing": server_timing(self._speech.usage.queued_ms, self._speech.first_audio_ms)}
        response = web.StreamResponse(
            headers={**HEADERS, **timing, **self._warnings(), **headers, "Content-Type": content_type}
        )
        trailers = Trailers.announce(self._request, response, (*FIELDS, WARNINGS))
        writer = await response.prepare(self._request)
        return response, trailers and trailers.attach(writer)

    async def _write(self, response: web.StreamResponse, data: bytes) -> None:
        async with asyncio.timeout(self._stall_s):
            await response.write(data)

    def _abort(self, error: Exception) -> None:
        """Abort the connection, so that the client does not take the response for complete."""
        if not isinstance(error, (ConnectionError, TimeoutError, InputError)):
            log.error("speech failed after its first byte, connection aborted: %r", error)
        if (transport := self._request.transport) is not None:
            transport.abort()

    def _final_fields(self) -> dict[str, str]:
        """Headers or trailers that are known once everything has been generated."""
        speech = self._speech
        timing = server_timing(speech.usage.queued_ms, speech.first_audio_ms, speech.total_ms)
        return dict(zip(FIELDS, (usage_field(speech.usage), timing), strict=True))

    def _warnings(self) -> dict[str, str]:
        """The header or trailer that tells what was skipped of the text, as far as it has been read."""
        warnings = ", ".join(f'"{warning}"' for warning in self._speech.warnings)
        return {WARNINGS: warnings} if warnings else {}

    def _warning_list(self) -> dict[str, object]:
        return {"warnings": self._speech.warnings} if self._speech.warnings else {}

    def _usage(self) -> dict[str, object]:
        """OpenAI's counts, and the utterance's own account."""
        text_tokens, frames = self._speech.text_tokens, self._speech.frames
        counts = {"input_tokens": text_tokens, "output_tokens": frames, "total_tokens": text_tokens + frames}
        return {**counts, **msgspec.to_builtins(self._speech.usage)}


def _is_disconnected(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def _error_fields(error: Exception) -> dict[str, object]:
    if isinstance(error, InputError):
        return errors.error_body(errors.STATUS.get(error.code, 400), str(error), error.code)
    return errors.error_body(500, "internal error", "internal")


def _event(**fields: object) -> bytes:
    return f"data: {json.dumps(fields)}\n\n".encode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
