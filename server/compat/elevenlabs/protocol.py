"""ElevenLabs' WebSockets `stream-input`, `multi-stream-input` and those of text-to-dialogue, as adapters.

`close_context` has more than one meaning, because clients interrupt with it too: see `MultiStream._close`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from sayline_tts.engine.audio.recording import SAMPLE_RATE_HZ
from sayline_tts.server.access.auth import bare_key
from sayline_tts.server.compat.adapter import (
    DEFAULT_CONTEXT,
    FRAME_MS,
    MAX_CONTEXTS,
    MODEL_PCM,
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
from sayline_tts.server.compat.character_times import CharacterTimes
from sayline_tts.server.websocket.messages import (
    Audio,
    Cancel,
    Cancelled,
    Done,
    End,
    Error,
    Flush,
    Segment,
    Start,
    Text,
    Word,
)
from sayline_tts.server.websocket.outbox import CloseConnection, Frame
from sayline_tts.server.websocket.protocol import CloseCode, ProtocolError

# Clients of these read the error and, if the socket stays open, go on with their next turn.
STATUS = {
    "full": "system_busy",
    "rate_limited": "too_many_concurrent_requests",
    "unknown_voice": "voice_not_found",
    "voice_not_allowed": "voice_not_found",
    "key_revoked": "invalid_api_key",
}
CLOSING = ("unknown_voice", "voice_not_allowed", "bad_voice", "key_revoked")  # no next turn could succeed


Name = Annotated[str, Meta(max_length=200)]


class VoiceSettings(msgspec.Struct, frozen=True):
    """The settings that have an effect here."""

    speed: float | None = None


class ClientMessage(msgspec.Struct, frozen=True):
    """All messages of both sockets."""

    text: str | None = None
    context_id: Annotated[str, Meta(max_length=512)] | None = None
    flush: bool | None = False
    close_context: bool | None = False
    close_socket: bool | None = False
    voice_settings: VoiceSettings | None = None


class Alignment(msgspec.Struct, frozen=True, rename="camel"):
    """Times in ms of characters; what they count from is told by `Options.sync_alignment`."""

    chars: list[str]
    char_start_times_ms: list[int]
    char_durations_ms: list[int]


class AudioMessage(msgspec.Struct, frozen=True, rename="camel"):
    audio: bytes | None  # base64
    is_final: bool | None = None
    alignment: Alignment | None = None
    normalized_alignment: Alignment | None = None
    context_id: str | UnsetType = UNSET


class FinalMessage(msgspec.Struct, frozen=True, rename="camel"):
    audio: None = None
    is_final: bool = True
    context_id: str | UnsetType = UNSET


class ErrorMessage(msgspec.Struct, frozen=True, rename="camel"):
    message: str
    error: str
    code: int = POLICY_VIOLATION
    context_id: str | UnsetType = UNSET


class Input(msgspec.Struct, frozen=True):
    text: str = ""
    voice_id: Name | None = None
    new_turn: bool | None = False


class DialogueMessage(msgspec.Struct, frozen=True):
    """All messages of the dialogue sockets. Another one keeps its context alive."""

    context_id: Annotated[str, Meta(max_length=512)] | None = None
    voices: list[Name] | None = None
    inputs: list[Input] = []
    flush: bool | None = False
    close_context: bool | None = False
    close_socket: bool | None = False


class DialogueAlignment(msgspec.Struct, frozen=True):
    chars: list[str]
    char_start_times_ms: list[int]
    char_durations_ms: list[int]


class DialogueAudio(msgspec.Struct, frozen=True):
    audio: bytes  # base64
    alignment: DialogueAlignment | None
    normalized_alignment: None
    context_id: str | UnsetType


class DialogueError(msgspec.Struct, frozen=True):
    message: str
    error: str
    code: int = POLICY_VIOLATION
    param: None = None
    context_id: str | UnsetType = UNSET


class DialogueFinal(msgspec.Struct, frozen=True):
    context_id: str | UnsetType
    is_final: bool = True


class KeyMessage(msgspec.Struct, frozen=True):
    """The key in the first message, of clients that cannot set headers."""

    xi_api_key: str | None = None
    header: str | None = msgspec.field(default=None, name="xi-api-key")
    authorization: str | None = None
    single_use_token: str | None = None


_decoder = msgspec.json.Decoder(ClientMessage)
_dialogue_decoder = msgspec.json.Decoder(DialogueMessage)
_key_decoder = msgspec.json.Decoder(KeyMessage)


@dataclass(frozen=True)
class Options:
    """What the address of a socket says. `phrases`: each message is complete, and is spoken at once."""

    voice: str
    format: AudioFormat = MODEL_PCM
    phrases: bool = False
    sync_alignment: bool = False
    language: str | None = None
    clean_up: bool = True
    seed: int | None = None


class Last(Enum):
    """The last message of a context that asked for something."""

    NOTHING = auto()
    TEXT = auto()
    TEXT_AND_FLUSH = auto()
    FLUSH = auto()
    CLOSE = auto()


@dataclass
class Turn:
    """One context. It is opened by its first text, so that one without any takes no place."""

    client_id: str
    speed: float = 1.0
    voice: str | None = None  # None: that of the address
    opened: bool = False
    last: Last = Last.NOTHING
    times: CharacterTimes = field(default_factory=CharacterTimes)
    aligned_ms: int = 0  # end of the last alignment's span


class _Adapter(ABC):
    """What both sockets share."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._turns: Contexts[Turn] = Contexts()

    def refuse(self, error: ProtocolError) -> Iterable[Output]:
        return refuse(error)

    def send(self, event: SpeechEvent) -> Iterable[Output]:
        own_id = str(event.context_id)
        if (turn := self._turns.get(own_id)) is None:
            return
        match event:
            case Word():
                turn.times.on_word(event.start_char, event.end_char, event.start_ms, event.end_ms)
            case Segment():
                turn.times.on_spoken()
            case Audio(data=data) if data:
                yield self._audio(turn, event)
            case Done() | Cancelled() | Error():
                self._turns.remove(own_id)
                yield from self._finish(turn, event)

    @abstractmethod
    def _finish(self, turn: Turn, event: Done | Cancelled | Error) -> Iterable[Output]:
        """Tell the client that a context has ended."""

    def _context_id(self, turn: Turn) -> str | UnsetType:
        return UNSET

    def _speak(self, own_id: str, turn: Turn, text: str) -> Iterator[Action]:
        """Append text to a context, and open it if this is its first."""
        options = self._options
        if not turn.opened:
            turn.opened = True
            start = Start(
                own_id,
                turn.voice or options.voice,
                clean_up=options.clean_up,
                language=options.language,
                speed=turn.speed,
                seed=options.seed,
            )
            yield Open(start, options.format)
        turn.times.push(text)
        yield Text(own_id, text)
        if options.phrases:
            yield Flush(own_id)

    def _audio(self, turn: Turn, event: Audio) -> Frame:
        alignment = self._alignment(turn, event.start_sample * 1000 // SAMPLE_RATE_HZ)
        return json_frame(AudioMessage(event.data, None, alignment, alignment, self._context_id(turn)))

    def _base(self, audio_ms: int) -> int | None:
        """What times count from, if a message's audio begins at `audio_ms`; None: the end of the alignment before."""
        return 0 if self._options.sync_alignment else None

    def _alignment(self, turn: Turn, audio_ms: int) -> Alignment | None:
        """The characters that have been timed. `audio_ms`: where the message's audio begins.

        If times count from the end of the alignment before, the last character lasts to the end of the audio: clients
        then add up what alignments span.
        """
        times = turn.times.take()
        if not times:
            return None
        base_ms = self._base(audio_ms)
        starts_ms = [max(round(each.start_ms), turn.aligned_ms) for each in times]
        last_ms = max(starts_ms[-1], round(times[-1].end_ms))
        if base_ms is None:
            base_ms, last_ms = turn.aligned_ms, max(starts_ms[-1], audio_ms + FRAME_MS)
            turn.aligned_ms = last_ms
        ends_ms = [*starts_ms[1:], last_ms]
        return Alignment(
            [each.char for each in times],
            [start_ms - base_ms for start_ms in starts_ms],
            [end_ms - start_ms for start_ms, end_ms in zip(starts_ms, ends_ms, strict=True)],
        )


class SingleStream(_Adapter):
    """`stream-input`: one context; an empty text ends it, and with it the connection."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._turn = Turn(DEFAULT_CONTEXT)
        self._own_id = self._turns.add(DEFAULT_CONTEXT, self._turn)

    def receive(self, data: str | bytes) -> Iterable[Action]:
        return self._receive(parse_json(data, _decoder))

    def _receive(self, message: ClientMessage) -> Iterator[Action]:
        turn = self._turn
        if turn.last is Last.CLOSE:
            return
        turn.speed = _speed(message, turn.speed)
        text = message.text
        if text is not None and text.strip():
            yield from self._speak(self._own_id, turn, text)
        elif text and turn.opened:  # a space between words, or one that keeps the connection alive
            turn.times.push(text)
            yield Text(self._own_id, text)
        if text == "" or message.close_socket:
            turn.last = Last.CLOSE
            if turn.opened:
                yield End(self._own_id)
            else:
                self._turns.remove(self._own_id)
                yield from self._finish(turn, Done(self._own_id, 0, 0.0))
        elif message.flush and turn.opened and not (self._options.phrases and text):
            yield Flush(self._own_id)

    def _finish(self, turn: Turn, event: Done | Cancelled | Error) -> Iterable[Output]:
        turn.last = Last.CLOSE
        if isinstance(event, Error):
            yield json_frame(_error(event, UNSET))
            code = CloseCode.RESTART if event.code == "shutting_down" else POLICY_VIOLATION
            yield CloseConnection(code, event.code)
            return
        yield json_frame(FinalMessage())
        yield CloseConnection(CloseCode.NORMAL, "")


class MultiStream(_Adapter):
    """`multi-stream-input`: contexts with names."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._closing = False
        self._flushes_before_closing = False  # this client ends a turn with a flush that has no text

    def receive(self, data: str | bytes) -> Iterable[Action]:
        return self._receive(parse_json(data, _decoder))

    def _receive(self, message: ClientMessage) -> Iterator[Action]:
        if self._closing:
            return
        if message.close_socket:
            yield from self._close_socket()
            return
        client_id = message.context_id or DEFAULT_CONTEXT
        if message.close_context:
            yield from self._close(client_id)
            return
        has_text = bool(message.text and message.text.strip())
        found = self._turns.find(client_id)
        if found is None or found[1].last is Last.CLOSE:
            if message.context_id is None and not has_text:
                return  # keeps the connection alive
            if not has_text and message.text != " ":
                return  # a late flush
            if len(self._turns) >= MAX_CONTEXTS:
                raise ProtocolError("max_active_conversations", f"{MAX_CONTEXTS} contexts are open; close one first")
            turn = Turn(client_id, _speed(message, 1.0))
            found = self._turns.add(client_id, turn), turn
        yield from self._continue(*found, message, has_text)

    def _continue(self, own_id: str, turn: Turn, message: ClientMessage, has_text: bool) -> Iterator[Action]:
        text = message.text or ""
        if has_text:
            turn.last = Last.TEXT
            yield from self._speak(own_id, turn, self._separated(text))
        elif turn.opened:
            yield Text(own_id, "")  # keeps the context alive
        if message.flush:
            turn.last = Last.TEXT_AND_FLUSH if has_text else Last.FLUSH
            self._flushes_before_closing |= not has_text
            if turn.opened and not (has_text and self._options.phrases):
                yield Flush(own_id)

    def _separated(self, text: str) -> str:
        """Some clients send sentences without a space behind, and none sends a word in two messages."""
        return text if text[-1].isspace() else f"{text} "

    def _close(self, client_id: str) -> Iterator[Action]:
        """Speak what was flushed, or stop: clients interrupt by closing a context that they have not flushed, or twice.

        A client that ends its turns by a flush without text, and closes after one with text, interrupts too.
        """
        if (found := self._turns.find(client_id)) is None:
            return
        own_id, turn = found
        ends = turn.last is Last.FLUSH or (turn.last is Last.TEXT_AND_FLUSH and not self._flushes_before_closing)
        turn.last = Last.CLOSE
        if not turn.opened:
            self._turns.remove(own_id)
            yield from self._finish(turn, Done(own_id, 0, 0.0))
        else:
            yield End(own_id) if ends else Cancel(own_id)

    def _close_socket(self) -> Iterator[Action]:
        for _, turn in self._turns:
            if turn.last is not Last.CLOSE:
                yield from self._close(turn.client_id)
        self._closing = True
        if not self._turns:
            yield CloseConnection(CloseCode.NORMAL, "")

    def _context_id(self, turn: Turn) -> str | UnsetType:
        return turn.client_id or UNSET

    def _final(self, context_id: str | UnsetType) -> Frame:
        return json_frame(FinalMessage(context_id=context_id))

    def _failure(self, event: Error, context_id: str | UnsetType) -> Frame:
        return json_frame(_error(event, context_id))

    def _finish(self, turn: Turn, event: Done | Cancelled | Error) -> Iterable[Output]:
        context_id = self._context_id(turn)
        if isinstance(event, Error) and event.code != "expired":
            yield self._failure(event, context_id)
        yield self._final(context_id)
        if isinstance(event, Error) and event.code in CLOSING:
            yield CloseConnection(POLICY_VIOLATION, event.code)
        elif self._closing and not self._turns:
            yield CloseConnection(CloseCode.NORMAL, "")


class Dialogue(MultiStream):
    """The sockets of text-to-dialogue: contexts are registered with their voice, of which each has one here.

    Clients disagree about what times count from, and can be told apart: Pipecat, which marks turns, adds up what
    alignments span; for others they count from the start of the message's audio.
    """

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._adds_spans = False

    def receive(self, data: str | bytes) -> Iterable[Action]:
        return self._receive_inputs(parse_json(data, _dialogue_decoder))

    def _receive_inputs(self, message: DialogueMessage) -> Iterator[Action]:
        if message.close_socket or message.close_context or self._closing:
            closing = ClientMessage(None, message.context_id, False, message.close_context, message.close_socket)
            yield from self._receive(closing)
            return
        found = self._turns.find(message.context_id or DEFAULT_CONTEXT)
        if message.voices:
            if found and found[1].last is not Last.CLOSE:
                raise ProtocolError("context_exists", "this context is open; send voices in its first message only")
            found = self._register(message.context_id or DEFAULT_CONTEXT, message.voices[0])
        if found is None or found[1].last is Last.CLOSE:
            return  # it crossed the context's end on the way
        own_id, turn = found
        self._adds_spans |= any(each.new_turn for each in message.inputs)
        if any(each.voice_id not in (None, turn.voice) for each in message.inputs):
            raise ProtocolError("one_voice", "a context speaks with one voice; open another context for another voice")
        text = "".join(each.text for each in message.inputs)
        yield from self._continue(own_id, turn, ClientMessage(text, flush=message.flush), bool(text.strip()))

    def _register(self, client_id: str, voice: str) -> tuple[str, Turn]:
        if len(self._turns) >= MAX_CONTEXTS:
            raise ProtocolError("max_active_conversations", f"{MAX_CONTEXTS} contexts are open; close one first")
        turn = Turn(client_id, voice=voice)
        return self._turns.add(client_id, turn), turn

    def _separated(self, text: str) -> str:
        return text

    def _base(self, audio_ms: int) -> int | None:
        return None if self._adds_spans else audio_ms

    def _audio(self, turn: Turn, event: Audio) -> Frame:
        alignment = self._alignment(turn, event.start_sample * 1000 // SAMPLE_RATE_HZ)
        times = DialogueAlignment(*msgspec.structs.astuple(alignment)) if alignment else None
        return json_frame(DialogueAudio(event.data, times, None, self._context_id(turn)))

    def _final(self, context_id: str | UnsetType) -> Frame:
        return json_frame(DialogueFinal(context_id=context_id))

    def _failure(self, event: Error, context_id: str | UnsetType) -> Frame:
        error = STATUS.get(event.code, event.code)
        return json_frame(DialogueError(event.message, error, context_id=context_id))


def refuse(error: ProtocolError) -> Iterable[Output]:
    yield json_frame(ErrorMessage(error.message, STATUS.get(error.code, error.code)))
    yield CloseConnection(POLICY_VIOLATION, error.code)


def keys(data: str | bytes) -> list[str]:
    """What a client's first message has for keys."""
    with suppress(ProtocolError):
        found = parse_json(data, _key_decoder)
        return [bare_key(key) for key in msgspec.structs.astuple(found) if key]
    return []


def _speed(message: ClientMessage, default: float) -> float:
    speed = message.voice_settings.speed if message.voice_settings else None
    return default if speed is None else clamp_speed(speed)


def _error(event: Error, context_id: str | UnsetType) -> ErrorMessage:
    return ErrorMessage(event.message, STATUS.get(event.code, event.code), context_id=context_id)
