"""Drives the engine from the event loop: steps on a thread of their own, voices in a small pool beside it.

Knows utterances and whom to tell; knows nothing of sessions or of the wire.
"""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np

from engine.engine import Engine, Event, FrameSpoken, SegmentSpoken, UtteranceEnded
from engine.model import Model
from engine.runner import Output
from engine.scheduler import Batch
from engine.segmenter import Segmenter
from engine.utterance import Sampling, Segment, Status, Utterance
from engine.voice import Voice

log = logging.getLogger(__name__)


class Listener(Protocol):
    """Told on the event loop. `on_ended` is the last call."""

    def on_frame(self, pcm: np.ndarray) -> None: ...

    def on_segment(self, segment: Segment, start_ms: float, end_ms: float) -> None: ...

    def on_ended(self, status: Status) -> None: ...


class Worker:
    """`start` it on the loop that it shall serve. Nothing here is called from another thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._listeners: dict[Utterance, Listener] = {}
        self._voices: dict[str, asyncio.Task[Voice]] = {}
        self._wake = asyncio.Event()
        self._stopping = False
        self._engine_thread = ThreadPoolExecutor(1, "engine")
        self._pool = ThreadPoolExecutor(2, "voices")
        self._task: asyncio.Task[None] | None = None

    @property
    def model(self) -> Model:
        return self._engine.model

    @property
    def speaking(self) -> int:
        """Utterances that have not ended."""
        return len(self._listeners)

    @property
    def alive(self) -> bool:
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        self._task = asyncio.create_task(self._drive(), name="worker")

    async def stop(self) -> None:
        """Lets the step that runs finish, ends every utterance, joins the threads."""
        self._stopping = True
        self.wake()
        if self._task is not None:
            await self._task
        for loading in self._voices.values():
            loading.cancel()
        self._abandon(Status.CANCELLED)
        await asyncio.to_thread(self._close_pools)

    async def voice(self, name: str) -> Voice:
        """One of the model's own voices; who asks for one that is being loaded waits for the same. `UnknownVoice`.

        A name from the network is never taken for a path or an address.
        """
        self.model.checkpoint.voice_source(name)
        if name not in self._voices:
            self._voices[name] = asyncio.create_task(self._load_voice(name), name=f"voice {name}")
        return await asyncio.shield(self._voices[name])  # shielded: others may wait for it too

    def speak(self, utterance: Utterance, listener: Listener) -> None:
        """Raises `Full`."""
        if not self.alive or self._stopping:
            raise RuntimeError("the worker has stopped")
        self._engine.add(utterance)
        self._listeners[utterance] = listener
        self.wake()

    def cancel(self, utterance: Utterance) -> None:
        """Its listener hears nothing more. Twice is harmless."""
        self._listeners.pop(utterance, None)
        self._engine.cancel(utterance)
        self.wake()

    def wake(self) -> None:
        """Something changed: look again whether a row can step."""
        self._wake.set()

    async def warm_up(self) -> None:
        """Speak a sentence to nobody, so that the first listener does not pay for what is done but once."""
        if not (name := self.model.checkpoint.default_voice):
            return
        voice = await self.voice(name)
        config = self.model.config
        utterance = Utterance(voice, Sampling(config.default_temperature, None, config.default_eos_threshold, 1, 0))
        segmenter = Segmenter(lambda text: len(self.model.tokenizer.encode(text)))
        for text in segmenter.push("Ready to speak, Dr. Smith. ") + segmenter.flush():
            utterance.add(self.model.segment(text))
        utterance.end()
        deaf = _DeafListener()
        self.speak(utterance, deaf)
        await deaf.ended.wait()

    async def _load_voice(self, name: str) -> Voice:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self.model.load_voice, name)
        except BaseException:
            del self._voices[name]  # so that the next one tries again
            raise

    async def _drive(self) -> None:
        news: list[Event] = []
        try:
            while not self._stopping:
                self._wake.clear()
                batch = self._engine.schedule()
                news = await self._step(batch, news)
                if not batch and not news:
                    await self._wake.wait()
            await self._deliver(news)
        except Exception:
            log.exception("the engine's books are broken; nothing is spoken any more")
            self._abandon(Status.FAILED)

    async def _step(self, batch: Batch, news: list[Event]) -> list[Event]:
        """Run a batch and, while it runs, tell what the one before brought: decoding and sending take time too."""
        step: asyncio.Future[Output] | None = None
        if batch:
            step = asyncio.get_running_loop().run_in_executor(self._engine_thread, self._engine.run, batch)
        await self._deliver(news)
        try:
            output = await step if step else None
        except Exception:
            log.exception("a step of %d rows failed; they end, the others go on", len(batch.rows))
            return self._engine.fail(batch)
        return self._engine.commit(batch, output)

    async def _deliver(self, news: list[Event]) -> None:
        frames = [event for event in news if isinstance(event, FrameSpoken)]
        try:
            if frames:
                await asyncio.wrap_future(frames[0].sound)  # one step, one sound
        except Exception:
            log.exception("%d frames could not be decoded; their contexts end, the others go on", len(frames))
            for frame in frames:
                self._give_up(frame.utterance)
        for event in news:
            self._tell(event)

    def _give_up(self, utterance: Utterance) -> None:
        if listener := self._listeners.get(utterance):
            self.cancel(utterance)
            listener.on_ended(Status.FAILED)

    def _tell(self, event: Event) -> None:
        listener = self._listeners.get(event.utterance)
        if listener is None:  # cancelled by its owner
            return
        try:
            match event:
                case FrameSpoken():
                    listener.on_frame(event.pcm)
                case SegmentSpoken(segment=segment, start_ms=start_ms, end_ms=end_ms):
                    listener.on_segment(segment, start_ms, end_ms)
                case UtteranceEnded(status=status):
                    del self._listeners[event.utterance]
                    listener.on_ended(status)
        except Exception:
            log.exception("a listener failed; its utterance ends")
            self._give_up(event.utterance)

    def _abandon(self, status: Status) -> None:
        listeners, self._listeners = self._listeners, {}
        for utterance, listener in listeners.items():
            self._engine.cancel(utterance)
            listener.on_ended(status)

    def _close_pools(self) -> None:
        self._engine_thread.shutdown(wait=True)
        self._engine.close()
        self._pool.shutdown(wait=True, cancel_futures=True)


class _DeafListener:
    def __init__(self) -> None:
        self.ended = asyncio.Event()

    def on_frame(self, pcm: np.ndarray) -> None:
        pass

    def on_segment(self, segment: Segment, start_ms: float, end_ms: float) -> None:
        pass

    def on_ended(self, status: Status) -> None:
        self.ended.set()
