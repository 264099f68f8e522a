"""Wyoming's events: a line of JSON, then JSON of `data_length` bytes, then `payload_length` bytes of audio.

One request at a time. A streamed one (`synthesize-start`, `-chunk`, `-stop`) is answered from its first words on.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from sayline_tts.engine.audio.recording import SAMPLE_RATE_HZ
from sayline_tts.server.compat.adapter import Action, Open, Output, SpeechEvent, language_code, parse_json
from sayline_tts.server.compat.ssml import without_tags
from sayline_tts.server.websocket.messages import Audio, Cancelled, Done, End, Error, Start, Text
from sayline_tts.server.websocket.outbox import Frame
from sayline_tts.server.websocket.protocol import ProtocolError

VERSION = "1.10.2"  # of the reference library, whose events these are
MAX_HEADER_BYTES = 64 * 1024
MAX_DATA_BYTES = 2 * 1024 * 1024  # also of a payload, which no event for speech has
AUDIO = {"rate": SAMPLE_RATE_HZ, "width": 2, "channels": 1}
MAX_TAG_CHARS = 1_000  # a longer one is no tag

_Length = Annotated[int, Meta(ge=0, le=MAX_DATA_BYTES)]


class Header(msgspec.Struct, frozen=True):
    """The first line of an event."""

    type: str
    data: dict[str, Any] | None = None
    data_length: _Length | None = None
    payload_length: _Length | None = None


class Voice(msgspec.Struct, frozen=True):
    name: Annotated[str, Meta(max_length=200)] | None = None
    language: str | None = None


class EventData(msgspec.Struct, frozen=True):
    """What is read of an event's data."""

    text: str = ""
    voice: Voice | None = None
    text_format: str | None = None


class ClientEvent(msgspec.Struct, frozen=True):
    type: str
    data: EventData = EventData()


_header_decoder = msgspec.json.Decoder(Header)
_data_decoder = msgspec.json.Decoder(dict[str, Any])
_event_decoder = msgspec.json.Decoder(ClientEvent)


def parse_header(line: bytes) -> Header:
    """Raises `ProtocolError`."""
    return parse_json(line, _header_decoder)


def whole_event(header: Header, data: bytes) -> bytes:
    """The event as one piece of JSON, as `WyomingAdapter.receive` takes it. Raises `ProtocolError`."""
    more = parse_json(data, _data_decoder) if data else {}
    return msgspec.json.encode({"type": header.type, "data": {**(header.data or {}), **more}})


def write_event(type: str, data: Mapping[str, object] | None = None, payload: bytes = b"") -> Frame:
    encoded = msgspec.json.encode(data) if data else b""
    header: dict[str, object] = {"type": type, "version": VERSION}
    if encoded:
        header["data_length"] = len(encoded)
    if payload:
        header["payload_length"] = len(payload)
    return Frame(msgspec.json.encode(header) + b"\n" + encoded + payload)


def write_error(code: str, message: str) -> Frame:
    return write_event("error", {"text": message, "code": code})


@dataclass
class _Request:
    own_id: str
    streamed: bool
    voice: Voice | None
    is_markup: bool
    opened: bool = False
    ended: bool = False
    started: bool = False  # its audio
    pending: str = ""  # the beginning of a tag


class WyomingAdapter:
    """`info`: the data of the event `info` at this moment."""

    def __init__(self, info: Callable[[], dict[str, object]]) -> None:
        self._info = info
        self._count = 0
        self._request: _Request | None = None

    def receive(self, data: str | bytes) -> Iterable[Action]:
        return self._receive(parse_json(data, _event_decoder))

    def refuse(self, error: ProtocolError) -> Iterable[Output]:
        yield write_error(error.code, error.message)

    def send(self, event: SpeechEvent) -> Iterable[Output]:
        request = self._request
        if request is None or event.context_id != request.own_id:
            return
        match event:
            case Audio(data=data, start_sample=start_sample):
                yield from self._start_audio(request)
                yield write_event("audio-chunk", {**AUDIO, "timestamp": start_sample * 1000 // SAMPLE_RATE_HZ}, data)
            case Done() | Cancelled():
                yield from self._finish(request)
            case Error():
                self._request = None
                yield write_error(event.code, event.message)

    def _receive(self, event: ClientEvent) -> Iterator[Action]:
        data = event.data
        match event.type:
            case "describe":
                yield write_event("info", self._info())
            case "ping":
                yield write_event("pong", {"text": data.text} if data.text else None)
            case "synthesize" if self._request is None or not self._request.streamed or self._request.ended:
                request = self._begin(data, streamed=False)
                yield from self._speak(request, data.text)
                yield from self._end(request)
            case "synthesize-start":
                self._begin(data, streamed=True)
            case "synthesize-chunk" if self._request and self._request.streamed and not self._request.ended:
                yield from self._speak(self._request, data.text)
            case "synthesize-stop" if self._request and self._request.streamed and not self._request.ended:
                yield from self._end(self._request)

    def _begin(self, data: EventData, streamed: bool) -> _Request:
        if self._request is not None:
            raise ProtocolError("busy", "a request is being answered; wait for its end, or connect again")
        self._count += 1
        self._request = _Request(str(self._count), streamed, data.voice, data.text_format == "ssml")
        return self._request

    def _speak(self, request: _Request, text: str) -> Iterator[Action]:
        if request.is_markup:
            text, request.pending = _split_open_tag(request.pending + text)
            text = without_tags(text)
        if not request.opened:
            if not text.strip():
                return
            request.opened = True
            voice = request.voice or Voice()
            yield Open(Start(request.own_id, voice.name, language=language_code(voice.language)))
        yield Text(request.own_id, text)

    def _end(self, request: _Request) -> Iterator[Action]:
        request.ended = True
        if request.opened:
            yield End(request.own_id)
        else:
            yield from self._finish(request)

    def _start_audio(self, request: _Request) -> Iterator[Frame]:
        if not request.started:
            request.started = True
            yield write_event("audio-start", {**AUDIO, "timestamp": 0})

    def _finish(self, request: _Request) -> Iterator[Frame]:
        self._request = None
        yield from self._start_audio(request)
        yield write_event("audio-stop")
        if request.streamed:
            yield write_event("synthesize-stopped")


def _split_open_tag(text: str) -> tuple[str, str]:
    """Split off the beginning of a tag at the end."""
    at = text.rfind("<")
    is_open = at > text.rfind(">") and len(text) - at <= MAX_TAG_CHARS
    return (text[:at], text[at:]) if is_open else (text, "")
