"""One stream of speech in a session: its life, and its audio at the listener's pace.

Audio is counted in ms: what is made and not yet played is the lead, and beyond its limit the engine leaves this row
out until the clock, a report of the listener, or a socket that takes more, has brought it down. How text becomes
segments: `server.backlog`.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable

import numpy as np
from msgspec import UNSET, UnsetType

from engine.audio import to_pcm
from engine.errors import Full, InputError
from engine.utterance import Sampling, Segment, Status, Utterance
from engine.voice import Voice
from server import protocol
from server.backlog import Backlog
from server.opus import OpusEncoder
from server.outbox import Outbox
from server.playback import Playback
from server.protocol import ContextState, ProtocolError, Start
from server.settings import Settings
from server.worker import Worker

log = logging.getLogger(__name__)

INTERNAL = ("internal", "internal error")  # all that a peer hears of our own faults


class Context:
    """Its last event is exactly one of `Done`, `Cancelled` and a final `Error`; then `on_over` is called."""

    def __init__(
        self, start: Start, worker: Worker, outbox: Outbox, settings: Settings, on_over: Callable[["Context"], None]
    ) -> None:
        self.id = start.context_id
        self._start, self._worker, self._outbox, self._settings = start, worker, outbox, settings
        self._on_over = on_over
        self._loop = asyncio.get_running_loop()
        self._model = worker.model
        self._state = ContextState.OPEN
        self._backlog = Backlog(self._model, settings, worker.wake, self._on_nothing)
        self._utterance: Utterance | None = None  # until the voice is there
        self.encode = _encoder(start.format, self._model.sample_rate_hz)
        self._playback = Playback(lambda: self._loop.time() * 1000)
        self._frames = 0

    # What the client says

    async def open(self) -> None:
        """Get the voice, then take a place in the engine's queue. Text may come before that is done."""
        try:
            voice = await self._worker.voice(self._start.voice or self._model.checkpoint.default_voice)
            if not self._state.over:
                self._begin(voice)
        except Exception as error:
            if not isinstance(error, InputError):
                log.exception("a context could not begin")
            if not self._state.over:
                told = (error.code, str(error)) if isinstance(error, InputError) else INTERNAL
                self.fail(*told, retry_after_ms=error.retry_after_ms if isinstance(error, Full) else UNSET)

    def push(self, text: str) -> None:
        """Raises `ProtocolError` where the text cannot be taken; what came before goes on."""
        if self._state is not ContextState.OPEN:
            raise ProtocolError("context_ended", f"context {self.id!r} has been ended, it takes no text", self.id)
        waiting, limit = self._backlog.waiting_chars, self._settings.max_text_chars
        if waiting + len(text) > limit:
            told = f"{waiting} characters wait to be spoken and {limit} may; send this again when some have been"
            raise ProtocolError("text_limit", told, self.id)
        self._backlog.push(text)

    def flush(self) -> None:
        if self._state is ContextState.OPEN:  # later it is harmless: the end flushes too
            self._backlog.flush()

    def end(self) -> None:
        """Twice is harmless."""
        if self._state is ContextState.OPEN:
            self._move(ContextState.ENDING)
            self._backlog.end()

    def played(self, played_ms: float) -> None:
        """So much has been heard, says who hears it."""
        self._playback.on_played(played_ms)
        self._worker.wake_soon()

    def cancel(self) -> None:
        """Silence at once, also for what is made and not yet sent."""
        self._frames -= self._outbox.silence(self)
        self._finish(ContextState.CANCELLED, protocol.Cancelled(self.id, self._duration_ms))

    def drop(self) -> None:
        """Nobody listens any more: like `cancel`, without a word."""
        self._move(ContextState.CANCELLED)
        self._stop()

    def fail(self, code: str, message: str, retry_after_ms: float | UnsetType = UNSET) -> None:
        self._finish(ContextState.FAILED, protocol.Error(code, message, True, self.id, retry_after_ms))

    # What the engine and the socket say

    def on_place(self, place: int) -> None:
        self._outbox.put(protocol.Queued(self.id, place), self)

    def on_frame(self, data: bytes) -> None:
        seq, self._frames = self._frames, self._frames + 1
        self._outbox.put(protocol.Audio(self.id, seq, seq * self._model.frame_samples, data), self)

    def on_segment(self, segment: Segment, start_ms: float, end_ms: float) -> None:
        self._outbox.put(protocol.Segment(self.id, segment.text, start_ms, end_ms), self)
        self._backlog.on_spoken(segment)

    def on_ended(self, status: Status) -> None:
        match status:
            case Status.FINISHED:
                self._finish(ContextState.DONE, protocol.Done(self.id, self._duration_ms))
            case Status.CANCELLED:  # not by us: nobody listens to what we cancelled
                self.fail("shutting_down", "the server is shutting down; connect again")
            case _:
                self.fail(*INTERNAL)

    def on_sent(self) -> None:
        """One of our frames has left."""
        self._playback.on_sent(self._model.frame_ms)
        self._worker.wake_soon()

    def _on_nothing(self) -> None:
        self.fail("bad_text", "there is nothing to say in this text; send some words")

    # What follows

    @property
    def _duration_ms(self) -> float:
        return self._frames * self._model.frame_ms

    def _begin(self, voice: Voice) -> None:
        """Raises `Full`."""
        self._utterance = self._make_utterance(voice)
        self._worker.speak(self._utterance, self)
        self._backlog.begin(self._utterance)

    def _make_utterance(self, voice: Voice) -> Utterance:
        start, config = self._start, self._model.config
        temperature = config.default_temperature if start.temperature is None else start.temperature
        seed = secrets.randbits(53) if start.seed is None else start.seed
        lead_ms = self._settings.lead_ms if start.max_lead_ms is None else start.max_lead_ms
        return Utterance(
            voice,
            Sampling(temperature, None, config.default_eos_threshold, 1, seed),
            frame_ms=self._model.frame_ms,
            played_ms=lambda: self._playback.played_ms,
            sent_ms=lambda: self._playback.sent_ms,
            max_lead_ms=min(lead_ms, self._settings.max_lead_ms),
            waits=start.wait,
        )

    def _finish(self, state: ContextState, last: protocol.ServerEvent) -> None:
        self._move(state)
        self._stop()
        self._outbox.put(last, self)
        self._on_over(self)

    def _move(self, state: ContextState) -> None:
        assert state in protocol.LEGAL_MOVES[self._state], f"{self._state} cannot become {state}"
        self._state = state

    def _stop(self) -> None:
        self._backlog.close()
        if self._utterance is not None:
            self._worker.cancel(self._utterance)


def _encoder(format: str, sample_rate_hz: int) -> Callable[[np.ndarray], bytes]:
    if format == "opus":
        return OpusEncoder(sample_rate_hz).encode
    return to_pcm
