"""The numbered events of one context, and how much of its audio was emitted, sent and played.

At a speed other than 1, each segment or pause is padded to whole frames, so the listener's audio is longer than the
engine's. `_offset_ms` is that difference; all times here are the listener's.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec

from sayline_tts.engine.timing.word_time_estimator import WordTime
from sayline_tts.server.synthesis.playback import Playback
from sayline_tts.server.websocket import messages
from sayline_tts.server.websocket.messages import Audio
from sayline_tts.server.websocket.outbox import EventSource, Outbox
from sayline_tts.server.websocket.transcript import HeardSplit, Transcript


class EventStream:
    """`engine_frame_ms`: how long one frame of the engine is for this listener."""

    def __init__(
        self,
        context_id: str,
        source: EventSource,
        outbox: Outbox,
        frame_ms: float,
        frame_samples: int,
        engine_frame_ms: float,
        now_ms: Callable[[], float],
    ) -> None:
        self.transcript, self.playback = Transcript(), Playback(now_ms)
        self._id, self._source, self._outbox = context_id, source, outbox
        self._frame_ms, self._frame_samples, self._engine_frame_ms = frame_ms, frame_samples, engine_frame_ms
        self._engine_frames = 0  # received from the engine
        self._offset_ms = 0.0  # up to the part that is being spoken
        self._frames = self._sent_frames = 0
        self._seq = self._sent_seq = 0  # of the next event

    @property
    def next_seq(self) -> int:
        """Number of the first event that has not been sent."""
        return self._sent_seq

    @property
    def emitted_ms(self) -> float:
        return self._frames * self._frame_ms

    @property
    def sent_ms(self) -> float:
        return self._sent_frames * self._frame_ms

    @property
    def unsent_frames(self) -> int:
        return self._frames - self._sent_frames

    @property
    def has_sent_audio(self) -> bool:
        return self._sent_frames > 0

    def generated_ms(self, produced_ms: float) -> float:
        """Audio generated so far, including what the engine has produced and not delivered yet."""
        return max(self.emitted_ms, produced_ms + self._offset_ms)

    def to_engine_ms(self, ms: float) -> float:
        """Convert a position in the listener's audio to one in the engine's."""
        return max(0.0, ms - self._offset_ms)

    # Events

    def emit(self, event: messages.ContextEvent) -> None:
        self._outbox.put(msgspec.structs.replace(event, seq=self._seq), self._source)
        self._seq += 1

    def emit_word(self, time: WordTime) -> None:
        """Emit an estimated word once, any other word at its start and at its end."""
        word, start_ms, end_ms = time.word, time.start_ms + self._offset_ms, time.end_ms + self._offset_ms
        span = word.start, word.end
        self.transcript.add_word(replace(time, start_ms=start_ms, end_ms=end_ms))
        if time.final and not time.estimated:
            self.emit(messages.WordEnd(self._id, 0, *span, start_ms, end_ms))
        else:
            self.emit(messages.Word(self._id, 0, word.text, *span, word.spoken, start_ms, end_ms, time.estimated))

    def emit_frames(self, frames: Sequence[bytes], engine_frames: int = 0) -> None:
        """Emit what `engine_frames` frames of the engine were encoded to."""
        self._engine_frames += engine_frames
        for data in frames:
            self.emit(Audio(self._id, 0, self._frames * self._frame_samples, data))
            self._frames += 1

    def end_part(self, start_ms: float) -> tuple[float, float]:
        """End a part that began at `start_ms` of the engine's audio. Returns its bounds in the listener's."""
        start_ms += self._offset_ms
        self._offset_ms = self.emitted_ms - self._engine_frames * self._engine_frame_ms
        return start_ms, self.emitted_ms

    def withdraw_unsent(self) -> None:
        self._outbox.withdraw(self._source)
        self._seq, self._frames = self._sent_seq, self._sent_frames

    def on_sent(self, event: messages.ServerEvent) -> float:
        """Count an event that goes to the socket now. Returns the audio sent so far, in ms."""
        self._sent_seq += 1
        if isinstance(event, Audio):
            self._sent_frames += 1
            self.playback.on_sent(self._frame_ms)
        return self.sent_ms

    def rewind(self, events: Sequence[object]) -> None:
        """Uncount events that were lost and will be sent again."""
        self._sent_seq -= len(events)
        self._sent_frames -= sum(isinstance(event, Audio) for event in events)
        self.playback.rewind(self.sent_ms)

    # Playback

    def played_ms(self, reported_ms: float | None) -> float:
        """The position that the listener reports, or else the one by the clock."""
        return self.playback.played_ms if reported_ms is None else min(reported_ms, self.sent_ms)

    def split(self, played_ms: float) -> HeardSplit:
        return self.transcript.split(played_ms)
