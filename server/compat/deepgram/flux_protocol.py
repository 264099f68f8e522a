"""Deepgram's WebSocket `/v2/speak` (Flux), as an adapter: turns, and interruptions that tell what was spoken."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import msgspec
from msgspec import UNSET, UnsetType

from sayline_tts.server.compat.adapter import Action, Output, clamp_speed, json_frame
from sayline_tts.server.compat.deepgram.protocol import (
    FAILED,
    ClientMessage,
    DeepgramAdapter,
    Options,
    close,
    warning_frame,
)
from sayline_tts.server.compat.turns import Turn
from sayline_tts.server.websocket.messages import Audio, Cancelled, Done, Error, Flushed, Segment, Word
from sayline_tts.server.websocket.outbox import CloseConnection, Frame
from sayline_tts.server.websocket.protocol import CloseCode, ProtocolError

MIN_SPEED, MAX_SPEED, SPEED_STEP = 0.5, 1.5, 0.05
_SLACK = 1e-6  # of numbers in binary


class SpeedError(ValueError):
    """`code`: the vendor's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def check_speed(speed: float) -> None:
    """Raises `SpeedError`, as clients of this socket expect."""
    if not MIN_SPEED - _SLACK <= speed <= MAX_SPEED + _SLACK:
        raise SpeedError("SPEED_OUT_OF_RANGE", f"speed must be {MIN_SPEED} to {MAX_SPEED}, not {speed:g}")
    steps = speed / SPEED_STEP
    if abs(steps - round(steps)) > _SLACK:
        raise SpeedError("SPEED_INCREMENT_INVALID", f"speed must be a multiple of {SPEED_STEP}, not {speed:g}")


class _ServerMessage(msgspec.Struct, frozen=True, tag_field="type"):
    pass


class Connected(_ServerMessage, frozen=True, tag="Connected"):
    request_id: str
    model_name: str
    model_version: str
    model_uuids: tuple[str, ...]


class SpeechStarted(_ServerMessage, frozen=True, tag="SpeechStarted"):
    speech_id: str


class FlushedMessage(_ServerMessage, frozen=True, tag="Flushed"):
    speech_id: str


class ControlsApplied(msgspec.Struct, frozen=True):
    """None is: words of pronunciations are said as written."""

    pronunciations_applied: int = 0
    breaks_applied: int = 0
    pronunciation_warnings: int = 0


class TurnMetadata(msgspec.Struct, frozen=True):
    speech_id: str
    audio_duration_ms: int
    input_character_count: int
    billable_character_count: int
    controls_applied: ControlsApplied = ControlsApplied()


class SpeechMetadata(TurnMetadata, frozen=True, tag_field="type", tag="SpeechMetadata"):
    """The end of a turn."""


class SpeechInterrupted(_ServerMessage, frozen=True, tag="SpeechInterrupted"):
    audio_played_ms: int
    metadata: TurnMetadata
    text_spoken: str | UnsetType = UNSET
    text_remaining: str | UnsetType = UNSET


class SessionMetadata(_ServerMessage, frozen=True, tag="SessionMetadata"):
    total_audio_duration_ms: int
    total_input_character_count: int
    total_billable_character_count: int


class Applied(msgspec.Struct, frozen=True):
    speed: float


class ConfigureSuccess(_ServerMessage, frozen=True, tag="ConfigureSuccess"):
    applied: Applied


class ConfigureFailure(_ServerMessage, frozen=True, tag="ConfigureFailure"):
    code: str
    field: str
    value: float
    description: str


