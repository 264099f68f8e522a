"""Deepgram's WebSocket `/v1/speak`, as an adapter, and what `/v2/speak` shares with it."""

import json
import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from sayline_tts.server.compat.adapter import (
    MODEL_PCM,
    POLICY_VIOLATION,
    Action,
    AudioFormat,
    Open,
    Output,
    json_frame,
    parse_json,
)
from sayline_tts.server.compat.turns import Turn, TurnAdapter
from sayline_tts.server.websocket.messages import Audio, Cancelled, Done, Error, Flushed, Segment, Start, Word
from sayline_tts.server.websocket.outbox import CloseConnection, Frame
from sayline_tts.server.websocket.protocol import CloseCode, ProtocolError

UNSUPPORTED_DATA = 1003
NOT_TEXT, NOT_VALID, TOO_MUCH, FAILED = "MESSAGE-0000", "DATA-0000", "DATA-0001", "NET-0000"
MAX_CONTROL_CHARS = 1_000  # a longer one is text
MAX_REASON_BYTES = 120  # of a close frame
_CONTROL = re.compile(r"\\\{.*?\\?\}", re.DOTALL)


@dataclass(frozen=True)
class Options:
    """What the address of a socket says. `model`: as the client named it, which is its voice."""

    voice: str
    model: str = "aura-2-thalia-en"
    format: AudioFormat = MODEL_PCM
    speed: float = 1.0
    language: str | None = None
    request_id: str = ""


class PlaybackOffset(msgspec.Struct, frozen=True):
    """Of the session's audio. `type` is always `time_ms`."""

    value: float
    type: str = "time_ms"


class ClientMessage(msgspec.Struct, frozen=True):
    """All messages of both sockets."""

    type: str
    text: str = ""
    speed: float | None = None
    playback_offset: PlaybackOffset | None = None


class _ServerMessage(msgspec.Struct, frozen=True, tag_field="type"):
    pass


class Metadata(_ServerMessage, frozen=True, tag="Metadata"):
    request_id: str
    model_name: str
    model_version: str
    model_uuid: str
    additional_model_uuids: tuple[str, ...] = ()


class FlushedMessage(_ServerMessage, frozen=True, tag="Flushed"):
    sequence_id: int


class Cleared(_ServerMessage, frozen=True, tag="Cleared"):
    sequence_id: int


class WarningMessage(_ServerMessage, frozen=True, tag="Warning"):
    """Twice, because clients read either pair of fields."""

    description: str
    code: str
    warn_msg: str
    warn_code: str


class ErrorMessage(_ServerMessage, frozen=True, tag="Error"):
    description: str
    code: str


_decoder = msgspec.json.Decoder(ClientMessage)


class Pronunciations:
    """Replaces pronunciations in a text, `\\{"word": "...", "pronounce": "..."\\}`, by their words.

    Clients may send one in several messages.
    """

    def __init__(self) -> None:
        self._open = ""  # the beginning of one

    def feed(self, text: str) -> str:
        text = _CONTROL.sub(_word, self._open + text)
        at = len(text) - 1 if text.endswith("\\") else text.rfind("\\{")
        is_open = at >= 0 and "}" not in text[at:] and len(text) - at <= MAX_CONTROL_CHARS
        text, self._open = (text[:at], text[at:]) if is_open else (text, "")
        return text

    def end(self) -> str:
        """Return what has turned out to be text."""
        rest, self._open = self._open, ""
        return rest


def _word(control: re.Match[str]) -> str:
    try:
        word = json.loads(control[0].replace("\\{", "{", 1).removesuffix("\\}").removesuffix("}") + "}")["word"]
    except (ValueError, KeyError, RecursionError):
        return control[0]
    return word if isinstance(word, str) else control[0]


class DeepgramAdapter(TurnAdapter):
    """What both sockets share. `Speak` appends to a turn and `Flush` ends it."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self._options, self._pronunciations = options, Pronunciations()
        self._closing = False

    def receive(self, data: str | bytes) -> Iterable[Action]:
        if isinstance(data, bytes):
            raise ProtocolError("not_text", "binary messages are not understood; send JSON in text messages")
        return self._receive(parse_json(data, _decoder))

    def refuse(self, error: ProtocolError) -> Iterable[Output]:
        """A message that is not valid ends the connection, and one that comes too early is left out."""
        if error.code == "text_limit":
            yield warning_frame(TOO_MUCH, error.message)
            return
        not_text = error.code == "not_text"
        yield from close(
            UNSUPPORTED_DATA if not_text else POLICY_VIOLATION, NOT_TEXT if not_text else NOT_VALID, error.message
        )

    def _receive(self, message: ClientMessage) -> Iterator[Action]:
        if self._closing:
            return
        match message.type:
            case "Speak":
                if text := self._pronunciations.feed(message.text):
                    yield from self._speak(text)
            case "Flush":
                yield from self._flush()
            case "Close":
                self._closing = True
                yield from self._close()
            case _:
                yield from self._control(message)

    def _flush(self) -> Iterator[Action]:
        if rest := self._pronunciations.end():
            yield from self._speak(rest)
        yield from self._end()

    @abstractmethod
    def _close(self) -> Iterator[Action]: ...

    @abstractmethod
    def _control(self, message: ClientMessage) -> Iterator[Action]:
        """Take another message. Raises `ProtocolError` for one of an unknown type."""

    def _start(self, own_id: str) -> Open:
        options = self._options
        start = Start(own_id, options.voice, language=options.language, speed=options.speed)
        return Open(start, options.format)


class SpeakAdapter(DeepgramAdapter):
    """v1: every `Flush` is answered, unless a `Clear` comes first."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._sequence_id = 0
        self._clears = 0  # that wait for the cancelled turn

    def greet(self) -> Iterable[Output]:
        options = self._options
        yield json_frame(Metadata(options.request_id, options.model, "sayline", options.request_id))

    def forget(self) -> None:
        super().forget()
        self._clears = 0

    def _control(self, message: ClientMessage) -> Iterator[Action]:
        if message.type != "Clear":
            raise ProtocolError("bad_message", f"unknown type {message.type[:30]!r}; send Speak, Flush, Clear or Close")
        self._pronunciations.end()
        self._clears += 1
        if not (yield from self._drop_turns()):
            yield from self._answer_clears()

    def _close(self) -> Iterator[Action]:
        yield from self._drop_turns()
        yield CloseConnection(CloseCode.NORMAL, "")

    def _speech(self, turn: Turn, event: Audio | Word | Segment | Flushed) -> Iterable[Action]:
        if isinstance(event, Audio) and event.data:
            yield Frame(event.data)

    def _finish(self, turn: Turn, event: Done | Cancelled | Error | None) -> Iterable[Action]:
        if turn.cancelled:
            yield from self._answer_clears()
            return
        if isinstance(event, Error):
            yield warning_frame(event.code, event.message)
        if turn.ended:
            yield json_frame(FlushedMessage(self._next_id()))

    def _answer_clears(self) -> Iterator[Action]:
        while self._clears:
            self._clears -= 1
            yield json_frame(Cleared(self._next_id()))

    def _next_id(self) -> int:
        self._sequence_id += 1
        return self._sequence_id - 1


def close(code: int, name: str, description: str) -> Iterator[Output]:
    """Clients read either the message or the reason, which begins with the vendor's code."""
    yield json_frame(ErrorMessage(description, name))
    yield CloseConnection(code, f"{name}: {description}".encode()[:MAX_REASON_BYTES].decode(errors="ignore"))


def warning_frame(code: str, description: str) -> Frame:
    return json_frame(WarningMessage(description, code, description, code))
