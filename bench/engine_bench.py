"""Measure the engine without a server: the cost of a step by batch size. Run as a process; prints JSON.

Only the engine's public API is used: `add`, `schedule`, `run`, `commit`. A run generates the latents of a step; Mimi
decodes them later. So three times are measured:

- `flow_ms`: a run while Mimi is idle: FlowLM and its head.
- `codec_ms`: from there until all frames of the step are decoded, while FlowLM is idle.
- `step_ms`: the time of a step when both run concurrently, as in the server. This is the figure that counts.
"""

import argparse
import json
import logging
import math
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from sayline_tts.bench.engine_times import WORDS_ROWS, EngineTimes, StepTime
from sayline_tts.bench.load.checkpoint import StagedCheckpoint, voice_audio
from sayline_tts.engine.checkpoint.alignment_heads import AlignmentHeads
from sayline_tts.engine.checkpoint.checkpoint import find_checkpoint
from sayline_tts.engine.engine import Engine, FrameSpoken
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.scheduler import Batch
from sayline_tts.engine.scheduling.utterance import Utterance
from sayline_tts.engine.segment import Segment
from sayline_tts.engine.text.chunk import Word
from sayline_tts.server.settings import Settings

SIZES = (1, 2, 4, 8, 12, 16, 24, 32, 40, 48, 64, 96, 128, 192, 256)
QUICK_SIZES = (1, 2, 4)
LAST_MS = 160.0  # stop after a batch that takes longer than two frames
PREFILL_ROWS = (1, 2, 4, 8)
TEXT = "We came down to the water and could see no more than a word of it. "
LEAD_MS = 400.0  # of each utterance: past first audio, well below the low-water mark
STUCK_S = 30.0
PAIRS = 5
ANY_HEADS = AlignmentHeads(((1, 0), (2, 0)))
FRAMES = 1000  # of a segment: speech must not end during a measurement


class EngineBench:
    """One engine; each measurement leaves it without utterances."""

    def __init__(self, model: Model, voice: Voice, slots: int) -> None:
        if model.heads is None:  # any heads cost the same
            model = replace(model, checkpoint=replace(model.checkpoint, known_heads=ANY_HEADS))
        self._model, self._voice = model, voice
        self._engine = Engine(model, slots, decode_in_processes=True)
        self._progress = threading.Event()
        self._engine.on_progress = self._progress.set

    def close(self) -> None:
        self._engine.close()

    def steps(self, rows: int, count: int, words: bool = False) -> StepTime:
        """Return medians over `count` steps of a batch of `rows`, with or without word timestamps."""
        utterances = [self._add_utterance(number, words) for number in range(rows)]
        while any(
            utterance.produced_ms < 2 * LEAD_MS for utterance in utterances
        ):  # prefills are admitted one after another
            self._wait_for_audio(self._step())
        flow_ms, codec_ms = [], []
        for _ in range(count):
            start_s = time.perf_counter()
            frames = self._step()
            ran_s = time.perf_counter()
            self._wait_for_audio(frames)
            flow_ms.append(1000 * (ran_s - start_s))
            codec_ms.append(1000 * (time.perf_counter() - ran_s))
            assert len(frames) == rows, f"{len(frames)} of {rows} rows stepped"
        start_s = time.perf_counter()
        self._wait_for_audio(self._frames(rows * count))
        step_ms = 1000 * (time.perf_counter() - start_s) / count
        self._clear(utterances)
        return StepTime(rows, step_ms, statistics.median(flow_ms), statistics.median(codec_ms))

    def words_x(self, rows: int, count: int) -> float:
        """Return the relative cost of word timestamps in FlowLM: the median of pairs with and without."""
        pairs = [[self.steps(rows, count, words).flow_ms for words in (False, True)] for _ in range(PAIRS)]
        return statistics.median(with_ms / without_ms for without_ms, with_ms in pairs)

    def prefill_ms(self, rows: int, count: int) -> float:
        """Return the median time until `rows` new utterances have their first audio."""
        times_ms = []
        for _ in range(count):
            utterances = [self._add_utterance(number) for number in range(rows)]
            start_s = time.perf_counter()
            served: set[Utterance] = set()
            while len(served) < rows:
                frames = self._step()
                self._wait_for_audio(frames)
                served |= {frame.utterance for frame in frames}
            times_ms.append(1000 * (time.perf_counter() - start_s))
            self._clear(utterances)
        return statistics.median(times_ms)

    def alone_x(self, count: int) -> float:
        """Return the speed of a single utterance, prefill included, relative to real time."""
        utterance = self._add_utterance(0)
        start_s = time.perf_counter()
        self._wait_for_audio(self._frames(count))
        took_s = time.perf_counter() - start_s
        self._clear([utterance])
        return count * self._model.frame_ms / 1000 / took_s

    def _add_utterance(self, seed: int, words: bool = False) -> Utterance:
        """Add an utterance whose lead never exceeds `LEAD_MS`, however much is generated."""
        clock = _ConstantLead()
        utterance = Utterance(
            self._voice, self._model.sampling(seed=seed), frame_ms=self._model.frame_ms, playback=clock
        )
        clock.utterance = utterance
        asked = [Word(word, 0, 0, word) for word in TEXT.split()] if words else []
        utterance.add(_endless(self._model.segment(TEXT, words=asked)))
        utterance.end()
        self._engine.add(utterance)
        return utterance

    def _frames(self, count: int) -> list[FrameSpoken]:
        """Generate at least `count` frames, as fast as possible, with both networks running concurrently."""
        frames: list[FrameSpoken] = []
        while len(frames) < count:
            frames += self._step()
        return frames

    def _step(self) -> list[FrameSpoken]:
        self._progress.clear()
        while not (batch := self._engine.schedule()):  # Mimi is behind
            assert self._progress.wait(STUCK_S), "an utterance is active, but no row may step"
            self._progress.clear()
        output = self._engine.run(batch)
        return [event for event in self._engine.commit(batch, output) if isinstance(event, FrameSpoken)]

    def _wait_for_audio(self, frames: Sequence[FrameSpoken]) -> None:
        for frame in frames:
            frame.audio.result()

    def _clear(self, utterances: Sequence[Utterance]) -> None:
        for utterance in utterances:
            self._engine.cancel(utterance)
        self._engine.commit(Batch(()), None)


