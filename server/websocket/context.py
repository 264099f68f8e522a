"""One stream of speech in a session: its life cycle, and its audio at the listener's pace.

The lead is the audio that was generated and not played yet, in milliseconds. Beyond its limit, the engine does not
schedule this utterance until playback, a report of the listener, or a socket that accepts more has reduced it.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

import numpy as np
from msgspec import UNSET

from sayline_tts.engine.errors import InputError
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.utterance import Status, Utterance
from sayline_tts.engine.segment import Segment, Silence
from sayline_tts.engine.timing.word_time_estimator import WordTime
from sayline_tts.server.access.limits import Caller
from sayline_tts.server.app_state import AppState
from sayline_tts.server.audio.framer import OPUS_BYTES_PER_MS, PCM_BYTES_PER_MS, Framer
from sayline_tts.server.synthesis.text_feeder import Flush, TextFeeder, TextOptions
from sayline_tts.server.websocket import messages, protocol
from sayline_tts.server.websocket.context_metrics import ContextMetrics
from sayline_tts.server.websocket.event_stream import EventStream
from sayline_tts.server.websocket.messages import Ack, Audio, Start
from sayline_tts.server.websocket.outbox import Outbox
from sayline_tts.server.websocket.protocol import ContextState, ProtocolError
from sayline_tts.server.websocket.transcript import Transcript

log = logging.getLogger(__name__)

INTERNAL = ("internal", "internal error")  # the client gets no details of a server fault
MAX_FLUSHES = 100  # unanswered ones
MAX_PHRASE_CHARS = 4_096  # of verbatim text, which is read in one piece


class Context:
    """Ends with exactly one of `Done`, `Cancelled` and a final `Error`, then calls `on_end`."""

    def __init__(
        self,
        start: Start,
        caller: Caller,
        app_state: AppState,
        outbox: Outbox,
        lead_ms: float,
        on_end: Callable[["Context"], None],
    ) -> None:
        """Raises `RateLimited` if the caller has too many contexts."""
        self.id = start.context_id
        self.received_messages = 1  # from its client, `start` included
        self.lead_bytes = lead_ms * self.bytes_per_ms(start)
        self._start, self._caller, self._lead_ms = start, caller, lead_ms
        self._engine_loop, self._settings, self._quotas = app_state.engine_loop, app_state.settings, app_state.quotas
        self._on_end = on_end
        self._lease = self._quotas.open_context(caller)
        self._loop = asyncio.get_running_loop()
        self._model = model = self._engine_loop.model
        self._state = ContextState.OPEN
        self._utterance: Utterance | None = None  # None until the voice is loaded
        self._metrics = ContextMetrics(app_state.metrics, caller.name, start.format, self._loop.time)
        self._feeder = TextFeeder(
            model,
            self._settings,
            self._engine_loop.wake,
            self._on_empty_text,
            self._on_flushed,
            TextOptions(start.mode == "verbatim", start.clean_up, start.language, start.max_delay_ms, start.speed),
        )
        rate_hz, frame_samples = model.sample_rate_hz, model.frame_samples
        self._framer = Framer(start.format, start.speed, rate_hz, frame_samples, self._metrics.on_encoded)
        self._engine_frame_ms = model.frame_ms / start.speed  # of the listener's audio
        self._events = EventStream(
            self.id,
            self,
            outbox,
            model.frame_ms,
            frame_samples,
            self._engine_frame_ms,
            lambda: self._loop.time() * 1000,
        )
        self._active_s = self._loop.time()
        self._expiry = self._loop.call_later(self._settings.context_idle_s, self._on_expiry)

    @staticmethod
    def bytes_per_ms(start: Start) -> float:
        return OPUS_BYTES_PER_MS if start.format == "opus" else PCM_BYTES_PER_MS

    @property
    def next_seq(self) -> int:
        """Number of the first event that has not been sent."""
        return self._events.next_seq

    @property
    def sent_ms(self) -> float:
        return self._events.sent_ms

    # Messages from the client

    async def open(self) -> None:
        """Load the voice, then submit the utterance to the engine. Text may arrive meanwhile."""
        try:
            name = self._start.voice or self._default_voice
            self._quotas.check_voice(self._caller, name)
            voice = await self._engine_loop.voice(name, self._caller.name)
            if not self._state.final:
                self._submit(voice)
        except Exception as error:
            if not isinstance(error, InputError):
                log.exception("a context could not start")
            if self._state.final:
                return
            if isinstance(error, InputError):
                self.fail(error.code, str(error), error.retry_after_ms)
            else:
                self.fail(*INTERNAL)

    def on_message(self, message: messages.ContextMessage) -> None:
        """Count a message from the client."""
        self._active_s = self._loop.time()
        self.received_messages += not isinstance(message, Ack)

    def push(self, text: str) -> None:
        """Append text. Raises `ProtocolError` if it is refused; earlier text is not affected."""
        if self._state is not ContextState.OPEN:
            raise ProtocolError("context_ended", f"context {self.id!r} takes no text after end; start another", self.id)
        pending, limit = self._feeder.pending_chars, self._settings.max_text_chars
        if pending + len(text) > limit:
            message = f"text buffer full ({pending} of {limit} characters pending); retry once some has been spoken"
            raise ProtocolError("text_limit", message, self.id)
        if self._start.mode == "verbatim" and len(text) > MAX_PHRASE_CHARS:
            message = f"a verbatim phrase of {len(text)} characters exceeds {MAX_PHRASE_CHARS}; split it"
            raise ProtocolError("text_limit", message, self.id)
        try:
            self._quotas.charge_chars(self._caller, len(text))
        except InputError as error:
            raise ProtocolError(error.code, str(error), self.id, retry_after_ms=error.retry_after_ms) from None
        self._metrics.on_text(len(text))
        self._events.transcript.append(text)
        self._feeder.push(text)

    def flush(self, flush_id: str | None = None) -> None:
        """Raises `ProtocolError` if too many flushes are unanswered."""
        if self._feeder.pending_flushes >= MAX_FLUSHES:
            message = f"{MAX_FLUSHES} flushes are unanswered; retry once some have been answered"
            raise ProtocolError("text_limit", message, self.id)
        if self._state is ContextState.OPEN:  # `end` has flushed already
            self._feeder.flush(flush_id)

    def end(self) -> None:
        """No more text follows. Idempotent."""
        if self._state is ContextState.OPEN:
            self._set_state(ContextState.ENDING)
            self._feeder.end()

    def ack(self, played_ms: float) -> None:
        """Take the client's report of what it has played."""
        self._events.playback.on_ack(played_ms)
        self._engine_loop.wake_soon()

    def cancel(self, played_ms: float | None = None) -> None:
        """Stop at once and withdraw audio that was generated and not sent."""
        generated_ms, events = self._generated_ms, self._events
        events.withdraw_unsent()
        played_ms = events.played_ms(played_ms)
        split = events.split(played_ms)
        self._metrics.on_cancel(generated_ms - played_ms)
        last = messages.Cancelled(self.id, 0, self.sent_ms, generated_ms, split.heard_chars, split.heard, split.unheard)
        self._finish(ContextState.CANCELLED, last)

    def reject(self, error: ProtocolError) -> None:
        """Refuse one message; the context continues."""
        retry_after_ms = messages.unset_if_none(error.retry_after_ms)
        self._metrics.on_reject(error.code)
        self._events.emit(messages.Error(error.code, error.message, False, self.id, retry_after_ms))

    def drop(self) -> None:
        """Cancel without a last event, because no client is left. Has no effect on a context that has ended."""
        self._events.withdraw_unsent()
        if not self._state.final:
            self._finish(ContextState.CANCELLED, None)

    def fail(self, code: str, message: str, retry_after_ms: float | None = None) -> None:
        self._metrics.on_reject(code)
        last = messages.Error(code, message, True, self.id, messages.unset_if_none(retry_after_ms))
        self._finish(ContextState.FAILED, last)

    # Calls from the engine and the socket

    def encode(self, pcm: np.ndarray) -> list[bytes]:
        return self._framer.feed(pcm)

    def end_part(self) -> list[bytes]:
        return self._framer.end_part()

    def on_queue_position(self, position: int) -> None:
        self._events.emit(messages.Queued(self.id, 0, position))

    def on_word(self, time: WordTime) -> None:
        self._events.emit_word(time)

    def on_frame(self, encoded: list[bytes]) -> None:
        self._events.emit_frames(encoded, engine_frames=1)

    def on_part_end(self, encoded: list[bytes]) -> None:
        self._events.emit_frames(encoded)

    def on_segment(self, segment: Segment, start_ms: float, end_ms: float) -> None:
        start_char, end_char = segment.words[0].start, segment.words[-1].end
        text = self._events.transcript.slice(start_char, end_char)
        start_ms, end_ms = self._events.end_part(start_ms)
        self._events.emit(messages.Segment(self.id, 0, text, start_char, end_char, start_ms, end_ms))
        self._on_part_spoken(segment)

    def on_silence(self, silence: Silence) -> None:
        self._events.end_part(0.0)
        self._on_part_spoken(silence)

    def on_ended(self, status: Status) -> None:
        match status:
            case Status.FINISHED:
                self._finish(ContextState.DONE, messages.Done(self.id, 0, self._events.emitted_ms))
            case Status.CANCELLED:  # by the engine loop, which is stopping; our own `cancel` closes the stream first
                self.fail("shutting_down", "the server is shutting down; connect again")
            case _:
                self.fail(*INTERNAL)

    def on_sent(self, event: messages.ServerEvent) -> float:
        """Count an event that goes to the socket now. Returns the audio sent so far, in ms."""
        events = self._events
        if not isinstance(event, Audio):
            return events.on_sent(event)
        if events.has_sent_audio:
            self._metrics.on_frame(events.playback)
        else:
            self._metrics.on_first_frame(self._feeder.first_speakable_s)
        sent_ms = events.on_sent(event)
        self._metrics.set_more_follows(events.unsent_frames > 0 or not self._feeder.idle)
        self._engine_loop.wake_soon()
        return sent_ms

    def rewind(self, events: Sequence[object]) -> None:
        """Uncount events that were lost and will be sent again."""
        self._events.rewind(events)

    def _on_empty_text(self) -> None:
        self.fail("bad_text", "the text contains no word to speak; send some words")

    def _on_flushed(self, flush: Flush) -> None:
        self._events.emit(
            messages.Flushed(self.id, 0, self._events.emitted_ms, UNSET if flush.id is None else flush.id)
        )

    def _on_expiry(self) -> None:
        if self._state is not ContextState.OPEN:
            return
        if not self._feeder.idle:
            self._active_s = self._loop.time()
        limit_s = self._settings.context_idle_s
        left_s = self._active_s + limit_s - self._loop.time()
        if left_s > 0:
            self._expiry = self._loop.call_later(left_s, self._on_expiry)
        else:
            self.fail("expired", f"the context was idle for {limit_s:g} s; start another")

    # Internals

    @property
    def _default_voice(self) -> str:
        """The model's default voice, or the first one that this caller may use."""
        checkpoint = self._model.checkpoint
        return self._caller.limits.default_voice(checkpoint.default_voice, checkpoint.voices())

    @property
    def _generated_ms(self) -> float:
        return self._events.generated_ms(self._utterance.produced_ms if self._utterance else 0.0)

    def _submit(self, voice: Voice) -> None:
        """Raises `Full`."""
        self._utterance = self._make_utterance(voice)
        self._engine_loop.submit(self._utterance, self)
        self._metrics.on_start()
        self._feeder.attach(self._utterance)

    def _make_utterance(self, voice: Voice) -> Utterance:
        start = self._start
        return Utterance(
            voice,
            self._model.sampling(start.temperature, start.decode_steps, start.seed),
            frame_ms=self._engine_frame_ms,
            played_ms=lambda: self._events.to_engine_ms(self._events.playback.played_ms),
            sent_ms=lambda: self._events.to_engine_ms(self._events.playback.sent_ms),
            max_lead_ms=self._lead_ms,
            may_queue=start.wait,
        )

    def _on_part_spoken(self, part: Segment | Silence) -> None:
        self._feeder.on_spoken(part)
        self._events.transcript.trim(self._feeder.settled_chars)

    def _finish(self, state: ContextState, last: messages.ContextEvent | None) -> None:
        self._set_state(state)
        self._release()
        if last is not None:
            self._events.emit(last)
        self._metrics.on_end("dropped" if last is None else state.value, self._generated_ms)
        self._on_end(self)

    def _set_state(self, state: ContextState) -> None:
        assert state in protocol.LEGAL_MOVES[self._state], f"{self._state} cannot become {state}"
        self._state = state

    def _release(self) -> None:
        self._lease.release()
        self._feeder.close()
        self._events.transcript = Transcript()  # frees the text
        self._expiry.cancel()
        if self._utterance is not None:
            self._engine_loop.cancel(self._utterance)
