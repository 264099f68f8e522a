"""One listener of a text that arrives piece by piece: the real engine and text feeder, in virtual time.

Every step takes as long as `step_ms` says, so a result depends on the texts, the pace and the model alone, not on the
machine.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sayline_tts.bench.writer.pieces import Piece
from sayline_tts.engine.engine import Engine, FrameSpoken, SegmentSpoken, SilenceSpoken, UtteranceEnded
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.scheduler import Batch
from sayline_tts.engine.scheduling.utterance import Utterance
from sayline_tts.engine.segment import Sampling
from sayline_tts.engine.timing.word_time_estimator import WordTime
from sayline_tts.server.settings import Settings
from sayline_tts.server.synthesis.text_feeder import TextFeeder
from sayline_tts.server.synthesis.text_options import TextOptions

STEP_MS, PREFILL_POSITION_MS = 10.0, 0.2  # virtual cost of a step, and of each position of a prefill in it


@dataclass
class Heard:
    """What the listener got. Times are in ms since the first piece."""

    first_audio_ms: float = 0.0
    stalled_ms: float = 0.0  # without audio to play, between the first frame and the last
    frames: list[NDArray[np.float32]] = field(default_factory=list)
    words: list[WordTime] = field(default_factory=list)
    segments: list[str] = field(default_factory=list)
    steps: int = 0
    extensions: int = 0
    extended_positions: int = 0
    retries: int = 0  # frames that were made again

    @property
    def audio(self) -> NDArray[np.float32]:
        return np.concatenate(self.frames)


class _Playback:
    """A player that stops while it has nothing to play."""

    def __init__(self, heard: Heard, frame_ms: float) -> None:
        self._heard, self._frame_ms = heard, frame_ms
        self._loop = asyncio.get_running_loop()
        self._ends_ms: float | None = None  # when all that was received will have been played

    @property
    def played_ms(self) -> float:
        received_ms = len(self._heard.frames) * self._frame_ms
        if self._ends_ms is None:
            return 0.0
        return received_ms - max(0.0, self._ends_ms - self._loop.time() * 1000)

    @property
    def sent_ms(self) -> float:
        return len(self._heard.frames) * self._frame_ms

    def receive(self) -> None:
        now_ms = self._loop.time() * 1000
        if self._ends_ms is None:
            self._heard.first_audio_ms = self._ends_ms = now_ms
        self._heard.stalled_ms += max(0.0, now_ms - self._ends_ms)
        self._ends_ms = max(self._ends_ms, now_ms) + self._frame_ms


async def listen(
    engine: Engine,
    voice: Voice,
    sampling: Sampling,
    pieces: Sequence[Piece],
    options: TextOptions,
    settings: Settings,
    leaves_ms: float | None = None,
    guarded: bool = False,
) -> Heard:
    """Write `pieces`, then end, and return what was heard by a listener who stays to the end, or until `leaves_ms`."""
    heard, loop, changed = Heard(), asyncio.get_running_loop(), asyncio.Event()
    playback = _Playback(heard, engine.model.frame_ms)
    utterance = Utterance(voice, sampling, playback=playback, max_lead_ms=settings.lead_ms, guarded=guarded)
    feeder = TextFeeder(engine.model, settings, changed.set, lambda _: changed.set(), text_options=options)
    engine.add(utterance)
    feeder.attach(utterance)

    async def write() -> None:
        for piece in pieces:
            await asyncio.sleep(piece.after_ms / 1000)
            feeder.push(piece.text)
        feeder.end()

    async def step(batch: Batch) -> bool:
        """Make one step. Returns whether the utterance has ended."""
        output = engine.run(batch) if batch else None
        if batch:
            heard.steps += 1
            prefills = [row.prefill for row in batch.rows if row.prefill is not None]
            extensions = [prefill.positions for prefill in prefills if prefill.frames is not None]
            heard.extensions += len(extensions)
            heard.extended_positions += sum(extensions)
            await asyncio.sleep((STEP_MS + PREFILL_POSITION_MS * batch.positions) / 1000)
        for event in engine.commit(batch, output):
            match event:
                case FrameSpoken(words=words):
                    heard.words += words(event.pcm)
                    playback.receive()
                    heard.frames.append(event.pcm)
                case SegmentSpoken(segment=segment, words=words):
                    heard.words += words(None)
                    heard.segments.append(segment.text)
                    feeder.on_spoken(segment)
                case SilenceSpoken(silence=silence):
                    feeder.on_spoken(silence)
                case UtteranceEnded():
                    return True
        return False

    def leave() -> None:
        engine.cancel(utterance)
        feeder.close()
        changed.set()

    writer = asyncio.create_task(write())
    leaving = None if leaves_ms is None else loop.call_later(leaves_ms / 1000, leave)
    while True:
        changed.clear()
        batch = engine.schedule()
        if await step(batch):
            break
        if not batch and not changed.is_set():
            due_s = engine.next_due_s()
            timer = None if due_s is None else loop.call_later(due_s, changed.set)
            await changed.wait()
            if timer is not None:
                timer.cancel()
    if leaving is not None:
        leaving.cancel()
    writer.cancel()
    feeder.close()
    heard.retries = utterance.retries
    return heard
