"""Gradium's WebSocket, as an adapter. A request is a context; several share a socket if each has an id."""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from sayline_tts.engine.audio.recording import SAMPLE_RATE_HZ
from sayline_tts.server.audio.formats import Format, FormatError
from sayline_tts.server.compat.adapter import (
    DEFAULT_CONTEXT,
    FRAME_MS,
    MAX_CONTEXTS,
    POLICY_VIOLATION,
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
from sayline_tts.server.websocket.messages import (
    Audio,
    Cancel,
    Cancelled,
    Done,
    End,
    Error,
    Flush,
    Flushed,
    Start,
    Text,
    Word,
)
from sayline_tts.server.websocket.outbox import CloseConnection
from sayline_tts.server.websocket.protocol import CloseCode, ProtocolError

# Clients play `pcm` at 48 kHz, whatever `ready` says.
FORMATS = {
    "wav": AudioFormat(Format.WAV, SAMPLE_RATE_HZ),
    "pcm": AudioFormat(Format.PCM, 48_000),
    "opus": AudioFormat(Format.OPUS, 48_000),
    "ulaw_8000": AudioFormat(Format.MULAW, 8_000),
    "alaw_8000": AudioFormat(Format.ALAW, 8_000),
    **{f"pcm_{rate}": AudioFormat(Format.PCM, rate) for rate in (8_000, 16_000, 22_050, 24_000, 44_100, 48_000)},
}
DEFAULT_FORMAT = "wav"
CLOSE_CODES = {"shutting_down": CloseCode.RESTART, "internal": CloseCode.INTERNAL}
FLUSH = "<flush>"  # in the text
CLOSING_MARKS = ".,;:!?)]}\N{HORIZONTAL ELLIPSIS}\N{RIGHT DOUBLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}'\"%"
MAX_PADDING, MAX_TEMPERATURE = 4.0, 1.4

Name = Annotated[str, Meta(max_length=200)]


class Config(msgspec.Struct, frozen=True):
    """The settings of the model that have an effect here. `padding_bonus`: pauses; less than 0 is faster."""

    temp: float | None = None
    padding_bonus: float | None = None

    @property
    def temperature(self) -> float | None:
        return None if self.temp is None else min(max(self.temp, 0.0), MAX_TEMPERATURE)

    @property
    def speed(self) -> float:
        return clamp_speed(2 ** (-(self.padding_bonus or 0.0) / MAX_PADDING))


class ClientMessage(msgspec.Struct, frozen=True):
    """All messages of clients. `json_config`: JSON in a string."""

    type: str
    client_req_id: Annotated[str, Meta(max_length=512)] | None = None
    voice: Name | None = None
    voice_id: Name | None = None
    output_format: str | None = None
    json_config: str | dict[str, Any] | None = None
    close_ws_on_eos: bool | None = None
    text: str = ""
    flush_id: Name | int | None = None


class ServerMessage(msgspec.Struct, frozen=True, tag_field="type"):
    client_req_id: str | UnsetType


class Ready(ServerMessage, frozen=True, tag="ready"):
    request_id: str
    sample_rate: int
    frame_size: int  # samples of a message of audio
    model_name: str = "default"
    audio_stream_names: tuple[str, ...] = ("tts",)
    text_stream_names: tuple[str, ...] = ("tts",)


class Timed(ServerMessage, frozen=True):
    """In seconds from the start of the request."""

    start_s: float
    stop_s: float
    stream_id: int = 0


class AudioMessage(Timed, frozen=True, tag="audio", kw_only=True):
    audio: bytes  # base64


class WordMessage(Timed, frozen=True, tag="text", kw_only=True):
    text: str


class FlushedMessage(ServerMessage, frozen=True, tag="flushed"):
    flush_id: str | int | None


class EndOfStream(ServerMessage, frozen=True, tag="end_of_stream"):
    pass


class ErrorMessage(ServerMessage, frozen=True, tag="error"):
    message: str
    code: int


_decoder = msgspec.json.Decoder(ClientMessage)


@dataclass
class Request:
    """`client_id`: None if it has the socket to itself."""

    client_id: str | None
    voice: str | None
    format: AudioFormat
    config: Config
    closes: bool  # the socket, when it ends
    last: str = ""  # its last character
    opened: bool = False
    ended: bool = False

    @property
    def id(self) -> str | UnsetType:
        return UNSET if self.client_id is None else self.client_id


class GradiumAdapter:
    """`one_at_a_time`: its client interrupts by beginning another request."""

    def __init__(self, session_id: str, one_at_a_time: bool = False) -> None:
        self._session_id, self._one_at_a_time = session_id, one_at_a_time
        self._requests: Contexts[Request] = Contexts()

    def receive(self, data: str | bytes) -> Iterable[Action]:
        return self._receive(parse_json(data, _decoder))

    def refuse(self, error: ProtocolError) -> Iterable[Output]:
        yield json_frame(ErrorMessage(UNSET, error.message, POLICY_VIOLATION))
        yield CloseConnection(POLICY_VIOLATION, error.code)

    def send(self, event: SpeechEvent) -> Iterable[Output]:
        own_id = str(event.context_id)
        if (request := self._requests.get(own_id)) is None:
            return
        match event:
            case Word(text=text, start_ms=start_ms, end_ms=end_ms):
                yield json_frame(WordMessage(request.id, start_ms / 1000, end_ms / 1000, text=text))
            case Audio(data=data) if data:
                start_ms = event.start_sample * 1000 / SAMPLE_RATE_HZ
                yield json_frame(AudioMessage(request.id, start_ms / 1000, (start_ms + FRAME_MS) / 1000, audio=data))
            case Flushed(id=str(flush_id)):
                yield json_frame(FlushedMessage(request.id, json.loads(flush_id)))
            case Done() | Cancelled():
                yield from self._finish(own_id, request)
            case Error():
                self._requests.remove(own_id)
                code = CLOSE_CODES.get(event.code, POLICY_VIOLATION)
                yield json_frame(ErrorMessage(request.id, event.message, int(code)))
                yield CloseConnection(code, event.code)

    def _receive(self, message: ClientMessage) -> Iterator[Action]:
        if message.type == "setup":
            yield from self._set_up(message)
            return
        if message.type not in ("text", "flush", "end_of_stream"):
            known = "setup, text, flush or end_of_stream"
            raise ProtocolError("bad_message", f"unknown type {message.type[:30]!r}; send {known}")
        found = self._requests.find(message.client_req_id or DEFAULT_CONTEXT)
        if found is None or found[1].ended:
            if message.client_req_id is None:
                raise ProtocolError("unknown_context", "send setup first")
            return  # crossed the request's end on the way
        own_id, request = found
        match message.type:
            case "text":
                yield from self._speak(own_id, request, message.text)
            case "flush" if request.opened:
                yield Flush(own_id, json.dumps(message.flush_id))
            case "flush":
                yield json_frame(FlushedMessage(request.id, message.flush_id))
            case _:
                request.ended = True
                if request.opened:
                    yield End(own_id)
                else:
                    yield from self._finish(own_id, request)

    def _set_up(self, message: ClientMessage) -> Iterator[Action]:
        try:
            format = parse_format(message.output_format)
        except FormatError as error:
            raise ProtocolError(error.code, str(error)) from None
        if self._one_at_a_time:
            yield from self._drop_open()
        client_id = message.client_req_id or DEFAULT_CONTEXT
        if (found := self._requests.find(client_id)) and not found[1].ended:
            raise ProtocolError("context_exists", "this request is open; end it first, or give another client_req_id")
        if len(self._requests) >= MAX_CONTEXTS:
            raise ProtocolError("too_many_contexts", f"{MAX_CONTEXTS} requests are open; end one first")
        closes = message.close_ws_on_eos is not False
        voice = message.voice_id or message.voice
        request = Request(message.client_req_id, voice, format, parse_config(message.json_config), closes)
        own_id = self._requests.add(client_id, request)
        rate_hz = format.sample_rate_hz
        yield json_frame(Ready(request.id, f"{self._session_id}-{own_id}", rate_hz, rate_hz * FRAME_MS // 1000))

    def _drop_open(self) -> Iterator[Action]:
        """Stop requests that have not been ended: the client does not listen to them any more."""
        for own_id, request in self._requests:
            if not request.ended:
                self._requests.remove(own_id)
                if request.opened:
                    yield Cancel(own_id)

    def _speak(self, own_id: str, request: Request, text: str) -> Iterator[Action]:
        # Clients send words or sentences without a space between them.
        if text and request.last.strip() and not text[0].isspace() and text[0] not in CLOSING_MARKS:
            text = f" {text}"
        request.last = text[-1:] or request.last
        for number, piece in enumerate(text.split(FLUSH)):
            if number and request.opened:
                yield Flush(own_id)
            if not request.opened and piece.strip():
                request.opened = True
                config = request.config
                start = Start(own_id, request.voice, temperature=config.temperature, speed=config.speed)
                yield Open(start, request.format)
            if piece and request.opened:
                yield Text(own_id, piece)

    def _finish(self, own_id: str, request: Request) -> Iterator[Output]:
        self._requests.remove(own_id)
        yield json_frame(EndOfStream(request.id))
        if request.closes and not self._requests:
            yield CloseConnection(CloseCode.NORMAL, "")


def parse_config(config: str | dict[str, Any] | None) -> Config:
    """What can be used of it; what is not valid is ignored, because it concerns another model."""
    with suppress(msgspec.MsgspecError, RecursionError, UnicodeError):
        if isinstance(config, str):
            return msgspec.json.decode(config, type=Config)
        return msgspec.convert(config or {}, Config)
    return Config()


def parse_format(name: str | None) -> AudioFormat:
    """Raises `FormatError`."""
    name = name or DEFAULT_FORMAT
    if (format := FORMATS.get(name)) is None:
        raise FormatError(f"unknown output_format {name[:30]!r}; use one of: {', '.join(FORMATS)}")
    return format
