"""The events of one context: created from what the engine generates, numbered, queued, and counted as they are sent.

At a speed other than 1, each segment or pause is padded to whole frames, so the listener's audio is longer than the
engine's. `EnginePlayback.offset_ms` is that difference; all times here are the listener's.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec
from msgspec import UNSET

from sayline_tts.engine.scheduling.utterance import Status
from sayline_tts.engine.segment import Segment, Silence
from sayline_tts.engine.timing.word_time_estimator import WordTime
from sayline_tts.server.audio.framer import Framer
from sayline_tts.server.synthesis.playback import EnginePlayback, Playback
from sayline_tts.server.synthesis.speech_engine import SpeechEngine
from sayline_tts.server.synthesis.text_feeder import TextFeeder
from sayline_tts.server.websocket import messages
from sayline_tts.server.websocket.context_metrics import ContextMetrics
from sayline_tts.server.websocket.messages import Audio, ContextEvent, EncodedStart, Start
from sayline_tts.server.websocket.outbox import Outbox, Outgoing
from sayline_tts.server.websocket.replay_buffer import ReplayBuffer
from sayline_tts.server.websocket.transcript import Transcript

NO_PROGRESS = messages.Progress(0, 0, 0)


class EventStream:
    """The `Listener` of the context's utterance, and the `EventSource` of its events in the outbox."""

    def __init__(
        self,
        start: Start,
        engine_loop: SpeechEngine,
        outbox: Outbox,
        replay_buffer: ReplayBuffer,
        feeder: TextFeeder,
        metrics: ContextMetrics,
        on_ended: Callable[[Status], None],
    ) -> None:
        model = engine_loop.model
        encoder = start.encoder if isinstance(start, EncodedStart) else None
        framer = Framer(
            start.format, start.speed, model.sample_rate_hz, model.frame_samples, metrics.on_encoded, encoder
        )
        self.encode, self.end_part, self.on_ended = framer.feed, framer.end_part, on_ended
        self.engine_frame_ms = model.frame_ms / start.speed  # how long a frame of the engine is for this listener
        progress = start.progress or NO_PROGRESS
        self.first_char = progress.start_char  # of the text that this server has
        self._frames = self._sent_frames = progress.start_sample // model.frame_samples
        self.first_ms = self._frames * model.frame_ms  # of the audio that this server makes
        self._seq = self._sent_seq = progress.seq  # of the next event
        self.transcript = Transcript()
        self.playback = Playback(lambda: metrics.now_s() * 1000, self.first_ms)
        self._id, self._outbox, self._replay_buffer = start.context_id, outbox, replay_buffer
        self._feeder, self._metrics, self._wake_engine = feeder, metrics, engine_loop.streams.wake_soon
        self._frame_ms, self._frame_samples = model.frame_ms, model.frame_samples
        self._engine_frames = 0  # received from the engine
        self.engine_playback = EnginePlayback(self.playback)
        self.engine_playback.offset_ms = self.first_ms
        self.first_audio_ms: float | None = None  # from the first speakable text to its first audio
        self.first_sent_s: float | None = None  # when the first audio was sent
        self.missed_words = 0  # that the model left out
        self._queued_since_s: float | None = None  # in the admission queue
        self._queued_ms = 0.0
        self._now_s = metrics.now_s

    @property
    def emitted_ms(self) -> float:
        return self._frames * self._frame_ms

    @property
    def sent_ms(self) -> float:
        return self._sent_frames * self._frame_ms

    @property
    def queued_ms(self) -> float:
        """Time in the admission queue so far."""
        since_s = self._queued_since_s
        return self._queued_ms if since_s is None else (self._now_s() - since_s) * 1000

    def generated_ms(self, produced_ms: float) -> float:
        """Audio generated so far, including what the engine has produced and not delivered yet."""
        return max(self.emitted_ms, produced_ms + self.engine_playback.offset_ms)

    def played_ms(self, reported_ms: float | None) -> float:
        """The position that the listener reports, or else the one by the clock."""
        return self.playback.played_ms if reported_ms is None else min(reported_ms, self.sent_ms)

    def emit(self, event: ContextEvent) -> None:
        """Number an event and queue it."""
        self._outbox.put(msgspec.structs.replace(event, seq=self._seq), self)
        self._seq += 1

    def withdraw_unsent(self) -> None:
        self._outbox.withdraw(self)
        self._seq, self._frames = self._sent_seq, self._sent_frames

    # Sending

    def on_sent(self, out: Outgoing) -> None:
        """Count an event that goes to the socket now, and keep it in case it is lost."""
        event = out.event
        assert isinstance(event, ContextEvent)
        assert event.seq is not UNSET, "an event of a context has no number"
        self._sent_seq += 1
        if isinstance(event, Audio):
            self._sent_frames += 1
            more_follows = self._frames > self._sent_frames or not self._feeder.idle
            self._metrics.on_frame_sent(self.playback, self._feeder.first_speakable_s, more_follows)
            self.playback.on_sent(self._frame_ms)
            if self.first_sent_s is None:
                self.first_sent_s = self._now_s()
            self._wake_engine()
        self._replay_buffer.append(out, event.seq, self.sent_ms)

    def on_ack(self, played_ms: float) -> None:
        """Take the client's report of what it has played, and so received."""
        self.playback.on_ack(played_ms)
        self._replay_buffer.on_played(self, min(played_ms, self.sent_ms))

    def missed_since(self, seq: int) -> list[Outgoing] | None:
        """Events sent after number `seq`. None if some are no longer kept."""
        return self._replay_buffer.since(self, seq, self._sent_seq)

    def resend(self, missed: Sequence[Outgoing]) -> None:
        """Queue lost events again, in front of all others."""
        self._replay_buffer.drop(self)
        self._sent_seq -= len(missed)
        self._sent_frames -= sum(isinstance(out.event, Audio) for out in missed)
        self.playback.rewind(self.sent_ms)
        self._outbox.requeue(missed)

    # Calls from the output stream of the utterance

    def on_queue_position(self, position: int | None) -> None:
        if position is None:
            self._queued_ms, self._queued_since_s = self.queued_ms, None
            return
        if self._queued_since_s is None:
            self._queued_since_s = self._now_s()
        self.emit(messages.Queued(self._id, 0, position))

    def on_word(self, time: WordTime) -> None:
        """Emit an estimated word once, any other word at its start and at its end."""
        word, offset_ms, first_char = time.word, self.engine_playback.offset_ms, self.first_char
        start_ms, end_ms = time.start_ms + offset_ms, time.end_ms + offset_ms
        span = first_char + word.start, first_char + word.end
        self.transcript.add_word(replace(time, start_ms=start_ms, end_ms=end_ms))
        if time.final and not time.estimated:
            self.emit(messages.WordEnd(self._id, 0, *span, start_ms, end_ms))
        else:
            self.missed_words += time.missed
            missed = time.missed or UNSET
            begins = messages.Word(self._id, 0, word.text, *span, word.spoken, start_ms, end_ms, time.estimated, missed)
            self.emit(begins)

    def on_frame(self, encoded: list[bytes]) -> None:
        self._engine_frames += 1
        self.on_part_end(encoded)

    def on_part_end(self, encoded: list[bytes]) -> None:
        if encoded and self.first_audio_ms is None and self._feeder.first_speakable_s is not None:
            self.first_audio_ms = (self._now_s() - self._feeder.first_speakable_s) * 1000
        for data in encoded:
            self.emit(Audio(self._id, 0, self._frames * self._frame_samples, data))
            self._frames += 1

    def on_segment(self, segment: Segment, start_ms: float, end_ms: float) -> None:
        start_char, end_char = segment.words[0].start, segment.words[-1].end
        text = self.transcript.slice(start_char, end_char)
        span = self.first_char + start_char, self.first_char + end_char
        start_ms += self.engine_playback.offset_ms
        self.emit(messages.Segment(self._id, 0, text, *span, start_ms, self.emitted_ms))
        self._on_spoken(segment)

    def on_silence(self, silence: Silence) -> None:
        self._on_spoken(silence)

    def _on_spoken(self, part: Segment | Silence) -> None:
        self.engine_playback.offset_ms = self.emitted_ms - self._engine_frames * self.engine_frame_ms
        self._feeder.on_spoken(part)
        self.transcript.trim(self._feeder.settled_chars)
