"""Run the engine from the event loop: model steps on a thread of their own, events to each utterance's stream."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from sayline_tts.engine.engine import Engine, Event, FrameSpoken
from sayline_tts.engine.execution.model_runner import BatchOutput
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.scheduler import Batch
from sayline_tts.engine.scheduling.utterance import Status, Utterance
from sayline_tts.engine.segment import Segment, Silence
from sayline_tts.engine.text.chunk import TextChunk
from sayline_tts.engine.timing.word_time_estimator import WordTime
from sayline_tts.server.access.limits import ANONYMOUS
from sayline_tts.server.metrics import Metrics
from sayline_tts.server.synthesis.load_monitor import LoadMonitor
from sayline_tts.server.synthesis.output_stream import Listener, OutputStream
from sayline_tts.server.synthesis.repeat_cache import RepeatCache, RepeatKey
from sayline_tts.server.synthesis.streams import Streams
from sayline_tts.server.synthesis.timeline import Timeline
from sayline_tts.server.voices.store import VoiceStore
from sayline_tts.server.voices.voices import Voices

log = logging.getLogger(__name__)

WARM_UP_FRAMES = 3  # the first one prefills, the next ones decode; more frames would repeat the same work


class EngineLoop:
    """Owns the engine. Every method must be called on the loop that `start` was called on.

    It has more than 20 methods because most of them are properties that report its state to metrics and health checks.
    """

    def __init__(
        self,
        engine: Engine,
        metrics: Metrics | None = None,
        store: VoiceStore | None = None,
        repeats: RepeatCache | None = None,
        loudness_lufs: float | None = None,
    ) -> None:
        """`loudness_lufs`: the loudness that all voices get; None: their own."""
        self._engine, self._metrics = engine, metrics or Metrics()
        self.streams = Streams(repeats, self._metrics, self.add_stream, self.wake, self._on_removed)
        self._queued: list[OutputStream] = []  # the streams that wait for admission
        self.voices = Voices(engine.model, store, loudness_lufs=loudness_lufs)
        self._wake = asyncio.Event()
        self._stopping = False
        self._step_started_s: float | None = None  # loop time
        self._monitor = LoadMonitor(engine, self._reclaim_slots)
        self.on_failed: Callable[[], None] = lambda: None  # called once when the loop ends because of an error
        self._engine_thread = ThreadPoolExecutor(1, "engine")
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop

    @property
    def model(self) -> Model:
        return self._engine.model

    def read_heads_again(self) -> bool:
        """Take up alignment heads that were found since the start, as `Engine.read_heads_again`."""
        found = self._engine.read_heads_again()
        if found:
            self.streams.forget_repeats()  # their words have estimated times
        return found

    @property
    def capacity(self) -> int:
        """How many utterances can speak at the same time."""
        return self._engine.capacity

    @property
    def can_extend(self) -> bool:
        """Whether text may grow while it is spoken."""
        return self._engine.can_extend

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
    def codec_workers(self) -> int:
        return self._engine.codec_workers

    @property
    def codec_restarts(self) -> int:
        return self._engine.codec_restarts

    @property
    def speaking(self) -> int:
        """How many utterances have something to speak."""
        return self._engine.load

    @property
    def waiting(self) -> int:
        """How many utterances wait for admission."""
        return len(self._queued)

    @property
    def retry_after_ms(self) -> float:
        """Estimate of when there is room for one utterance more."""
        return self._engine.retry_after_ms

    @property
    def alive(self) -> bool:
        return self._task is not None and not self._task.done()

    @property
    def stuck_s(self) -> float:
        """Age of the oldest step or frame that is still in progress."""
        started = self.streams.waiting_since + ([] if self._step_started_s is None else [self._step_started_s])
        return self._loop.time() - min(started) if started else 0.0

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._engine.on_progress = self._on_progress
        self._task = asyncio.create_task(self._run(), name="engine loop")
        self._monitor.start()

    async def stop(self) -> None:
        """Wait for the running step, end every utterance as cancelled and join the threads."""
        self._stopping = True
        self._monitor.stop()
        self.wake()
        if self._task is not None:
            await self._task
        self.voices.cancel()
        self.streams.finish(Status.CANCELLED)
        await asyncio.to_thread(self._close_threads)

    async def voice(self, name: str, owner: str = ANONYMOUS) -> Voice:
        """One of the model's own voices, or one of `owner`'s. Raises `UnknownVoice`, `VoiceError`."""
        return await self.voices.get(name, owner)

    def submit(
        self,
        utterance: Utterance,
        listener: Listener[Any],
        on_reclaim: Callable[[], None] = lambda: None,
        key: RepeatKey | None = None,
    ) -> Timeline:
        """Hand an utterance to the engine and return the times of its stages, which are filled in. Raises `Full`.

        `on_reclaim`: it has had no text for some seconds and others wait for its slot, so it should end. With `key`,
        its text is complete, and its speech is taken from the cache or kept there.
        """
        if not self.alive or self._stopping:
            raise RuntimeError("the engine loop has stopped")
        return self.streams.submit(utterance, listener, on_reclaim, key, self.voices.loudness.gain(utterance.voice))

    def add_stream(self, stream: OutputStream) -> None:
        """Hand the utterance of a stream to the engine. Raises `Full`."""
        utterance = stream.utterance
        self._engine.add(utterance)
        self.streams.spoken[utterance] = stream
        if utterance.status is Status.WAITING:
            stream.set_queue_position(self._engine.queue_position(utterance))
            self._queued.append(stream)
        else:
            stream.timeline.admitted_s = stream.timeline.submitted_s
        self.wake()

    def check_room(self) -> None:
        """Raise `Full` if an utterance that may not queue would be rejected now."""
        self._engine.check_room()

    def wake(self) -> None:
        """Schedule again now: something has changed that may let a row run."""
        self._wake.set()
        if self.streams.replays:
            self.streams.wake_replays()

    async def warm_up(self) -> None:
        """Do all one-time work before the first listener arrives, so that it does not pay for it.

        The engine measures its step costs, then synthesizes the beginning of a sentence, which is thrown away.
        """
        await self._loop.run_in_executor(self._engine_thread, self._engine.profile)
        if not (name := self.model.checkpoint.default_voice):
            return
        voice = await self.voice(name)
        utterance = Utterance(voice, self.model.sampling(seed=0))
        reader = self.model.reader()
        for passage in reader.push("Ready to speak, Dr. Smith. ") + reader.flush():
            assert isinstance(passage, TextChunk)
            utterance.add(replace(self.model.segment(passage.spoken), max_frames=WARM_UP_FRAMES))
        utterance.end()
        listener = NullListener()
        self.submit(utterance, listener)
        await listener.ended.wait()

    # Steps

    def _on_progress(self) -> None:
        """Called on a decoder thread."""
        self._loop.call_soon_threadsafe(self.wake)

    async def _run(self) -> None:
        try:
            while not self._stopping:
                self._wake.clear()
                batch = self._engine.schedule()
                events = await self._step(batch)
                self._dispatch(events)
                self._update_queue_positions()
                if not batch and not events:
                    await self._wait()
        except Exception:
            log.exception("the engine's bookkeeping failed; every utterance ends and no new one is accepted")
            self.streams.finish(Status.FAILED)
            self.on_failed()

    async def _step(self, batch: Batch) -> list[Event]:
        output: BatchOutput | None = None
        try:
            if batch:
                self._step_started_s = started_s = self._loop.time()
                output = await self._loop.run_in_executor(self._engine_thread, self._engine.run, batch)
                prefills = batch.positions > 0
                self._metrics.on_step(len(batch.rows), (self._loop.time() - started_s) * 1000, prefills)
        except Exception:
            log.exception("a step of %d rows failed; their utterances end, the others continue", len(batch.rows))
            return self._engine.fail(batch)
        finally:
            self._step_started_s = None
        return self._engine.commit(batch, output)

    async def _wait(self) -> None:
        """Wait for a change, or until playback alone makes a row due."""
        due_s = self._engine.next_due_s()
        alarm = None if due_s is None else self._loop.call_later(due_s, self._wake.set)
        await self._wake.wait()
        if alarm is not None:
            alarm.cancel()

    # Events

    def _dispatch(self, events: list[Event]) -> None:
        self._monitor.frames += sum(isinstance(event, FrameSpoken) for event in events)
        for event in events:
            if (stream := self.streams.spoken.get(event.utterance)) is not None:  # absent after `cancel`
                stream.add(event)

    def _update_queue_positions(self) -> None:
        for stream in self._queued:
            if not stream.closed:
                stream.set_queue_position(self._engine.queue_position(stream.utterance))
        self._queued = [stream for stream in self._queued if stream.queue_position is not None and not stream.closed]

    def _reclaim_slots(self) -> None:
        for utterance in self._engine.reclaimable():
            if (stream := self.streams.spoken.get(utterance)) is not None:
                stream.on_reclaim()

    def _on_removed(self, utterance: Utterance) -> None:
        self._engine.cancel(utterance)  # has no effect on an utterance that has ended

    def _close_threads(self) -> None:
        self._engine_thread.shutdown(wait=True)
        self._engine.close()
        self.voices.close()


class NullListener:
    """Discards everything and sets `ended`."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    def encode(self, pcm: np.ndarray) -> None:
        pass

    def end_part(self) -> None:
        pass

    def on_queue_position(self, position: int | None) -> None:
        pass

    def on_frame(self, encoded: None) -> None:
        pass

    def on_part_end(self, encoded: None) -> None:
        pass

    def on_word(self, time: WordTime) -> None:
        pass

    def on_silence(self, silence: Silence) -> None:
        pass

    def on_segment(self, segment: Segment, start_ms: float, end_ms: float) -> None:
        pass

    def on_ended(self, status: Status) -> None:
        self.ended.set()
