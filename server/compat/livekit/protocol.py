"""The WebSocket of LiveKit Inference, as an adapter. Its clients interrupt by leaving the socket unread."""

from collections.abc import Iterable, Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from sayline_tts.server.audio.formats import Format, FormatError
from sayline_tts.server.compat.adapter import (
    MODEL_PCM,
    Action,
    AudioFormat,
    Open,
    Output,
    clamp_speed,
    json_frame,
    language_code,
    parse_json,
)
from sayline_tts.server.compat.turns import Turn, TurnAdapter
from sayline_tts.server.websocket.messages import Audio, Cancelled, Done, Error, Flushed, Segment, Start, Word
from sayline_tts.server.websocket.outbox import Frame
from sayline_tts.server.websocket.protocol import ProtocolError

ENCODING = "pcm_s16le"
SPACING = "cartesia"  # clients put spaces between the words of this provider's models, and of no other's

Name = Annotated[str, Meta(max_length=200)]


class Extra(msgspec.Struct, frozen=True):
    """What has an effect here of the model's own options."""

    speed: float | str | None = None


class GenerationConfig(msgspec.Struct, frozen=True):
    voice: Name | None = None
    language: str | None = None


class ClientMessage(msgspec.Struct, frozen=True):
    """All messages of clients. `sample_rate` is a string of digits."""

    type: str
    transcript: str = ""
    generation_config: GenerationConfig | None = None
    extra: Extra | None = None
    sample_rate: int | None = None
    encoding: str = ENCODING
    model: Name | None = None
    voice: Name | None = None
    language: str | None = None


class ServerMessage(msgspec.Struct, frozen=True, tag_field="type"):
    session_id: str


class SessionCreated(ServerMessage, frozen=True, tag="session.created"):
    pass


class OutputAudio(ServerMessage, frozen=True, tag="output_audio"):
    audio: bytes  # base64


class TimedWord(msgspec.Struct, frozen=True):
    """In seconds from the start of the turn."""

    word: str
    start: float
    end: float


class OutputAlignment(ServerMessage, frozen=True, tag="output_alignment"):
    words: tuple[TimedWord, ...]


class DoneMessage(ServerMessage, frozen=True, tag="done"):
    pass


class ErrorMessage(ServerMessage, frozen=True, tag="error"):
    message: str
    code: str


_decoder = msgspec.json.Decoder(ClientMessage, strict=False)


class InferenceAdapter(TurnAdapter):
    def __init__(self, session_id: str) -> None:
        super().__init__()
        self._session_id = session_id
        self._format = MODEL_PCM
        self._voice: str | None = None
        self._language: str | None = None
        self._speed = 1.0
        self._adds_spaces = False
        self._end_char = 0  # of the last word

    def receive(self, data: str | bytes) -> Iterable[Action]:
        return self._receive(parse_json(data, _decoder))

    def refuse(self, error: ProtocolError) -> Iterable[Output]:
        yield self._error(error.code, error.message)

    def _receive(self, message: ClientMessage) -> Iterator[Action]:
        match message.type:
            case "session.create":
                yield from self._create(message)
            case "input_transcript":
                self._configure(message.generation_config, message.extra)
                yield from self._speak(message.transcript)
            case "session.flush":
                yield from self._end()
            case kind:
                known = "session.create, input_transcript or session.flush"
                raise ProtocolError("bad_message", f"unknown type {kind[:30]!r}; send {known}")

    def _create(self, message: ClientMessage) -> Iterator[Output]:
        if message.encoding != ENCODING:
            raise ProtocolError("bad_format", f"unknown encoding {message.encoding[:30]!r}; use {ENCODING}")
        try:
            self._format = AudioFormat(Format.PCM, message.sample_rate or AudioFormat.sample_rate_hz)
        except FormatError as error:
            raise ProtocolError(error.code, str(error)) from None
        self._adds_spaces = (message.model or "").partition("/")[0] != SPACING
        self._configure(GenerationConfig(message.voice, message.language), message.extra)
        yield json_frame(SessionCreated(self._session_id))

    def _configure(self, config: GenerationConfig | None, extra: Extra | None) -> None:
        """Take what is given, for turns that have not begun."""
        if config is not None:
            self._voice = config.voice or self._voice
            self._language = language_code(config.language) or self._language
        if extra is not None and isinstance(extra.speed, float):
            self._speed = clamp_speed(extra.speed)

    def _start(self, own_id: str) -> Open:
        self._end_char = 0
        start = Start(own_id, self._voice, language=self._language, speed=self._speed)
        return Open(start, self._format)

    def _speech(self, turn: Turn, event: Audio | Word | Segment | Flushed) -> Iterable[Action]:
        match event:
            case Audio(data=data) if data:
                yield json_frame(OutputAudio(self._session_id, data))
            case Word():
                space = " " if self._adds_spaces and 0 < self._end_char < event.start_char else ""
                self._end_char = event.end_char
                start_s, end_s = ((turn.expired_ms + ms) / 1000 for ms in (event.start_ms, event.end_ms))
                word = TimedWord(f"{space}{event.text}", start_s, end_s)
                yield json_frame(OutputAlignment(self._session_id, (word,)))

    def _finish(self, turn: Turn, event: Done | Cancelled | Error | None) -> Iterable[Action]:
        if isinstance(event, Error):
            yield self._error(event.code, event.message)
        else:
            yield json_frame(DoneMessage(self._session_id))

    def _error(self, code: str, message: str) -> Frame:
        return json_frame(ErrorMessage(self._session_id, message, code))
