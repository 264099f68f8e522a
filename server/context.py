"""One stream of speech in a session: text in as it is written, audio and events out, at the listener's pace.

Text waits as text: only as much is cut into segments as the engine needs next, a little at a time, so that neither
64 KB in one message nor a late cancel costs anybody anything. Audio is counted in ms: what is produced and not yet
played is the lead, and beyond its limit the engine leaves this row out.
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Callable

import numpy as np

from engine.audio import to_int16
from engine.errors import InputError, TextError
from engine.model import Model
from engine.segmenter import Segmenter
from engine.utterance import Sampling, Segment, Status, Utterance
from engine.voice import Voice
from server import protocol
from server.opus import OpusEncoder
from server.outbox import Outbox
from server.playback import Playback
from server.protocol import ContextState, End, Flush, ProtocolError, Start
from server.settings import Settings
from server.worker import Worker

log = logging.getLogger(__name__)

SEGMENTS_AHEAD = 3  # handed to the engine, counting the one that is spoken
PIECE_CHARS = 256  # of text, segmented in one go: about 1 ms
CUT_LEAD_MS = 500.0  # a listener who has more than this can wait for the writer a little longer


class Context:
    """Its last event is exactly one of `Done`, `Cancelled` and a final `Error`; then `on_over` is called."""

    def __init__(
        self, start: Start, worker: Worker, outbox: Outbox, settings: Settings, on_over: Callable[["Context"], None]
    ) -> None:
        self.id = start.context_id
        self._start, self._worker, self._outbox, self._settings, self._on_over = start, worker, outbox, settings, on_over
        self._loop = asyncio.get_running_loop()
        self._state = ContextState.OPEN
        self._backlog: deque[str | Flush | End] = deque()
        self._waiting_chars = 0  # in the backlog and in segments that have not been spoken
        self._segmenter = Segmenter(lambda text: len(self._model.tokenizer.encode(text)))
        self._pending_since: float | None = None  # loop time: the segmenter holds the beginning of a segment
        self._segments_ahead = 0
        self._utterance: Utterance | None = None  # until the voice is there
        self._encode = _encoder(start.format, self._model.sample_rate_hz)
        self._playback = Playback(lambda: self._loop.time() * 1000)
        self._frames = 0
        self._timers: dict[str, asyncio.Handle] = {}

    @property
    def _model(self) -> Model:
        return self._worker.model

    # What the client says

    async def open(self) -> None:
        """Get the voice, then take a place in the engine's queue. Text may come before that is done."""
        try:
            voice = await self._worker.voice(self._start.voice or self._model.checkpoint.default_voice)
            if self._state.over:
                return
            self._utterance = self._make_utterance(voice)
            self._worker.speak(self._utterance, self)
        except InputError as error:
            self._fail(error.code, str(error))
        except Exception:
            log.exception("a context could not begin")
            self._fail("internal", "internal error")
        else:
            self._fill()

    def push(self, text: str) -> None:
        """Raises `ProtocolError` where the text cannot be taken; all else goes on."""
        if self._state is not ContextState.OPEN:
            raise ProtocolError("context_ended", f"context {self.id!r} has been ended, it takes no text", self.id)
        if self._waiting_chars + len(text) > self._settings.max_text_chars:
            limit = f"{self._waiting_chars} characters wait to be spoken, {self._settings.max_text_chars} may"
            raise ProtocolError("text_limit", f"{limit}; send this again when segments have been spoken", self.id)
        self._waiting_chars += len(text)
        self._queue(*(text[at : at + PIECE_CHARS] for at in range(0, len(text), PIECE_CHARS)))

    def flush(self) -> None:
        if self._state is ContextState.OPEN:
            self._queue(Flush(self.id))

    def end(self) -> None:
        """Ending twice is harmless."""
        if self._state is ContextState.OPEN:
            self._move(ContextState.ENDING)
            self._queue(End(self.id))

    def cancel(self) -> None:
        """Silence at once, also for what is made and not yet sent."""
        self._outbox.silence(self)
        self._finish(ContextState.CANCELLED, protocol.Cancelled(self.id, self._playback.sent_ms))

    def drop(self) -> None:
        """Nobody listens any more: like `cancel`, without a word."""
        self._outbox.silence(self)
        self._move(ContextState.CANCELLED)
        self._stop()

    # What the engine and the socket say

    def on_frame(self, pcm: np.ndarray) -> None:
        seq, self._frames = self._frames, self._frames + 1
        self._outbox.put(protocol.Audio(self.id, seq, seq * len(pcm), self._encode(pcm)), self)
        self._pace()

    def on_segment(self, segment: Segment, start_ms: float, end_ms: float) -> None:
        self._segments_ahead -= 1
        self._waiting_chars -= len(segment.text)
        self._outbox.put(protocol.Segment(self.id, segment.text, start_ms, end_ms), self)
        self._fill()

    def on_ended(self, status: Status) -> None:
        match status:
            case Status.FINISHED:
                duration_ms = self._frames * self._model.frame_ms
                self._finish(ContextState.DONE, protocol.Done(self.id, duration_ms))
            case Status.CANCELLED:  # not by us: nobody listens to a cancelled utterance
                self._fail("shutting_down", "the server is shutting down; connect again")
            case _:
                self._fail("internal", "internal error")

    def on_sent(self, event: protocol.Audio) -> None:
        self._playback.on_sent(self._model.frame_ms)
        self._pace()

    # Text on its way into the engine

    def _queue(self, *items: str | Flush | End) -> None:
        self._backlog.extend(items)
        if "fill" not in self._timers:
            self._fill()

    def _fill(self) -> None:
        """Turn waiting text into segments until the engine has enough."""
        self._clear_timer("fill")
        if self._utterance is None or self._state.over:
            return
        if self._backlog and self._segments_ahead < SEGMENTS_AHEAD:
            self._take(self._utterance, self._backlog.popleft())
        if self._state.over:
            return
        if self._backlog and self._segments_ahead < SEGMENTS_AHEAD:
            self._timers["fill"] = self._loop.call_soon(self._fill)
        self._watch_pause()

    def _take(self, utterance: Utterance, item: str | Flush | End) -> None:
        if isinstance(item, str):
            self._waiting_chars -= len(item)
            self._add(utterance, self._segmenter.push(item))
            return
        self._add(utterance, self._segmenter.flush())
        if isinstance(item, End):
            utterance.end()
            self._worker.wake()
            if utterance.idle and not self._frames:
                self._fail(TextError.code, "there is nothing to say in this text; send some words")

    def _add(self, utterance: Utterance, texts: list[str]) -> None:
        for text in texts:
            try:
                segment = self._model.segment(text)
            except TextError:  # marks alone: at the end it shows whether there was anything else
                continue
            utterance.add(segment)
            self._segments_ahead += 1
            self._waiting_chars += len(segment.text)
            self._worker.wake()
        if texts or self._pending_since is None:
            self._pending_since = self._loop.time()
        if not self._segmenter.pending:
            self._pending_since = None

    def _watch_pause(self) -> None:
        """Where the writer pauses in a sentence and the listener runs dry, speak what is there."""
        utterance = self._utterance
        if utterance is None or self._pending_since is None or self._backlog or not utterance.idle:
            self._clear_timer("pause")
        elif "pause" not in self._timers:
            due = self._pending_since + self._settings.max_delay_ms / 1000
            dry = self._loop.time() + (utterance.lead_ms - CUT_LEAD_MS) / 1000
            self._timers["pause"] = self._loop.call_at(max(due, dry), self._on_pause, utterance)

    def _on_pause(self, utterance: Utterance) -> None:
        del self._timers["pause"]
        self._add(utterance, self._segmenter.cut())
        if utterance.idle:  # the beginning of one word: it waits for its end
            self._pending_since = None

    # Audio on its way out

    def _pace(self) -> None:
        """Wake the worker as soon as the listener has come close enough."""
        utterance = self._utterance
        if utterance is None or self._state.over or "pace" in self._timers:
            return
        over_ms = utterance.lead_ms - utterance.max_lead_ms
        if over_ms < 0:
            self._worker.wake()
        elif self._playback.unplayed_ms > over_ms:  # otherwise sending has to go on first, and that calls us
            delay_ms = min(over_ms + self._model.frame_ms, self._playback.unplayed_ms)
            self._timers["pace"] = self._loop.call_later(delay_ms / 1000, self._on_pace)

    def _on_pace(self) -> None:
        del self._timers["pace"]
        self._pace()

    # The end

    def _make_utterance(self, voice: Voice) -> Utterance:
        start, config = self._start, self._model.config
        temperature = config.default_temperature if start.temperature is None else start.temperature
        seed = secrets.randbits(53) if start.seed is None else start.seed
        max_lead_ms = self._settings.max_lead_ms
        return Utterance(
            voice,
            Sampling(temperature, None, config.default_eos_threshold, 1, seed),
            frame_ms=self._model.frame_ms,
            played_ms=lambda: self._playback.played_ms,
            max_lead_ms=max_lead_ms if start.max_lead_ms is None else min(start.max_lead_ms, max_lead_ms),
        )

    def _fail(self, code: str, message: str) -> None:
        self._finish(ContextState.FAILED, protocol.Error(code, message, True, self.id))

    def _finish(self, state: ContextState, event: protocol.ServerEvent) -> None:
        self._move(state)
        self._stop()
        self._outbox.put(event, self)
        self._on_over(self)

    def _move(self, state: ContextState) -> None:
        assert state in protocol.LEGAL_MOVES[self._state], f"{self._state} cannot become {state}"
        self._state = state

    def _stop(self) -> None:
        for name in list(self._timers):
            self._clear_timer(name)
        self._backlog.clear()
        if self._utterance is not None:
            self._worker.cancel(self._utterance)

    def _clear_timer(self, name: str) -> None:
        if timer := self._timers.pop(name, None):
            timer.cancel()


def _encoder(format: str, sample_rate_hz: int) -> Callable[[np.ndarray], bytes]:
    if format == "opus":
        return OpusEncoder(sample_rate_hz).encode
    return lambda pcm: to_int16(pcm).astype("<i2").tobytes()
