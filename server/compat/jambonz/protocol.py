"""jambonz's socket of a custom voice, as an adapter: text in, raw 16-bit PCM out."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from sayline_tts.server.audio.formats import Format
from sayline_tts.server.compat.adapter import Action, AudioFormat, Open, Output, json_frame, parse_json
from sayline_tts.server.compat.turns import Turn, TurnAdapter
from sayline_tts.server.websocket.messages import Audio, Cancelled, Done, Error, Flushed, Segment, Start, Word
from sayline_tts.server.websocket.outbox import Frame
from sayline_tts.server.websocket.protocol import ProtocolError

TELEPHONE = AudioFormat(Format.PCM, 8_000)
STOPS = ("stop", "clear")


@dataclass(frozen=True)
class Options:
    """What the address of the socket says."""

    voice: str
    format: AudioFormat = TELEPHONE
    language: str | None = None


class ClientMessage(msgspec.Struct, frozen=True):
    type: str
    text: str = ""


class ConnectData(msgspec.Struct, frozen=True):
    sample_rate: int
    base64_encoding: bool = False


class Connect(msgspec.Struct, frozen=True, tag_field="type", tag="connect"):
    data: ConnectData


class ErrorMessage(msgspec.Struct, frozen=True, tag_field="type", tag="error"):
    error: str
    code: str


_decoder = msgspec.json.Decoder(ClientMessage)


class JambonzAdapter(TurnAdapter):
    def __init__(self, options: Options) -> None:
        super().__init__()
        self._options = options

    def greet(self) -> Iterable[Output]:
        yield json_frame(Connect(ConnectData(self._options.format.sample_rate_hz)))

    def receive(self, data: str | bytes) -> Iterable[Action]:
        return self._receive(parse_json(data, _decoder))

    def refuse(self, error: ProtocolError) -> Iterable[Output]:
        yield json_frame(ErrorMessage(error.message, error.code))

    def _receive(self, message: ClientMessage) -> Iterator[Action]:
        match message.type:
            case "stream":
                yield from self._speak(message.text)
            case "flush":
                yield from self._end()
            case kind if kind in STOPS:
                yield from self._drop_turns()
            case kind:
                raise ProtocolError("bad_message", f"unknown type {kind[:30]!r}; send stream, flush or stop")

    def _start(self, own_id: str) -> Open:
        options = self._options
        return Open(Start(own_id, options.voice, language=options.language), options.format)

    def _speech(self, turn: Turn, event: Audio | Word | Segment | Flushed) -> Iterable[Action]:
        if isinstance(event, Audio) and event.data:
            yield Frame(event.data)

    def _finish(self, turn: Turn, event: Done | Cancelled | Error | None) -> Iterable[Action]:
        if isinstance(event, Error):
            yield json_frame(ErrorMessage(event.message, event.code))
