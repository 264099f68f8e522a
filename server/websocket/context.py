"""One stream of speech in a session: its life cycle.

The lead is the audio that was generated and not played yet, in milliseconds. Beyond its limit, the engine does not
schedule this utterance until playback, a report of the listener, or a socket that accepts more has reduced it.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

import msgspec
from msgspec import UNSET

from sayline_tts.engine.errors import InputError
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.utterance import Status, Utterance
from sayline_tts.engine.segment import Sampling
from sayline_tts.server.access.limits import Caller
from sayline_tts.server.accounting.usage import Usage
from sayline_tts.server.app_state import AppState
from sayline_tts.server.audio.framer import bytes_per_ms
from sayline_tts.server.logs import in_trace
from sayline_tts.server.synthesis.part_queue import Flush
from sayline_tts.server.synthesis.repeat_cache import RepeatKey, RepeatText, repeat_key
from sayline_tts.server.synthesis.text_feeder import TextFeeder
from sayline_tts.server.synthesis.text_options import TextOptions
from sayline_tts.server.synthesis.timeline import Timeline
from sayline_tts.server.tracing import Trace, log_id
from sayline_tts.server.websocket import messages, protocol
from sayline_tts.server.websocket.context_metrics import ContextMetrics
from sayline_tts.server.websocket.event_stream import EventStream
from sayline_tts.server.websocket.messages import Ack, Cancel, End, Start, Text
from sayline_tts.server.websocket.outbox import Outbox
from sayline_tts.server.websocket.protocol import ContextState, ProtocolError
from sayline_tts.server.websocket.replay_buffer import ReplayBuffer
from sayline_tts.server.websocket.transcript import Transcript

log = logging.getLogger(__name__)

INTERNAL = ("internal", "internal error")  # the client gets no details of a server fault
MAX_FLUSHES = 100  # unanswered ones
MAX_PHRASE_CHARS = 4_096  # of verbatim text, which is read in one piece


class Context:
    """Ends with exactly one of `Done`, `Cancelled` and a final `Error`, then calls `on_end`.

    It has more than 20 methods, because each message of the client and each way to end has one.
    """

    def __init__(
        self,
        start: Start,
        caller: Caller,
        app_state: AppState,
        outbox: Outbox,
        replay_buffer: ReplayBuffer,
        lead_ms: float,
        on_end: Callable[["Context"], None],
        traceparent: str | None = None,
    ) -> None:
        """`traceparent`: for a `start` without one. Raises `RateLimited` if the caller has too many contexts."""
        self.id = start.context_id
        self.received_messages = 1  # from its client, `start` included
        self.lead_bytes = lead_ms * bytes_per_ms(start.format)
        self._start, self._caller, self._lead_ms = start, caller, lead_ms
        self._engine_loop, self._settings, self._quotas = app_state.engine_loop, app_state.settings, app_state.quotas
        self._ledger, self._lexicons, self._on_end = app_state.ledger, app_state.lexicons, on_end
        self._lease = self._quotas.open_context(caller)
        self._loop = asyncio.get_running_loop()
        self._state = ContextState.OPEN
        self._voice: tuple[str, Voice] | None = None  # with its name; None until it is loaded
        self._utterance: Utterance | None = None  # None until there is text: a silent context takes no slot
        self._texts = RepeatText()
        self._metrics = ContextMetrics(app_state.metrics, caller.name, start.format, self._loop.time)
        self._trace = app_state.tracing.start("context", start.traceparent or traceparent)
        self._log_id = log_id(self._trace, start.traceparent or traceparent)
        self._metrics.trace_id = None if self._trace is None else self._trace.trace_id
        self._timeline: Timeline | None = None
        options = self._options = TextOptions(
            start.mode == "verbatim", start.clean_up, start.language, start.max_delay_ms, self._lookahead_words(),
            start.speed,
        )  # fmt: skip
        self._feeder = TextFeeder(
            self._engine_loop.model,
            self._settings,
            self._engine_loop.wake,
            self._on_empty_text,
            self._on_flushed,
            options,
        )
        self.events = EventStream(
            start, self._engine_loop, outbox, replay_buffer, self._feeder, self._metrics, self._on_ended
        )
        self._active_s = self._loop.time()
        self._expiry = self._loop.call_later(self._settings.context_idle_s, self._on_expiry)

    # Messages from the client

    async def open(self) -> None:
        """Load the voice. Text may arrive meanwhile, and then the utterance is submitted to the engine."""
        try:
            checkpoint, limits = self._engine_loop.model.checkpoint, self._caller.limits
            name = self._start.voice or limits.default_voice(checkpoint.default_voice, checkpoint.voices())
            self._quotas.check_voice(self._caller, name)
            voice = await self._engine_loop.voice(name, self._caller.name)
            await self._set_lexicons(name)
            self._voice = name, voice
            if not self._start.wait and not self._start.cache and self._utterance is None:
                self._engine_loop.check_room()
            self._metrics.on_start()
            self._submit_once_there_is_text()
        except Exception as error:
            self._fail_to_start(error)

    def on_message(self, message: messages.ContextMessage) -> None:
        """Raises `ProtocolError` if the message is refused; the context continues."""
        self._active_s = self._loop.time()
        self.received_messages += not isinstance(message, Ack)
        match message:
            case Start():
                raise ProtocolError("context_exists", f"context {self.id!r} is open; use another id", self.id)
            case Text(text=text):
                self.push(text)
            case messages.Flush(id=flush_id):
                self.flush(flush_id)
            case End():
                self.end()
            case Cancel(played_ms=played_ms):
                self.cancel(played_ms)
            case Ack(played_ms=played_ms):
                self.ack(played_ms)

    def has_room(self, message: messages.ContextMessage) -> bool:
        """Whether this message fits to what is pending."""
        match message:
            case Text(text=text):
                return self._feeder.pending_chars + len(text) <= self._settings.max_text_chars
            case messages.Flush():
                return self._feeder.pending_flushes < MAX_FLUSHES
        return True

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
        self._texts.add(text)
        self.events.transcript.append(text)
        self._feeder.push(text)
        self._submit_once_there_is_text()

    def flush(self, flush_id: str | None = None) -> None:
        """Raises `ProtocolError` if too many flushes are unanswered."""
        if self._feeder.pending_flushes >= MAX_FLUSHES:
            message = f"{MAX_FLUSHES} flushes are unanswered; retry once some have been answered"
            raise ProtocolError("text_limit", message, self.id)
        if self._state is ContextState.OPEN:  # `end` has flushed already
            self._texts.flushed = True
            self._feeder.flush(flush_id)
            self._submit_once_there_is_text()

    def end(self) -> None:
        """No more text follows. Idempotent."""
        if self._state is ContextState.OPEN:
            self._set_state(ContextState.ENDING)
            self._feeder.end()
            self._submit_once_there_is_text()

    def ack(self, played_ms: float) -> None:
        """Take the client's report of what it has played."""
        self.events.on_ack(played_ms)
        self._engine_loop.streams.wake_soon()

    def cancel(self, played_ms: float | None = None) -> None:
        """Stop at once and withdraw audio that was generated and not sent."""
        generated_ms, events = self._generated_ms, self.events
        events.withdraw_unsent()
        played_ms = events.played_ms(played_ms)
        split = events.transcript.split(played_ms)
        self._metrics.on_cancel(generated_ms - played_ms)
        usage = self._usage(played_ms)
        last = messages.Cancelled(
            self.id, 0, events.sent_ms, generated_ms, events.first_char + split.heard_chars, split.heard,
            split.unheard, usage,
        )  # fmt: skip
        self._finish(ContextState.CANCELLED, last, usage)

    def reject(self, error: ProtocolError) -> None:
        """Refuse one message; the context continues."""
        retry_after_ms = messages.unset_if_none(error.retry_after_ms)
        self._metrics.on_reject(error.code)
        self.events.emit(messages.Error(error.code, error.message, False, self.id, retry_after_ms))

    def drop(self) -> None:
        """Cancel without a last event, because no client is left. Has no effect on a context that has ended."""
        self.events.withdraw_unsent()
        if not self._state.final:
            self._finish(ContextState.CANCELLED, None, self._usage(self.events.played_ms(None)))

    def fail(self, code: str, message: str, retry_after_ms: float | None = None) -> None:
        self._metrics.on_reject(code)
        last = messages.Error(code, message, True, self.id, messages.unset_if_none(retry_after_ms))
        usage = self._usage(self.events.played_ms(None))
        if code == INTERNAL[0]:
            usage = msgspec.structs.replace(usage, billed_chars=0)
        self._finish(ContextState.FAILED, last, usage)

    # What happens to it

    def _on_ended(self, status: Status) -> None:
        match status:
            case Status.FINISHED:
                duration_ms = self.events.emitted_ms
                usage = self._usage(duration_ms)
                missed_words = self.events.missed_words or UNSET
                last = messages.Done(self.id, 0, duration_ms, usage, self._feeder.warnings or UNSET, missed_words)
                self._finish(ContextState.DONE, last, usage)
            case Status.CANCELLED:  # by the engine loop, which is stopping; our own `cancel` closes the stream first
                self.fail("shutting_down", "the server is shutting down; connect again")
            case _:
                self.fail(*INTERNAL)

    def _on_empty_text(self, message: str) -> None:
        if self._start.progress is None:
            self.fail("bad_text", message)
        else:  # all that could be spoken was, by the server before
            self._on_ended(Status.FINISHED)

    def _on_flushed(self, flush: Flush) -> None:
        flush_id = UNSET if flush.id is None else flush.id
        self.events.emit(messages.Flushed(self.id, 0, self.events.emitted_ms, flush_id))

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

    def _on_reclaim(self) -> None:
        if self._state is ContextState.OPEN:
            self.fail("expired", "the context was idle and another one needs its place; start another")

    # Internals

    @property
    def _generated_ms(self) -> float:
        return self.events.generated_ms(self._utterance.produced_ms if self._utterance else 0.0)

    def _lookahead_words(self) -> int:
        """Words ahead of the voice while a sentence is being written; 0 if the engine needs whole clauses."""
        if not self._engine_loop.can_extend:
            return 0
        words = self._start.lookahead_words
        return self._settings.lookahead_words if words is None else words

    async def _set_lexicons(self, voice: str) -> None:
        """Raises `UnknownLexicon`."""
        lexicons = await self._lexicons.find(self._start.lexicons, self._caller.name)
        if lexicons:
            metadata = self._engine_loop.voices.find(voice, self._caller.name)
            voice = metadata.name if metadata else voice
            self._options = replace(self._options, lexicons=lexicons, voice=voice)
            self._feeder.set_lexicons(lexicons, voice)

    @property
    def _awaits_whole_text(self) -> bool:
        """Whether the text is held back because its speech may be in the cache, which is known at its end."""
        return self._start.cache is True and self._state is ContextState.OPEN and self._texts.complete is not None

    def _submit_once_there_is_text(self) -> None:
        """Submit the utterance if the voice is loaded and there is something to do, or fail."""
        if self._voice is None or self._utterance is not None or self._feeder.idle or self._state.final:
            return
        if self._awaits_whole_text:
            return
        try:
            self._submit(*self._voice)
        except Exception as error:
            self._fail_to_start(error)

    def _fail_to_start(self, error: Exception) -> None:
        if not isinstance(error, InputError):
            with in_trace(self._log_id):
                log.error("a context could not start", exc_info=error)
        if self._state.final:
            return
        if isinstance(error, InputError):
            self.fail(error.code, str(error), error.retry_after_ms)
        else:
            self.fail(*INTERNAL)

    def _repeat_key(self, voice: str, sampling: Sampling) -> RepeatKey | None:
        """The place of this speech in the cache; None if it is not kept, or its text may go on."""
        if self._state is not ContextState.ENDING or (texts := self._texts.complete) is None:
            return None
        start, metadata = self._start, self._engine_loop.voices.find(voice, self._caller.name)
        voice = metadata.id if metadata else voice
        return repeat_key(self._caller, voice, texts, self._options, sampling, start.seed, start.cache)

    def _submit(self, name: str, voice: Voice) -> None:
        """Raises `Full`."""
        start, events = self._start, self.events
        sampling = self._engine_loop.model.sampling(start.temperature, start.decode_steps, start.seed)
        self._utterance = Utterance(
            voice,
            sampling,
            frame_ms=events.engine_frame_ms,
            playback=events.engine_playback,
            max_lead_ms=self._lead_ms,
            may_queue=start.wait,
            guarded=self._settings.guard and self._engine_loop.can_extend,
        )
        key = self._repeat_key(name, sampling)
        with in_trace(self._log_id):
            self._timeline = self._engine_loop.submit(self._utterance, events, self._on_reclaim, key)
        self._feeder.attach(self._utterance)

    def _usage(self, heard_ms: float) -> Usage:
        """The account of this context, which ends now, for what this server has done of it."""
        first_ms = self.events.first_ms
        return Usage(
            taken_chars=self._feeder.taken_chars,
            billed_chars=self._feeder.begun_chars,
            generated_ms=self._generated_ms - first_ms,
            heard_ms=max(0.0, heard_ms - first_ms),
            queued_ms=self.events.queued_ms,
            retries=self._utterance.retries if self._utterance else 0,
            first_audio_ms=messages.unset_if_none(self.events.first_audio_ms),
        )

    def _finish(self, state: ContextState, last: messages.ContextEvent | None, usage: Usage) -> None:
        self._set_state(state)
        self._ledger.add(self._caller.name, usage)
        self._release()
        if last is not None:
            self.events.emit(last)
        outcome = "dropped" if last is None else state.value
        self._metrics.on_end(outcome, usage.generated_ms)
        self._metrics.on_faults(usage.retries, self.events.missed_words)
        if self._trace is not None:
            self._end_trace(self._trace, outcome, usage)
        self._on_end(self)

    def _end_trace(self, trace: Trace, outcome: str, usage: Usage) -> None:
        attributes = {"sayline.format": self._start.format, "sayline.key": self._caller.name}
        if self._voice is not None:
            attributes["sayline.voice"] = self._voice[0]
        times = self._feeder.first_push_s, self._feeder.first_speakable_s
        trace.end(outcome, usage, attributes, self._timeline, times, self.events.first_sent_s)

    def _set_state(self, state: ContextState) -> None:
        assert state in protocol.LEGAL_MOVES[self._state], f"{self._state} cannot become {state}"
        self._state = state

    def _release(self) -> None:
        self._lease.release()
        self._feeder.close()
        self.events.transcript = Transcript()  # frees the text
        self._expiry.cancel()
        if self._utterance is not None:
            self._engine_loop.streams.cancel(self._utterance)
