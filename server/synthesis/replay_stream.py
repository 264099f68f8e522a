"""Deliver kept speech to a listener as the engine would, at the pace of its playback and without a step."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from sayline_tts.engine.scheduling.utterance import Status, Utterance
from sayline_tts.engine.segment import Segment, Silence
from sayline_tts.server.synthesis.output_stream import Listener
from sayline_tts.server.synthesis.repeat_cache import RecordedPart, Recording
from sayline_tts.server.synthesis.timeline import Timeline

log = logging.getLogger(__name__)


class ReplayStream:
    """Stands in for an `OutputStream`. Its utterance is not in the engine; this takes the parts that the feeder adds.

    `on_closed` is called once.
    """

    def __init__(
        self,
        utterance: Utterance,
        listener: Listener[Any],
        on_closed: Callable[["ReplayStream"], None],
        recording: Recording,
    ) -> None:
        self.utterance, self.listener = utterance, listener
        self.queue_position = self.waiting_since = None
        frames = sum(len(part.frames) for part in recording)
        self.timeline = Timeline(asyncio.get_running_loop().time(), replayed=True, replayed_frames=frames)
        self._on_closed, self._recording = on_closed, recording
        self._closed = False
        self._woken = asyncio.Event()
        # The first frame is encoded while the feeder reads the text.
        self._first = self._start_encoding(next((pcm for part in recording for _, pcm in part.frames), None))
        self._task = asyncio.create_task(self._run(), name="replay")

    @property
    def closed(self) -> bool:
        return self._closed

    def wake(self) -> None:
        """Look again: text, the end of it, or playback may allow another frame."""
        self._woken.set()

    def close(self) -> None:
        """Stop calling the listener, `on_ended` included. Idempotent."""
        if not self._closed:
            self._closed = True
            self._task.cancel()
            self._on_closed(self)

    def finish(self, status: Status) -> None:
        """Make `on_ended` the listener's last call."""
        if not self._closed:
            self.close()
            self.listener.on_ended(status)

    def _start_encoding(self, pcm: np.ndarray | None) -> asyncio.Future[Any] | None:
        return None if pcm is None else asyncio.get_running_loop().run_in_executor(None, self.listener.encode, pcm)

    async def _encode(self, pcm: np.ndarray) -> Any:
        encoding, self._first = self._first or self._start_encoding(pcm), None
        assert encoding is not None
        return await encoding

    async def _run(self) -> None:
        try:
            self.utterance.move(Status.RUNNING)
            for recorded in self._recording:
                await self._replay(recorded)
            await self._wait_for(lambda: self.utterance.complete)
        except Exception:
            log.exception("a replay or its listener failed; its utterance ends, others continue")
            self.finish(Status.FAILED)
        else:
            self.utterance.move(Status.FINISHED)
            self.finish(Status.FINISHED)

    async def _replay(self, recorded: RecordedPart) -> None:
        utterance, listener = self.utterance, self.listener
        await self._wait_for(lambda: utterance.queued_parts > 0)
        part = utterance.take_part()
        assert part == recorded.part, "the text was read differently than when it was kept"
        for words, pcm in recorded.frames:
            await self._wait_for_room()
            utterance.buffer.produce(1)
            encoded = await self._encode(pcm)
            for time in words:
                listener.on_word(time)
            listener.on_frame(encoded)
        encoded = await asyncio.to_thread(listener.end_part)
        for time in recorded.words:
            listener.on_word(time)
        listener.on_part_end(encoded)
        match part:
            case Segment():
                listener.on_segment(part, recorded.start_ms, recorded.end_ms)
            case Silence():
                listener.on_silence(part)

    async def _wait_for(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._woken.clear()
            await self._woken.wait()

    async def _wait_for_room(self) -> None:
        """Wait while the lead is at its limit, then until it is down to the low-water mark."""
        buffer = self.utterance.buffer
        if not buffer.full:
            return
        while buffer.lead_ms > buffer.low_water_ms:
            self._woken.clear()
            due_ms = buffer.due_in_ms(buffer.low_water_ms)
            loop = asyncio.get_running_loop()
            alarm = None if due_ms is None else loop.call_later(due_ms / 1000, self._woken.set)
            try:
                await self._woken.wait()
            finally:
                if alarm is not None:
                    alarm.cancel()
