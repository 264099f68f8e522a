"""Cartesia's WebSocket, as an adapter.

Nothing follows a `cancel`: the vendor's SDK has forgotten the context by then, and would give it to another one.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta

from sayline_tts.server.audio.formats import Format, FormatError
from sayline_tts.server.compat.adapter import (
    DEFAULT_CONTEXT,
    MAX_CONTEXTS,
    Action,
    AudioFormat,
    Contexts,
    Open,
    Output,
    SpeechEvent,
    clamp_speed,
    json_frame,
    language_code,
    parse_json,
)
from sayline_tts.server.websocket.messages import Audio, Cancel, Done, End, Error, Flush, Flushed, Start, Text, Word
from sayline_tts.server.websocket.outbox import Frame
from sayline_tts.server.websocket.protocol import ProtocolError

MAX_DELAY_MS = 5_000
ENCODINGS = {
    "pcm_s16le": Format.PCM,
    "pcm_f32le": Format.FLOAT32,
    "pcm_mulaw": Format.MULAW,
    "pcm_alaw": Format.ALAW,
}
CONTAINERS = {"wav": Format.WAV, "mp3": Format.MP3}  # over HTTP only
SPEEDS = {"slow": 0.8, "fast": 1.25}
STATUS = {
    "bad_message": 400,
    "bad_format": 400,
    "voice_not_allowed": 403,
    "key_revoked": 401,
    "unknown_voice": 404,
    "rate_limited": 429,
    "internal": 500,
}
OTHER_STATUS = 503

Name = Annotated[str, Meta(max_length=200)]


class VoiceReference(msgspec.Struct, frozen=True):
    id: Name | None = None


class OutputFormat(msgspec.Struct, frozen=True):
    container: str = "raw"
    encoding: str = "pcm_s16le"
    sample_rate: int = 24_000


class GenerationConfig(msgspec.Struct, frozen=True):
    speed: float | None = None


class SpeechFields(msgspec.Struct, frozen=True):
    """What requests over the socket and over HTTP have in common."""

    transcript: str = ""
    voice: Name | VoiceReference | None = None
    output_format: OutputFormat | None = None
    language: str | None = None
    locale: str | None = None
    normalization: str | None = None
    speed: str | float | None = None
    generation_config: GenerationConfig | None = None

    @property
    def voice_id(self) -> str | None:
        return self.voice.id if isinstance(self.voice, VoiceReference) else self.voice

    @property
    def playback_speed(self) -> float:
        speed = self.generation_config.speed if self.generation_config else None
        if speed is None:
            speed = SPEEDS.get(self.speed, 1.0) if isinstance(self.speed, str) else self.speed
        return clamp_speed(speed)

    @property
    def audio_format(self) -> AudioFormat:
        """Raises `FormatError` for a rate that is not supported."""
        chosen = self.output_format or OutputFormat()
        format = CONTAINERS.get(chosen.container) or ENCODINGS.get(chosen.encoding, Format.PCM)
        return AudioFormat(format, chosen.sample_rate)

    @property
    def language_code(self) -> str | None:
        return language_code(self.language or self.locale)


class ClientMessage(SpeechFields, frozen=True, rename={"continues": "continue"}):
    context_id: Annotated[str, Meta(max_length=512)] | None = None
    continues: bool | None = False
    flush: bool | None = False
    cancel: bool | None = False
    add_timestamps: bool | None = False
    max_buffer_delay_ms: float | None = None


class ServerMessage(msgspec.Struct, frozen=True, tag_field="type"):
    context_id: str
    status_code: int = 206
    done: bool = False


class Chunk(ServerMessage, frozen=True, tag="chunk"):
    data: bytes = b""  # base64
    step_time: float = 0.0
    flush_id: int = 1


class WordTimestamps(msgspec.Struct, frozen=True):
    """Seconds from the start of the context."""

    words: list[str]
    start: list[float]
    end: list[float]


class Timestamps(ServerMessage, frozen=True, tag="timestamps"):
    word_timestamps: WordTimestamps | None = None
    flush_id: int = 1


class FlushDone(ServerMessage, frozen=True, tag="flush_done"):
    flush_id: int = 1
    flush_done: bool = True


class DoneMessage(ServerMessage, frozen=True, tag="done"):
    status_code: int = 200
    done: bool = True


class ErrorMessage(ServerMessage, frozen=True, tag="error"):
    title: str = ""
    message: str = ""
    error_code: str = ""
    error: str = ""


_decoder = msgspec.json.Decoder(ClientMessage)


@dataclass
class Turn:
    """One context. It is opened by its first text."""

    client_id: str
    phrases: bool  # each message is complete
    timestamps: bool
    opened: bool = False
    ended: bool = False
    flushes: int = 0
    flush_id: int = 1  # of what is being spoken


class CartesiaAdapter:
    def __init__(self) -> None:
        self._turns: Contexts[Turn] = Contexts()

    def receive(self, data: str | bytes) -> Iterable[Action]:
        return self._receive(parse_json(data, _decoder))

    def refuse(self, error: ProtocolError) -> Iterable[Output]:
        yield error_frame(error.context_id or DEFAULT_CONTEXT, error.code, error.message)

    def forget(self) -> None:
        """Nothing more is sent for the contexts that are open."""
        for own_id, _ in self._turns:
            self._turns.remove(own_id)

    def send(self, event: SpeechEvent) -> Iterable[Output]:
        own_id = str(event.context_id)
        if (turn := self._turns.get(own_id)) is None:
            return
        match event:
            case Word(text=text, start_ms=start_ms, end_ms=end_ms) if turn.timestamps:
                times = WordTimestamps([text], [start_ms / 1000], [end_ms / 1000])
                yield json_frame(Timestamps(turn.client_id, word_timestamps=times, flush_id=turn.flush_id))
            case Audio(data=data) if data:
                yield json_frame(Chunk(turn.client_id, data=data, flush_id=turn.flush_id))
            case Flushed(id=str(flush_id)):
                turn.flush_id = int(flush_id) + 1
                yield json_frame(FlushDone(turn.client_id, flush_id=int(flush_id)))
            case Done():
                self._turns.remove(own_id)
                yield json_frame(DoneMessage(turn.client_id))
            case Error():
                self._turns.remove(own_id)
                yield error_frame(turn.client_id, event.code, event.message)

    def _receive(self, message: ClientMessage) -> Iterator[Action]:
        client_id = message.context_id or DEFAULT_CONTEXT
        found = self._turns.find(client_id)
        if message.cancel:
            if found is not None:
                self._turns.remove(found[0])
                if found[1].opened:
                    yield Cancel(found[0])
            return
        if found is None or found[1].ended:
            if len(self._turns) >= MAX_CONTEXTS:
                raise ProtocolError("too_many_contexts", f"{MAX_CONTEXTS} contexts are open; end one first", client_id)
            turn = Turn(client_id, message.max_buffer_delay_ms == 0, bool(message.add_timestamps))
            found = self._turns.add(client_id, turn), turn
        yield from self._continue(*found, message)

    def _continue(self, own_id: str, turn: Turn, message: ClientMessage) -> Iterator[Action]:
        text = message.transcript
        if text.strip():
            if not turn.opened:
                yield self._open(own_id, message)
                turn.opened = True
            yield Text(own_id, f"{text} " if turn.phrases and not text[-1].isspace() else text)
            if turn.phrases:
                yield Flush(own_id)
        elif turn.opened:
            yield Text(own_id, text)
        if message.flush:
            turn.flushes += 1
            if turn.opened:
                yield Flush(own_id, str(turn.flushes))
            else:
                yield json_frame(FlushDone(turn.client_id, flush_id=turn.flushes))
        if not message.continues:
            yield from self._end(own_id, turn)

    def _end(self, own_id: str, turn: Turn) -> Iterator[Action]:
        turn.ended = True
        if turn.opened:
            yield End(own_id)
        else:
            self._turns.remove(own_id)
            yield json_frame(DoneMessage(turn.client_id))

    def _open(self, own_id: str, message: ClientMessage) -> Open:
        delay_ms = message.max_buffer_delay_ms
        start = Start(
            own_id,
            message.voice_id,
            clean_up=message.normalization != "off",
            language=message.language_code,
            speed=message.playback_speed,
            max_delay_ms=min(max(delay_ms, 0.0), MAX_DELAY_MS) if delay_ms else None,
        )
        try:
            return Open(start, message.audio_format)
        except FormatError as error:
            self._turns.remove(own_id)
            raise ProtocolError(error.code, str(error), message.context_id) from None


def error_frame(context_id: str, code: str, message: str) -> Frame:
    status = STATUS.get(code, OTHER_STATUS)
    return json_frame(ErrorMessage(context_id, status, False, code, message, code, message))