class FluxAdapter(DeepgramAdapter):
    """v2. Offsets of interruptions count from the start of the session, as its client has played it."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._played_ms = 0.0  # audio of all turns before; of interrupted ones, what was played
        self._interrupted_at_ms = -1.0  # the last interruption
        self._chars = 0  # of all turns that have ended
        self._started = 0  # number of the last turn with audio
        self._offset_ms: float | None = None  # at which the first turn is being interrupted

    def greet(self) -> Iterable[Output]:
        options = self._options
        yield json_frame(Connected(options.request_id, options.model, "sayline", (options.request_id,)))

    def _flush(self) -> Iterator[Action]:
        yield json_frame(FlushedMessage(_speech_id(self._newest_turn())))
        yield from super()._flush()

    def _control(self, message: ClientMessage) -> Iterator[Action]:
        match message.type:
            case "Interrupt":
                offset = message.playback_offset
                yield from self._interrupt(None if offset is None else offset.value)
            case "Configure":
                yield self._configure(message.speed)
            case kind:
                known = "Speak, Flush, Interrupt, Configure or Close"
                raise ProtocolError("bad_message", f"unknown type {kind[:30]!r}; send {known}")

    def _configure(self, speed: float | None) -> Frame:
        """Set the speed of turns that have not begun."""
        if speed is None:
            return json_frame(ConfigureSuccess(Applied(self._options.speed)))
        try:
            check_speed(speed)
        except SpeedError as error:
            return json_frame(ConfigureFailure(error.code, "speed", speed, str(error)))
        self._options = replace(self._options, speed=clamp_speed(speed))
        return json_frame(ConfigureSuccess(Applied(speed)))

    def _interrupt(self, offset_ms: float | None) -> Iterator[Action]:
        turn = self._turns[0] if self._turns else None
        if turn is not None and turn.cancelled:
            yield warning_frame("INTERRUPT_IN_PROGRESS", "an interruption has not been answered yet; wait for that")
            return
        if offset_ms is not None and offset_ms <= self._interrupted_at_ms:
            description = f"playback_offset must be more than {self._interrupted_at_ms:g} ms, the last interruption"
            yield warning_frame("INVALID_INTERRUPT_OFFSET", description)
            return
        self._pronunciations.end()
        if turn is None or turn.own_id is None:
            self._turns.clear()  # of a turn without words yet
            yield warning_frame("NO_ACTIVE_SPEECH", "nothing is being spoken")
            return
        self._offset_ms = offset_ms
        before_ms = self._played_ms + turn.expired_ms
        yield from self._cancel(turn, None if offset_ms is None else max(0.0, offset_ms - before_ms))

    def _close(self) -> Iterator[Action]:
        """Speak what has been sent, then close."""
        if self._turns and not self._turns[-1].ended:
            yield from super()._flush()
        elif not self._turns:
            yield from self._end_session()

    def _end_session(self) -> Iterator[Output]:
        yield json_frame(SessionMetadata(round(self._played_ms), self._chars, self._chars))
        yield CloseConnection(CloseCode.NORMAL, "")

    def _speech(self, turn: Turn, event: Audio | Word | Segment | Flushed) -> Iterable[Action]:
        if isinstance(event, Audio) and event.data:
            if self._started < turn.number:
                self._started = turn.number
                yield json_frame(SpeechStarted(_speech_id(turn)))
            yield Frame(event.data)

    def _finish(self, turn: Turn, event: Done | Cancelled | Error | None) -> Iterable[Action]:
        self._chars += turn.chars
        if isinstance(event, Error):
            code = CloseCode.RESTART if event.code == "shutting_down" else CloseCode.INTERNAL
            yield from close(code, FAILED, event.message)
            return
        duration_ms = turn.expired_ms + (0.0 if event is None else event.duration_ms)
        if event is None:
            yield warning_frame("NO_SYNTHESIZABLE_TEXT", "the turn has no words")
        if turn.cancelled and (self._offset_ms is None or isinstance(event, Cancelled)):
            yield self._interrupted(turn, event, duration_ms)
        else:
            self._played_ms += duration_ms
            yield json_frame(SpeechMetadata(*_metadata(turn, duration_ms)))
            if turn.cancelled:  # its last audio had been sent before the interruption came
                yield warning_frame("NO_ACTIVE_SPEECH", "the turn had ended")
        if self._closing and not self._turns:
            yield from self._end_session()

    def _interrupted(self, turn: Turn, event: Done | Cancelled | None, duration_ms: float) -> Frame:
        """The answer to an interruption. Only one with an offset is told which text was spoken."""
        metadata = TurnMetadata(*_metadata(turn, duration_ms))
        if self._offset_ms is None:
            self._played_ms += duration_ms
            answer = SpeechInterrupted(round(self._played_ms), metadata)
        else:
            assert isinstance(event, Cancelled)
            self._played_ms = self._offset_ms
            answer = SpeechInterrupted(round(self._offset_ms), metadata, event.heard_text, event.unheard_text)
        self._interrupted_at_ms = self._played_ms
        return json_frame(answer)


def _metadata(turn: Turn, duration_ms: float) -> tuple[str, int, int, int]:
    return _speech_id(turn), round(duration_ms), turn.chars, turn.chars


def _speech_id(turn: Turn) -> str:
    return f"dg_sp_{turn.number:012x}"
