"""The events of OpenAI's Realtime API that a speaker needs, as an adapter. Each response is a context."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from sayline_tts.server.audio.formats import Format
from sayline_tts.server.compat.adapter import (
    MAX_CONTEXTS,
    MODEL_PCM,
    Action,
    AudioFormat,
    Contexts,
    Open,
    Output,
    SpeechEvent,
    clamp_speed,
    json_frame,
    parse_json,
)
from sayline_tts.server.websocket.messages import Audio, Cancel, Cancelled, Done, End, Error, Start, Text, Word
from sayline_tts.server.websocket.outbox import Frame
from sayline_tts.server.websocket.protocol import ProtocolError

FORMATS = {
    "audio/pcm": MODEL_PCM,
    "audio/pcmu": AudioFormat(Format.MULAW, 8_000),
    "audio/pcma": AudioFormat(Format.ALAW, 8_000),
}
INSTEAD = "this server speaks and does not listen; send response.create with its text as input"

Name = Annotated[str, Meta(max_length=200)]


class AudioType(msgspec.Struct, frozen=True):
    type: str
    rate: int | None = None


class VoiceReference(msgspec.Struct, frozen=True):
    id: Name


class AudioOutput(msgspec.Struct, frozen=True):
    format: AudioType | None = None
    voice: Name | VoiceReference | None = None
    speed: float | None = None


class AudioOptions(msgspec.Struct, frozen=True):
    output: AudioOutput | None = None


class Content(msgspec.Struct, frozen=True):
    type: str = "input_text"
    text: str = ""


class InputItem(msgspec.Struct, frozen=True):
    content: list[Content] = []


class Request(msgspec.Struct, frozen=True):
    """Of a session or a response. Other fields of the vendor are ignored."""

    audio: AudioOptions | None = None
    input: list[InputItem] = []
    metadata: dict[str, Any] | None = None


class ClientEvent(msgspec.Struct, frozen=True):
    type: str
    event_id: Name | None = None
    session: Request | None = None
    response: Request | None = None
    response_id: Name | None = None


@dataclass(frozen=True)
class Options:
    """How a response sounds."""

    voice: str | None = None
    format_name: str = "audio/pcm"
    speed: float = 1.0

    def updated(self, audio: AudioOptions | None) -> "Options":
        """Raises `ProtocolError` for a format that is not known."""
        output = (audio and audio.output) or AudioOutput()
        voice = output.voice.id if isinstance(output.voice, VoiceReference) else output.voice
        options = replace(self, voice=voice or self.voice)
        if output.speed is not None:
            options = replace(options, speed=clamp_speed(output.speed))
        if (asked := output.format) is None:
            return options
        format = FORMATS.get(asked.type)
        if format is None or asked.rate not in (None, format.sample_rate_hz):
            known = ", ".join(f"{name} at {each.sample_rate_hz} Hz" for name, each in FORMATS.items())
            raise ProtocolError("bad_format", f"unknown format {asked.type[:30]!r}; use {known}")
        return replace(options, format_name=asked.type)

    @property
    def format(self) -> AudioFormat:
        return FORMATS[self.format_name]


@dataclass
class Response:
    id: str
    item_id: str
    metadata: dict[str, Any] | None
    text: str
    end_char: int = 0  # of the last word that was told


_decoder = msgspec.json.Decoder(ClientEvent)


class RealtimeAdapter:
    """`model`: as the client named it."""

    def __init__(self, model: str, session_id: str = "") -> None:
        self._model, self._session_id = model, session_id
        self._options = Options()
        self._responses: Contexts[Response] = Contexts()
        self._events = self._count = 0
        self._event_id: str | None = None  # of the message that is being taken

    def greet(self) -> Iterable[Output]:
        yield self._event("session.created", session=self._session())

    def receive(self, data: str | bytes) -> Iterable[Action]:
        self._event_id = None
        event = parse_json(data, _decoder)
        self._event_id = event.event_id
        return self._receive(event)

    def refuse(self, error: ProtocolError) -> Iterable[Output]:
        yield self._error(error.code, error.message, self._event_id)

    def send(self, event: SpeechEvent) -> Iterable[Output]:
        own_id = str(event.context_id)
        if (response := self._responses.get(own_id)) is None:
            return
        match event:
            case Audio(data=data) if data:
                yield self._part(response, "output_audio.delta", delta=data)
            case Word(end_char=end_char):
                yield self._transcript(response, end_char)
            case Done():
                self._responses.remove(own_id)
                yield from self._finish(response, "completed")
            case Cancelled():
                self._responses.remove(own_id)
                yield from self._finish(response, "cancelled", {"type": "cancelled", "reason": "client_cancelled"})
            case Error():
                self._responses.remove(own_id)
                yield self._error(event.code, event.message)
                yield from self._finish(response, "failed", {"type": "failed", "error": {"code": event.code}})

    def _receive(self, event: ClientEvent) -> Iterator[Action]:
        match event.type:
            case "session.update":
                self._options = self._options.updated(event.session.audio if event.session else None)
                yield self._event("session.updated", session=self._session())
            case "response.create":
                yield from self._create(event.response or Request())
            case "response.cancel":
                yield from self._cancel(event.response_id)
            case kind:
                raise ProtocolError("unsupported_event", f"{kind[:50]!r} is not supported: {INSTEAD}")

    def _create(self, request: Request) -> Iterator[Action]:
        contents = [content for item in request.input for content in item.content]
        if not contents:
            raise ProtocolError("missing_input", f"there is no conversation to continue: {INSTEAD}")
        if any(content.type not in ("input_text", "text", "output_text") for content in contents):
            raise ProtocolError("unsupported_content", f"only input_text can be spoken: {INSTEAD}")
        if len(self._responses) >= MAX_CONTEXTS:
            raise ProtocolError("too_many_contexts", f"{MAX_CONTEXTS} responses are open; cancel one first")
        options = self._options.updated(request.audio)
        text = " ".join(content.text for content in contents)
        self._count += 1
        response = Response(f"resp_{self._count}", f"item_{self._count}", request.metadata, text)
        own_id = self._responses.add(response.id, response)
        yield self._event("response.created", response=self._response(response, "in_progress", output=[]))
        item = self._item(response, "in_progress")
        yield self._event("response.output_item.added", response_id=response.id, output_index=0, item=item)
        if text.strip():
            yield Open(Start(own_id, options.voice, speed=options.speed), options.format)
            yield Text(own_id, text)
            yield End(own_id)
        else:
            self._responses.remove(own_id)
            yield from self._finish(response, "completed")

    def _cancel(self, response_id: str | None) -> Iterator[Action]:
        """Cancel one response, or all."""
        chosen = [own_id for own_id, each in self._responses if response_id in (None, each.id)]
        if not chosen:
            raise ProtocolError("response_cancel_not_active", "no such response is being spoken")
        yield from map(Cancel, chosen)

    def _transcript(self, response: Response, end_char: int) -> Frame:
        delta = response.text[response.end_char : end_char]
        response.end_char = end_char
        return self._part(response, "output_audio_transcript.delta", delta=delta)

    def _finish(self, response: Response, status: str, details: object = None) -> Iterator[Frame]:
        completed = status == "completed"
        if completed and response.end_char < len(response.text):
            yield self._transcript(response, len(response.text))
        yield self._part(response, "output_audio.done")
        yield self._part(response, "output_audio_transcript.done", transcript=response.text[: response.end_char])
        item = self._item(response, "completed" if completed else "incomplete")
        yield self._event("response.output_item.done", response_id=response.id, output_index=0, item=item)
        yield self._event("response.done", response=self._response(response, status, details, [item]))

    def _response(self, response: Response, status: str, details: object = None, output: object = ()) -> object:
        return {
            "id": response.id,
            "object": "realtime.response",
            "status": status,
            "status_details": details,
            "output": output,
            "output_modalities": ["audio"],
            "metadata": response.metadata,
        }

    def _item(self, response: Response, status: str) -> object:
        content = [{"type": "output_audio", "transcript": response.text[: response.end_char]}]
        fields = {"id": response.item_id, "object": "realtime.item", "type": "message", "role": "assistant"}
        return {**fields, "status": status, "content": content if status != "in_progress" else []}

    def _session(self) -> object:
        options = self._options
        format: dict[str, object] = {"type": options.format_name}
        if options.format is MODEL_PCM:
            format["rate"] = options.format.sample_rate_hz
        output = {"format": format, "voice": options.voice or "default", "speed": options.speed}
        fields = {"type": "realtime", "object": "realtime.session", "id": self._session_id, "model": self._model}
        return {**fields, "output_modalities": ["audio"], "audio": {"output": output}}

    def _part(self, response: Response, kind: str, **fields: object) -> Frame:
        place = {"response_id": response.id, "item_id": response.item_id, "output_index": 0, "content_index": 0}
        return self._event(f"response.{kind}", **place, **fields)

    def _error(self, code: str, message: str, event_id: str | None = None) -> Frame:
        kind = "server_error" if code in ("internal", "full", "shutting_down") else "invalid_request_error"
        error = {"type": kind, "code": code, "message": message, "param": None, "event_id": event_id}
        return self._event("error", error=error)

    def _event(self, kind: str, **fields: object) -> Frame:
        self._events += 1
        return json_frame({"type": kind, "event_id": f"event_{self._events}", **fields})
