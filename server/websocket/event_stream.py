"""What one context says: its events, numbered, and how much of them was made, sent and heard. Knows no engine.

The engine's audio and the listener's are not of the same length: each part of speech at another speed is filled up to
whole frames. That is the drift, and all times here are the listener's.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec

from sayline_tts.engine.timing.word_time_estimator import WordTime
from sayline_tts.server.synthesis.playback import Playback
from sayline_tts.server.websocket import protocol
from sayline_tts.server.websocket.outbox import Outbox, Owner
from sayline_tts.server.websocket.protocol import Audio
from sayline_tts.server.websocket.transcript import Parted, Transcript


class Delivery:
    """`engine_frame_ms`: what a frame of the engine becomes for this listener."""

    def __init__(
        self,
        context_id: str,
        owner: Owner,
        outbox: Outbox,
        frame_ms: float,
        frame_samples: int,
        engine_frame_ms: float,
        now_ms: Callable[[], float],
    ) -> None:
        self.transcript, self.playback = Transcript(), Playback(now_ms)
        self._id, self._owner, self._outbox = context_id, owner, outbox
        self._frame_ms, self._frame_samples, self._engine_frame_ms = frame_ms, frame_samples, engine_frame_ms
        self._engine_frames = 0  # that have come out of it
        self._drift_ms = 0.0  # up to the part that is being spoken
        self._frames = self._sent_frames = 0
        self._seq = self._sent_seq = 0  # of the next event

    @property
    def next_seq(self) -> int:
        """The first that was not sent."""
        return self._sent_seq

    @property
    def made_ms(self) -> float:
        return self._frames * self._frame_ms

    @property
    def sent_ms(self) -> float:
        return self._sent_frames * self._frame_ms

    @property
    def unsent_frames(self) -> int:
        return self._frames - self._sent_frames

    @property
    def has_begun(self) -> bool:
        return self._sent_frames > 0

    def generated_ms(self, produced_ms: float) -> float:
        """With what the engine has made and not given yet."""
        return max(self.made_ms, produced_ms + self._drift_ms)

    def as_made(self, ms: float) -> float:
        """A place in the listener's audio as one in the engine's."""
        return max(0.0, ms - self._drift_ms)

    # Out

    def say(self, event: protocol.ContextEvent) -> None:
        self._outbox.put(msgspec.structs.replace(event, seq=self._seq), self._owner)
        self._seq += 1

    def say_word(self, time: WordTime) -> None:
        """Once, or when it begins and when it is over."""
        word, start_ms, end_ms = time.word, time.start_ms + self._drift_ms, time.end_ms + self._drift_ms
        place = word.start, word.end
        self.transcript.tell(replace(time, start_ms=start_ms, end_ms=end_ms))
        if time.over and not time.estimated:
            self.say(protocol.WordEnd(self._id, 0, *place, start_ms, end_ms))
        else:
            self.say(protocol.Word(self._id, 0, word.text, *place, word.spoken, start_ms, end_ms, time.estimated))

    def say_frames(self, sound: Sequence[bytes], engine_frames: int = 0) -> None:
        """What so many frames of the engine became."""
        self._engine_frames += engine_frames
        for data in sound:
            self.say(Audio(self._id, 0, self._frames * self._frame_samples, data))
            self._frames += 1

    def end_part(self, start_ms: float) -> tuple[float, float]:
        """All of a segment or a pause has been said, which began there for the engine. Where does it lie for us?"""
        start_ms += self._drift_ms
        self._drift_ms = self.made_ms - self._engine_frames * self._engine_frame_ms
        return start_ms, self.made_ms

    def take_back(self) -> None:
        """What waits to be sent is not."""
        self._outbox.take_back(self._owner)
        self._seq, self._frames = self._sent_seq, self._sent_frames

    def on_sent(self, event: protocol.ServerEvent) -> float:
        """An event has left. How far has the audio, with that?"""
        self._sent_seq += 1
        if isinstance(event, Audio):
            self._sent_frames += 1
            self.playback.on_sent(self._frame_ms)
        return self.sent_ms

    def rewind(self, events: Sequence[object]) -> None:
        """These have left, but never came: they will be sent again."""
        self._sent_seq -= len(events)
        self._sent_frames -= sum(isinstance(event, Audio) for event in events)
        self.playback.rewind(self.sent_ms)

    # Heard

    def heard_ms(self, played_ms: float | None) -> float:
        """As its listener says, or else by the clock."""
        return self.playback.played_ms if played_ms is None else min(played_ms, self.sent_ms)

    def parted(self, heard_ms: float) -> Parted:
        return self.transcript.parted(heard_ms)
