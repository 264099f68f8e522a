"""Adapters of protocols whose audio names no context: one turn is spoken at a time, and the next one waits."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass

from sayline_tts.engine.audio.recording import SAMPLE_RATE_HZ
from sayline_tts.server.compat.adapter import FRAME_MS, MAX_CONTEXTS, Action, Open, SpeechEvent
from sayline_tts.server.websocket.messages import (
    Audio,
    Cancel,
    Cancelled,
    Done,
    End,
    Error,
    Flushed,
    Segment,
    Text,
    Word,
)
from sayline_tts.server.websocket.protocol import ProtocolError

MAX_HELD_CHARS = 50_000  # of text that waits for the turn before to end


@dataclass
class Turn:
    """It has a context from its first word on, and another one if the first expires while its text pauses."""

    number: int  # on the connection, from 1
    own_id: str | None = None
    held: str = ""  # text that has not been handed over
    chars: int = 0  # of all its text
    expired_ms: float = 0.0  # audio of its contexts that have expired
    ended: bool = False  # the client sends no more text for it
    cancelled: bool = False


class TurnAdapter(ABC):
    """What such adapters share: they say what a turn is opened with, and what its client is told."""

    def __init__(self) -> None:
        self._turns: deque[Turn] = deque()  # the first one is spoken
        self._turn_count = self._context_count = 0
        self._sent_ms = 0.0  # audio of the first turn's context

    def forget(self) -> None:
        """Nothing more is sent for the turns that are open."""
        self._turns.clear()

    def send(self, event: SpeechEvent) -> Iterator[Action]:
        if not self._turns or self._turns[0].own_id != event.context_id:
            return
        turn = self._turns[0]
        match event:
            case Done() | Cancelled() | Error():
                if isinstance(event, Error) and event.code == "expired" and not turn.ended:
                    turn.own_id, turn.expired_ms = None, turn.expired_ms + self._sent_ms
                    return
                self._turns.popleft()
                yield from self._finish(turn, event)
                yield from self._advance()
            case _ if not turn.cancelled:
                if isinstance(event, Audio):
                    self._sent_ms = event.start_sample * 1000 / SAMPLE_RATE_HZ + FRAME_MS
                yield from self._speech(turn, event)

    @abstractmethod
    def _start(self, own_id: str) -> Open:
        """Open a context of the first turn."""

    @abstractmethod
    def _speech(self, turn: Turn, event: Audio | Word | Segment | Flushed) -> Iterable[Action]:
        """Send a part of a turn."""

    @abstractmethod
    def _finish(self, turn: Turn, event: Done | Cancelled | Error | None) -> Iterable[Action]:
        """Tell the client that a turn has ended. None: it had no words."""

    def _speak(self, text: str) -> Iterator[Action]:
        """Append text to the newest turn, or to a new one. Raises `ProtocolError` if too much waits."""
        turn = self._newest_turn()
        if (turn is not self._turns[0] or not text.strip()) and self._held_chars + len(text) > MAX_HELD_CHARS:
            message = f"{MAX_HELD_CHARS} characters wait for the speech before them to end; send more later"
            raise ProtocolError("text_limit", message)
        turn.chars += len(text)
        turn.held += text
        if turn is self._turns[0]:
            yield from self._advance()

    def _end(self) -> Iterator[Action]:
        """End the newest turn, or one without text."""
        turn = self._newest_turn()
        turn.ended = True
        if turn is self._turns[0]:
            yield from self._advance()

    def _cancel(self, turn: Turn, played_ms: float | None = None) -> Iterator[Action]:
        """Stop the first turn, which has a context. Its last event follows."""
        assert turn.own_id is not None
        turn.ended = turn.cancelled = True
        turn.held = ""
        yield Cancel(turn.own_id, played_ms)

    def _drop_turns(self) -> Generator[Action, None, bool]:
        """Drop all turns and stop the first. Returns whether its last event is still to come."""
        first = self._turns[0] if self._turns else None
        self._turns.clear()
        if first is None or first.own_id is None:
            return False
        self._turns.append(first)
        if not first.cancelled:
            yield from self._cancel(first)
        return True

    @property
    def _held_chars(self) -> int:
        return sum(len(turn.held) for turn in self._turns)

    def _newest_turn(self) -> Turn:
        """The turn that takes text. Raises `ProtocolError` if too many wait."""
        if not self._turns or self._turns[-1].ended:
            if len(self._turns) >= MAX_CONTEXTS:
                raise ProtocolError("text_limit", f"{MAX_CONTEXTS} turns wait to be spoken; send more later")
            self._turn_count += 1
            self._turns.append(Turn(self._turn_count))
        return self._turns[-1]

    def _advance(self) -> Iterator[Action]:
        """Hand over what the first turn holds, after turns without words."""
        while self._turns:
            turn = self._turns[0]
            if turn.own_id is None and turn.held.strip():
                self._context_count += 1
                turn.own_id, self._sent_ms = str(self._context_count), 0.0
                yield self._start(turn.own_id)
            if turn.own_id is not None:
                if turn.held:
                    text, turn.held = turn.held, ""
                    yield Text(turn.own_id, text)
                if turn.ended:
                    yield End(turn.own_id)
                return
            if not turn.ended:
                return
            self._turns.popleft()
            yield from self._finish(turn, None)