class _ConstantLead:
    """A playback clock of a listener that has at most `LEAD_MS` of audio, however much is generated."""

    utterance: Utterance
    sent_ms = math.inf

    @property
    def played_ms(self) -> float:
        return max(0.0, self.utterance.produced_ms - LEAD_MS)


def _endless(segment: Segment) -> Segment:
    return replace(segment, max_frames=FRAMES)


def measure_engine(staged: StagedCheckpoint, quick: bool, report_progress: Callable[[str], None]) -> EngineTimes:
    """Measure, and make the voice if `staged` needs one. Raises `InputError`."""
    settings = Settings.load(**staged.settings)
    torch.set_num_threads(settings.threads)  # as the server does
    start_s = time.perf_counter()
    model = Model.load(find_checkpoint(settings.variant, settings.config), settings.device, settings.precision)
    load_s = time.perf_counter() - start_s
    voice, voice_s = _voice(model, staged, count=1 if quick else 3)
    count = 4 if quick else 25
    bench = EngineBench(model, voice, max(SIZES))
    steps: list[StepTime] = []
    for rows in QUICK_SIZES if quick else SIZES:
        steps.append(bench.steps(rows, count))
        report_progress(f"a step of {rows} listeners: {steps[-1].step_ms:.1f} ms")
        if steps[-1].step_ms > LAST_MS:
            break
    prefill_ms = {rows: bench.prefill_ms(rows, 1 if quick else 5) for rows in PREFILL_ROWS}
    alone_x = bench.alone_x(10 if quick else 150)
    words_x = bench.words_x(2 if quick else WORDS_ROWS, count)
    bench.close()
    return EngineTimes(
        model.checkpoint.name,
        model.precision.value,
        torch.get_num_threads(),
        load_s,
        voice_s,
        tuple(steps),
        prefill_ms,
        alone_x,
        words_x,
    )


def _voice(model: Model, staged: StagedCheckpoint, count: int) -> tuple[Voice, float | None]:
    """Return a voice, and the time to encode one of 5 s, if the model can clone."""
    if not model.checkpoint.can_clone:
        return model.load_voice(model.checkpoint.default_voice), None
    times_s = []
    for _ in range(count):
        start_s = time.perf_counter()
        voice = model.encode_voice(voice_audio(rate_hz=model.sample_rate_hz))
        times_s.append(time.perf_counter() - start_s)
    if staged.voice_file is not None:
        voice.save(staged.voice_file)
    return voice, statistics.median(times_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--variant", default="auto")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    times = measure_engine(
        StagedCheckpoint(options.variant, options.config),
        options.quick,
        lambda line: print(line, file=sys.stderr, flush=True),
    )
    print(json.dumps(asdict(times)))


if __name__ == "__main__":
    main()
