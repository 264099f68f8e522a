"""Drives the engine from the event loop: steps on a thread of their own, what happened to its `Line`.

Knows utterances and whom to tell; knows nothing of sessions or of the wire.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from sayline_tts.engine.engine import Engine, Event
from sayline_tts.engine.execution.model_runner import Output
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.scheduler import Batch
from sayline_tts.engine.scheduling.utterance import Status, Utterance
from sayline_tts.engine.segment import Segment, Silence
from sayline_tts.engine.text.chunk import Passage
from sayline_tts.engine.timing.word_time_estimator import WordTime
from sayline_tts.server.access.limits import ANONYMOUS
from sayline_tts.server.metrics import Metrics
from sayline_tts.server.synthesis.output_stream import Line, Listener
from sayline_tts.server.voices.store import VoiceStore
from sayline_tts.server.voices.voices import Voices

log = logging.getLogger(__name__)

SOON_S = 0.02
WARM_UP_FRAMES = 3  # the first is prefilled, the next are stepped; more of them cost what those do


class Worker:
    """`start` it on the loop that it shall serve. Nothing here is called from another thread."""

    def __init__(self, engine: Engine, metrics: Metrics | None = None, store: VoiceStore | None = None) -> None:
        self._engine, self._metrics = engine, metrics or Metrics()
        self._lines: dict[Utterance, Line] = {}
        self._queue: list[Line] = []  # of those, who waits to be let in
        self.voices = Voices(engine.model, store)
        self._wake, self._silent = asyncio.Event(), asyncio.Event()
        self._soon: asyncio.TimerHandle | None = None
        self._stopping = False
        self._step_since: float | None = None  # loop time
        self.on_failed: Callable[[], None] = lambda: None  # nothing is spoken any more
        self._engine_thread = ThreadPoolExecutor(1, "engine")
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop

    @property
    def model(self) -> Model:
        return self._engine.model

    @property
    def capacity(self) -> int:
        """How many may speak at once."""
        return self._engine.capacity

    @property
    def slots(self) -> int:
        return self._engine.slots

    @property
    def slots_used(self) -> int:
        return self._engine.slots_used

    @property
    def codec_backlog(self) -> int:
        """Frames that are not decoded yet."""
        return self._engine.codec_backlog

    @property
    def speaking(self) -> int:
        """How many have something to say."""
        return self._engine.load

    @property
    def waiting(self) -> int:
        """How many are in the queue."""
        return len(self._queue)

    @property
    def listeners(self) -> int:
        """Utterances that have not ended."""
        return len(self._lines)

    @property
    def alive(self) -> bool:
        return self._task is not None and not self._task.done()

    @property
    def stuck_s(self) -> float:
        """So long the oldest step or frame has been under way."""
        began = [line.waits_since for line in self._lines.values() if line.waits_since is not None]
        began += [] if self._step_since is None else [self._step_since]
        return self._loop.time() - min(began) if began else 0.0

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._engine.on_progress = self._on_progress
        self._task = asyncio.create_task(self._drive(), name="worker")

    async def until_silent(self) -> None:
        """Until every utterance that there is has ended."""
        while self._lines:
            self._silent.clear()
            await self._silent.wait()

    async def stop(self) -> None:
        """Lets the step that runs finish, ends every utterance, joins the threads."""
        self._stopping = True
        self.wake()
        if self._task is not None:
            await self._task
        self.voices.cancel()
        self._abandon(Status.CANCELLED)
        await asyncio.to_thread(self._close_pools)

    async def voice(self, name: str, owner: str = ANONYMOUS) -> Voice:
        """One of the model's own voices, or of this owner's. Raises `UnknownVoice`, `VoiceError`."""
        return await self.voices.get(name, owner)

    def speak(self, utterance: Utterance, listener: Listener[Any]) -> None:
        """Raises `Full`."""
        if not self.alive or self._stopping:
            raise RuntimeError("the worker has stopped")
        self._engine.add(utterance)
        line = self._lines[utterance] = Line(utterance, listener, self._forget)
        line.move_to(self._engine.place(utterance))
        if line.place is not None:
            self._queue.append(line)
        self.wake()

    def cancel(self, utterance: Utterance) -> None:
        """Its listener hears nothing more. Twice is harmless."""
        if line := self._lines.get(utterance):
            line.cut()

    def wake(self) -> None:
        """Something changed: look again whether a row can step."""
        self._wake.set()

    def wake_soon(self) -> None:
        """A little changed: many of these in a short time make one look."""
        if self._soon is None:
            self._soon = self._loop.call_later(SOON_S, self._on_soon)

    async def warm_up(self) -> None:
        """Before the first listener, who shall not pay for what is done but once.

        The engine learns what steps cost here, and speaks the beginning of a sentence to nobody.
        """
        await self._loop.run_in_executor(self._engine_thread, self._engine.calibrate)
        if not (name := self.model.checkpoint.default_voice):
            return
        voice = await self.voice(name)
        utterance = Utterance(voice, self.model.sampling(seed=0))
        reader = self.model.reader()
        for passage in reader.push("Ready to speak, Dr. Smith. ") + reader.flush():
            assert isinstance(passage, Passage)
            utterance.add(replace(self.model.segment(passage.spoken), max_frames=WARM_UP_FRAMES))
        utterance.end()
        deaf = _DeafListener()
        self.speak(utterance, deaf)
        await deaf.ended.wait()

    # Steps

    def _on_progress(self) -> None:
        """On a thread of the codec."""
        self._loop.call_soon_threadsafe(self.wake)

    def _on_soon(self) -> None:
        self._soon = None
        self.wake()

    async def _drive(self) -> None:
        try:
            while not self._stopping:
                self._wake.clear()
                batch = self._engine.schedule()
                events = await self._step(batch)
                self._take_in(events)
                self._tell_places()
                if not batch and not events:
                    await self._rest()
        except Exception:
            log.exception("the engine's books are broken; nothing is spoken any more")
            self._abandon(Status.FAILED)
            self.on_failed()

    async def _step(self, batch: Batch) -> list[Event]:
        output: Output | None = None
        try:
            if batch:
                self._step_since = began = self._loop.time()
                output = await self._loop.run_in_executor(self._engine_thread, self._engine.run, batch)
                joining = batch.positions > 0
                self._metrics.on_step(len(batch.rows), (self._loop.time() - began) * 1000, joining)
        except Exception:
            log.exception("a step of %d rows failed; they end, the others go on", len(batch.rows))
            return self._engine.fail(batch)
        finally:
            self._step_since = None
        return self._engine.commit(batch, output)

    async def _rest(self) -> None:
        """Until something changes, or the clock alone makes somebody due."""
        due_s = self._engine.next_due_s()
        alarm = None if due_s is None else self._loop.call_later(due_s, self._wake.set)
        await self._wake.wait()
        if alarm is not None:
            alarm.cancel()

    # What is told

    def _take_in(self, events: list[Event]) -> None:
        for event in events:
            if line := self._lines.get(event.utterance):  # else cancelled by its owner
                line.add(event)

    def _tell_places(self) -> None:
        for line in self._queue:
            if not line.over:
                line.move_to(self._engine.place(line.utterance))
        self._queue = [line for line in self._queue if line.place is not None and not line.over]

    def _forget(self, line: Line) -> None:
        del self._lines[line.utterance]
        self._silent.set()
        self._engine.cancel(line.utterance)  # harmless where it has ended by itself
        self.wake()

    def _abandon(self, status: Status) -> None:
        for line in list(self._lines.values()):
            line.end(status)

    def _close_pools(self) -> None:
        self._engine_thread.shutdown(wait=True)
        self._engine.close()
        self.voices.close()


class _DeafListener:
    def __init__(self) -> None:
        self.ended = asyncio.Event()

    def encode(self, pcm: np.ndarray) -> None:
        pass

    def end_part(self) -> None:
        pass

    def on_place(self, place: int) -> None:
        pass

    def on_frame(self, sound: None) -> None:
        pass

    def on_part_end(self, sound: None) -> None:
        pass

    def on_word(self, time: WordTime) -> None:
        pass

    def on_silence(self, silence: Silence) -> None:
        pass

    def on_segment(self, segment: Segment, start_ms: float, end_ms: float) -> None:
        pass

    def on_ended(self, status: Status) -> None:
        self.ended.set()
