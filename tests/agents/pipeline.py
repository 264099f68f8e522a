"""A Pipecat pipeline around one service: user input, an output with its own clock, and the context aggregator."""

import asyncio
from collections.abc import Callable
from typing import Any, Self, TypeVar

from pipecat.clocks.base_clock import BaseClock
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    EndFrame,
    ErrorFrame,
    Frame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    StartFrame,
    TTSAudioRawFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.tts_service import TTSService
from pipecat.workers.runner import WorkerRunner

WAIT_S = 10  # for what must come

T = TypeVar("T", bound=Frame)


class Clock(BaseClock):
    """Stands still until the loudspeaker has played."""

    def __init__(self) -> None:
        self.now_ms = 1000.0

    def start(self) -> None:
        pass

    def get_time(self) -> int:
        return int(self.now_ms * 1_000_000)

    def now_s(self) -> float:
        return self.now_ms / 1000


class Loudspeaker(FrameProcessor):
    """Plays when it is told to. Holds words until they are heard, as Pipecat's transports do."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.frames: list[Frame] = []  # that came
        self.changed = asyncio.Condition()
        self.late_ms = 0.0  # it begins
        self._clock = clock
        self._waiting: list[Frame] = []
        self._current = False

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if direction is FrameDirection.DOWNSTREAM and not isinstance(frame, StartFrame):
            async with self.changed:
                self.frames.append(frame)
                self.changed.notify_all()
        if isinstance(frame, TTSAudioRawFrame) and not self._current:
            self._current = True
            self._clock.now_ms += self.late_ms
            await self.broadcast_frame(BotStartedSpeakingFrame)
        if isinstance(frame, InterruptionFrame):
            self._waiting.clear()
            self._current = False
            await self.broadcast_frame(BotStoppedSpeakingFrame)
        if frame.pts and frame.pts > self._clock.get_time():
            self._waiting.append(frame)
        else:
            await self.push_frame(frame, direction)

    async def play(self, duration_ms: float) -> None:
        self._clock.now_ms += duration_ms
        due = [frame for frame in self._waiting if (frame.pts or 0) <= self._clock.get_time()]
        self._waiting = [frame for frame in self._waiting if frame not in due]
        for frame in due:
            await self.push_frame(frame)


class Talk:
    """Use with `async with`; leaving it ends the pipeline when all is said."""

    def __init__(self, service: TTSService, clock: Clock) -> None:
        self.loudspeaker = Loudspeaker(clock)
        self.memory = LLMContext()
        self.errors: list[str] = []
        self.failed = asyncio.Event()
        self._service = service
        aggregator = LLMContextAggregatorPair(self.memory).assistant()
        pipeline = Pipeline([service, self.loudspeaker, aggregator])
        self._worker = PipelineWorker(pipeline, clock=clock, cancel_on_idle_timeout=False, enable_rtvi=False)

    async def __aenter__(self) -> Self:
        started = asyncio.Event()
        self._worker.add_event_handler("on_pipeline_started", lambda *_: started.set())
        self._service.add_event_handler("on_error", self._note_error)
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(self._worker)
        self._receive_task = asyncio.create_task(runner.run())
        await asyncio.wait_for(started.wait(), WAIT_S)
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self._receive_task.done():
            await self.give(EndFrame())
        await asyncio.wait_for(self._receive_task, WAIT_S)

    async def cancel(self) -> None:
        await self._worker.cancel()
        await asyncio.wait_for(self._receive_task, WAIT_S)

    async def give(self, *frames: Frame) -> None:
        for frame in frames:
            await self._worker.queue_frame(frame)

    async def begin(self, *tokens: str) -> None:
        """The language model begins an answer."""
        await self.give(LLMFullResponseStartFrame(), *map(LLMTextFrame, tokens))

    async def answer(self, *tokens: str) -> None:
        """It gives a whole one."""
        await self.begin(*tokens)
        await self.give(LLMFullResponseEndFrame())

    async def until(self, true: Callable[[list[Frame]], bool]) -> None:
        """Waits for what comes to the loudspeaker."""
        changed = self.loudspeaker.changed
        async with changed:
            await asyncio.wait_for(changed.wait_for(lambda: true(self.loudspeaker.frames)), WAIT_S)

    async def until_kind(self, kind: type[Frame], times: int = 1) -> None:
        await self.until(lambda frames: len(only(kind, frames)) >= times)

    async def until_error(self) -> None:
        await asyncio.wait_for(self.failed.wait(), WAIT_S)

    async def _note_error(self, _: TTSService, error: ErrorFrame) -> None:
        self.errors.append(error.error)
        self.failed.set()

    def remembered(self) -> list[str]:
        """What the language model will find that it has said."""
        messages: list[Any] = self.memory.get_messages()
        return [message["content"] for message in messages if message["role"] == "assistant"]


def only(kind: type[T], frames: list[Frame]) -> list[T]:
    return [frame for frame in frames if isinstance(frame, kind)]
