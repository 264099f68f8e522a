"""One answer of a LiveKit agent: streamed text becomes audio and timed words."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from livekit.agents import APIConnectionError, APIConnectOptions, APIError, APIStatusError, tts
from livekit.agents.types import TimedString
from livekit.agents.utils import shortuuid

import sayline
from sayline.agents.speech import Speech

if TYPE_CHECKING:
    from sayline.agents.livekit import TTS

# HTTP status for server error codes: LiveKit retries errors that are not the caller's.
HTTP_STATUS: Mapping[str, int] = MappingProxyType(
    {
        "bad_text": 400,
        "unknown_language": 400,
        "voice_not_allowed": 403,
        "unknown_voice": 404,
        "full": 429,
        "rate_limited": 429,
        "text_limit": 429,
        "too_many_contexts": 429,
    }
)
INTERNAL_ERROR_STATUS = 500


class SpeechStream(tts.SynthesizeStream):
    _tts: "TTS"

    def __init__(self, voice: "TTS", conn_options: APIConnectOptions) -> None:
        super().__init__(tts=voice, conn_options=conn_options)

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        try:
            await self._speak(output_emitter)
        except sayline.SaylineError as error:
            raise api_error(error) from error

    async def _speak(self, output: tts.AudioEmitter) -> None:
        first = await self._first_text()
        if not first:
            self._begin(output, shortuuid(), self._tts.sample_rate)
            return
        speech = Speech(await self._tts.server.open(**self._tts.options))
        try:
            self._begin(output, speech.context.context_id, speech.context.sample_rate_hz)
            speech.context.feed(self._text(first, speech))
            async for event in speech.context:
                self._take(event, speech, output)
        except asyncio.CancelledError:
            self._tts.abandon(speech)
            raise
        except BaseException:
            await speech.close()
            raise
        if rest := speech.rest():
            output.push_timed_transcript(TimedString(rest))

    def _begin(self, output: tts.AudioEmitter, name: str, sample_rate_hz: int) -> None:
        output.initialize(
            request_id=name, sample_rate=sample_rate_hz, num_channels=1, mime_type="audio/pcm", stream=True
        )
        output.start_segment(segment_id=name)

    def _take(self, event: sayline.Event, speech: Speech, output: tts.AudioEmitter) -> None:
        match event:
            case sayline.Frame():
                self._tts.set_current(speech)
                output.push(event.pcm)
            case sayline.Word():
                start_s, end_s = event.start_ms / 1000, event.end_ms / 1000
                output.push_timed_transcript(TimedString(speech.add_word(event), start_time=start_s, end_time=end_s))
            case _:
                pass

    async def _first_text(self) -> str:
        """Wait for the first text that is not blank; an empty string means there is none."""
        text = ""
        async for piece in self._input_ch:
            text += piece if isinstance(piece, str) else ""
            if text.strip():
                break
        return text if text.strip() else ""

    async def _text(self, first: str, speech: Speech) -> AsyncGenerator[str, None]:
        self._mark_started()
        speech.add(first)
        yield first
        flush = False
        async for piece in self._input_ch:
            if not isinstance(piece, str):
                flush = True  # before the text that follows, if any
                continue
            if flush:
                flush = False
                await speech.context.flush()
            speech.add(piece)
            yield piece


def api_error(error: sayline.SaylineError) -> APIError:
    """Map an error to LiveKit's classes, which decide about retries."""
    if isinstance(error, sayline.ContextFailed):
        return APIStatusError(str(error), status_code=HTTP_STATUS.get(error.code, INTERNAL_ERROR_STATUS))
    if isinstance(error, sayline.ConnectionLost | sayline.Refused):
        return APIConnectionError(str(error))
    return APIError(str(error))
