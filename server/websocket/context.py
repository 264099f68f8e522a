"""One stream of speech in a session: its life, and its audio at the listener's pace.

Audio is counted in ms: what is made and not yet played is the lead, and beyond its limit the engine leaves this row
out until the clock, a report of the listener, or a socket that takes more, has brought it down. How text becomes
segments: `sayline_tts.server.synthesis.text_feeder`.
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
from sayline_tts.server.app_state import Shared
from sayline_tts.server.audio.framer import OPUS_BYTES_PER_MS, PCM_BYTES_PER_MS, Framer
from sayline_tts.server.synthesis.text_feeder import Backlog, Flush, Manner
from sayline_tts.server.websocket import protocol
from sayline_tts.server.websocket.context_metrics import Tally
from sayline_tts.server.websocket.event_stream import Delivery
from sayline_tts.server.websocket.outbox import Outbox
from sayline_tts.server.websocket.protocol import Ack, Audio, ContextState, ProtocolError, Start
from sayline_tts.server.websocket.transcript import Transcript

log = logging.getLogger(__name__)

INTERNAL = ("internal", "internal error")  # all that a peer hears of our own faults
MAX_FLUSHES = 100  # that wait for their answer
MAX_PHRASE_CHARS = 4_096  # of a verbatim text, which is read in one go


class Context:
    """Its last event is exactly one of `Done`, `Cancelled` and a final `Error`; then `on_over` is called."""

    def __init__(
        self,
        start: Start,
        caller: Caller,
        shared: Shared,
        outbox: Outbox,
        lead_ms: float,
        on_over: Callable[["Context"], None],
    ) -> None:
        """Raises `Limited` where its caller has too many."""
        self.id = start.context_id
        self.taken = 1  # messages of its client, counting `start`
        self.lead_bytes = lead_ms * self.bytes_per_ms(start)
        self._start, self._caller, self._lead_ms = start, caller, lead_ms
        self._worker, self._settings, self._ledger = shared.worker, shared.settings, shared.ledger
        self._on_over = on_over
        self._place = self._ledger.take_context(caller)
        self._loop = asyncio.get_running_loop()
        self._model = model = self._worker.model
        self._state = ContextState.OPEN
        self._utterance: Utterance | None = None  # until the voice is there
        self._tally = Tally(shared.metrics, caller.name, start.format, self._loop.time)
        manner = Manner(start.mode == "verbatim", start.clean_up, start.language, start.max_delay_ms, start.speed)
        self._backlog = Backlog(model, self._settings, self._worker.wake, self._on_nothing, self._on_flushed, manner)
        rate_hz, frame_samples = model.sample_rate_hz, model.frame_samples
        self._framer = Framer(start.format, start.speed, rate_hz, frame_samples, self._tally.encoded)
        self._engine_frame_ms = model.frame_ms / start.speed  # what a frame of the engine becomes
        self._delivery = Delivery(
            self.id,
            self,
            outbox,
            model.frame_ms,
            frame_samples,
            self._engine_frame_ms,
            lambda: self._loop.time() * 1000,
        )
        self._active_at = self._loop.time()
        self._expiry = self._loop.call_later(self._settings.context_idle_s, self._on_expiry)

    @staticmethod
    def bytes_per_ms(start: Start) -> float:
        return OPUS_BYTES_PER_MS if start.format == "opus" else PCM_BYTES_PER_MS

    @property
    def next_seq(self) -> int:
        """The first that was not sent."""
        return self._delivery.next_seq

    @property
    def sent_ms(self) -> float:
        return self._delivery.sent_ms

    # What the client says

    async def open(self) -> None:
        """Get the voice, then take a place in the engine's queue. Text may come before that is done."""
        try:
            name = self._start.voice or self._usual_voice
            self._ledger.check_voice(self._caller, name)
            voice = await self._worker.voice(name, self._caller.name)
            if not self._state.over:
                self._begin(voice)
        except Exception as error:
            if not isinstance(error, InputError):
                log.exception("a context could not begin")
            if not self._state.over:
                told = (error.code, str(error), error.retry_after_ms) if isinstance(error, InputError) else INTERNAL
                self.fail(*told)

    def take_in(self, message: protocol.ContextMessage) -> None:
        """A message of its client has come."""
        self._active_at = self._loop.time()
        self.taken += not isinstance(message, Ack)

    def push(self, text: str) -> None:
        """Raises `ProtocolError` where the text cannot be taken; what came before goes on."""
        if self._state is not ContextState.OPEN:
            raise ProtocolError("context_ended", f"context {self.id!r} has been ended, it takes no text", self.id)
        waiting, limit = self._backlog.waiting_chars, self._settings.max_text_chars
        if waiting + len(text) > limit:
            told = f"{waiting} characters wait to be spoken and {limit} may; send this again when some have been"
            raise ProtocolError("text_limit", told, self.id)
        if self._start.mode == "verbatim" and len(text) > MAX_PHRASE_CHARS:
            told = f"a phrase has {len(text)} characters and {MAX_PHRASE_CHARS} may be; send it in two"
            raise ProtocolError("text_limit", told, self.id)
        try:
            self._ledger.take_chars(self._caller, len(text))
        except InputError as error:
            raise ProtocolError(error.code, str(error), self.id, retry_after_ms=error.retry_after_ms) from None
        self._tally.text(len(text))
        self._delivery.transcript.add(text)
        self._backlog.push(text)

    def flush(self, flush_id: str | None = None) -> None:
        """Raises `ProtocolError` where too many wait."""
        if self._backlog.waiting_flushes >= MAX_FLUSHES:
            told = f"{MAX_FLUSHES} flushes wait for their answer; send this again when some have been answered"
            raise ProtocolError("text_limit", told, self.id)
        if self._state is ContextState.OPEN:  # later it is harmless: the end flushes too
            self._backlog.flush(flush_id)

    def end(self) -> None:
        """Twice is harmless."""
        if self._state is ContextState.OPEN:
            self._move(ContextState.ENDING)
            self._backlog.end()

    def ack(self, played_ms: float) -> None:
        """So much has been heard, says who hears it."""
        self._delivery.playback.on_ack(played_ms)
        self._worker.wake_soon()

    def cancel(self, played_ms: float | None = None) -> None:
        """Silence at once, also for what is made and not yet sent."""
        generated_ms, delivery = self._generated_ms, self._delivery
        delivery.take_back()
        heard_ms = delivery.heard_ms(played_ms)
        parted = delivery.parted(heard_ms)
        self._tally.cancelled(generated_ms - heard_ms)
        last = protocol.Cancelled(
            self.id, 0, self.sent_ms, generated_ms, parted.heard_chars, parted.heard, parted.unheard
        )
        self._finish(ContextState.CANCELLED, last)

    def refuse(self, error: ProtocolError) -> None:
        """One message; the context goes on."""
        retry_after_ms = protocol.if_known(error.retry_after_ms)
        self._tally.refused(error.code)
        self._delivery.say(protocol.Error(error.code, error.message, False, self.id, retry_after_ms))

    def drop(self) -> None:
        """Nobody listens any more: like `cancel`, without a word. Harmless where it is over."""
        self._delivery.take_back()
        if not self._state.over:
            self._finish(ContextState.CANCELLED, None)

    def fail(self, code: str, message: str, retry_after_ms: float | None = None) -> None:
        self._tally.refused(code)
        last = protocol.Error(code, message, True, self.id, protocol.if_known(retry_after_ms))
        self._finish(ContextState.FAILED, last)

    # What the engine and the socket say

    def encode(self, pcm: np.ndarray) -> list[bytes]:
        return self._framer.feed(pcm)

    def end_part(self) -> list[bytes]:
        return self._framer.end_part()

    def on_place(self, place: int) -> None:
        self._delivery.say(protocol.Queued(self.id, 0, place))

    def on_word(self, time: WordTime) -> None:
        self._delivery.say_word(time)

    def on_frame(self, sound: list[bytes]) -> None:
        self._delivery.say_frames(sound, engine_frames=1)

    def on_part_end(self, sound: list[bytes]) -> None:
        self._delivery.say_frames(sound)

    def on_segment(self, segment: Segment, start_ms: float, end_ms: float) -> None:
        start_char, end_char = segment.words[0].start, segment.words[-1].end
        text = self._delivery.transcript.between(start_char, end_char)
        start_ms, end_ms = self._delivery.end_part(start_ms)
        self._delivery.say(protocol.Segment(self.id, 0, text, start_char, end_char, start_ms, end_ms))
        self._go_on_behind(segment)

    def on_silence(self, silence: Silence) -> None:
        self._delivery.end_part(0.0)
        self._go_on_behind(silence)

    def on_ended(self, status: Status) -> None:
        match status:
            case Status.FINISHED:
                self._finish(ContextState.DONE, protocol.Done(self.id, 0, self._delivery.made_ms))
            case Status.CANCELLED:  # not by us: nobody listens to what we cancelled
                self.fail("shutting_down", "the server is shutting down; connect again")
            case _:
                self.fail(*INTERNAL)

    def on_sent(self, event: protocol.ServerEvent) -> float:
        """An event of ours has left. Tells how much audio has."""
        delivery = self._delivery
        if not isinstance(event, Audio):
            return delivery.on_sent(event)
        if delivery.has_begun:
            self._tally.frame(delivery.playback)
        else:
            self._tally.first_frame(self._backlog.spoke_at)
        sent_ms = delivery.on_sent(event)
        self._tally.behind_it(more=delivery.unsent_frames > 0 or not self._backlog.idle)
        self._worker.wake_soon()
        return sent_ms

    def rewind(self, events: Sequence[object]) -> None:
        """These have left, but never came: they will be sent again."""
        self._delivery.rewind(events)

    def _on_nothing(self) -> None:
        self.fail("bad_text", "there is nothing to say in this text; send some words")

    def _on_flushed(self, flush: Flush) -> None:
        self._delivery.say(
            protocol.Flushed(self.id, 0, self._delivery.made_ms, UNSET if flush.id is None else flush.id)
        )

    def _on_expiry(self) -> None:
        if self._state is not ContextState.OPEN:
            return
        if not self._backlog.idle:
            self._active_at = self._loop.time()
        limit_s = self._settings.context_idle_s
        left_s = self._active_at + limit_s - self._loop.time()
        if left_s > 0:
            self._expiry = self._loop.call_later(left_s, self._on_expiry)
        else:
            self.fail("expired", f"there was nothing to speak for {limit_s:g} s; start another")

    # What follows

    @property
    def _usual_voice(self) -> str:
        """The model's own choice, or the first that this caller may speak with."""
        checkpoint = self._model.checkpoint
        return self._caller.limits.voice_unasked(checkpoint.default_voice, checkpoint.voices())

    @property
    def _generated_ms(self) -> float:
        return self._delivery.generated_ms(self._utterance.produced_ms if self._utterance else 0.0)

    def _begin(self, voice: Voice) -> None:
        """Raises `Full`."""
        self._utterance = self._make_utterance(voice)
        self._worker.speak(self._utterance, self)
        self._tally.begins()
        self._backlog.begin(self._utterance)

    def _make_utterance(self, voice: Voice) -> Utterance:
        start = self._start
        return Utterance(
            voice,
            self._model.sampling(start.temperature, start.decode_steps, start.seed),
            frame_ms=self._engine_frame_ms,
            played_ms=lambda: self._delivery.as_made(self._delivery.playback.played_ms),
            sent_ms=lambda: self._delivery.as_made(self._delivery.playback.sent_ms),
            max_lead_ms=self._lead_ms,
            waits=start.wait,
        )

    def _go_on_behind(self, part: Segment | Silence) -> None:
        self._backlog.on_spoken(part)
        self._delivery.transcript.settle(self._backlog.settled_chars)

    def _finish(self, state: ContextState, last: protocol.ContextEvent | None) -> None:
        self._move(state)
        self._stop()
        if last is not None:
            self._delivery.say(last)
        self._tally.over("dropped" if last is None else state.value, self._generated_ms)
        self._on_over(self)

    def _move(self, state: ContextState) -> None:
        assert state in protocol.LEGAL_MOVES[self._state], f"{self._state} cannot become {state}"
        self._state = state

    def _stop(self) -> None:
        self._place.release()
        self._backlog.close()
        self._delivery.transcript = Transcript()  # its text is of no use any more
        self._expiry.cancel()
        if self._utterance is not None:
            self._worker.cancel(self._utterance)
