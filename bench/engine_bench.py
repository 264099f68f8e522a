"""The engine from inside: what a step costs by the size of its batch. A process of its own, which prints JSON.

Only the engine's public face is used: `add`, `schedule`, `run`, `commit`. A run gives the latents of a step; their
sound comes from the codec some time later. So three times are taken:

- `flow_ms`: a run, while the codec rests; FlowLM and its head.
- `codec_ms`: from there until all frames of this step have their sound; the codec, while FlowLM rests.
- `step_ms`: the time of one step when both work side by side, as in the server. What counts.
"""

import argparse
import json
import logging
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from sayline_tts.bench.engine_times import WORDS_ROWS, EngineTimes, StepTime
from sayline_tts.bench.load.checkpoint import Staged, voice_sound
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
LAST_MS = 160.0  # a batch that takes longer than two frames is the last that is tried
PREFILL_ROWS = (1, 2, 4, 8)
TEXT = "We came down to the water and could see no more than a word of it. "
LEAD_MS = 400.0  # what each listener is held at: past the newcomers, far from having enough
STUCK_S = 30.0
PAIRS = 5
ANY_HEADS = AlignmentHeads(((1, 0), (2, 0)))
FRAMES = 1000  # of a segment: speech does not end while we measure


class EngineBench:
    """One engine; each measurement leaves it empty."""

    def __init__(self, model: Model, voice: Voice, slots: int) -> None:
        if model.heads is None:  # any are as dear as those that follow the text
            model = replace(model, checkpoint=replace(model.checkpoint, known_heads=ANY_HEADS))
        self._model, self._voice = model, voice
        self._engine = Engine(model, slots, apart=True)
        self._progress = threading.Event()
        self._engine.on_progress = self._progress.set

    def close(self) -> None:
        self._engine.close()

    def steps(self, rows: int, count: int, words: bool = False) -> StepTime:
        """Medians over `count` steps of a batch of `rows`, who want to know when their words are spoken, or not."""
        utterances = [self._speaker(number, words) for number in range(rows)]
        while any(utterance.produced_ms < 2 * LEAD_MS for utterance in utterances):  # they begin by and by
            self._sound(self._step())
        flow_ms, codec_ms = [], []
        for _ in range(count):
            start_s = time.perf_counter()
            frames = self._step()
            ran_s = time.perf_counter()
            self._sound(frames)
            flow_ms.append(1000 * (ran_s - start_s))
            codec_ms.append(1000 * (time.perf_counter() - ran_s))
            assert len(frames) == rows, f"{len(frames)} of {rows} rows stepped"
        start_s = time.perf_counter()
        self._sound(self._frames(rows * count))
        step_ms = 1000 * (time.perf_counter() - start_s) / count
        self._clear(utterances)
        return StepTime(rows, step_ms, statistics.median(flow_ms), statistics.median(codec_ms))

    def words_x(self, rows: int, count: int) -> float:
        """What words cost FlowLM: the median of some pairs, each with and without."""
        pairs = [[self.steps(rows, count, words).flow_ms for words in (False, True)] for _ in range(PAIRS)]
        return statistics.median(with_ms / without_ms for without_ms, with_ms in pairs)

    def prefill_ms(self, rows: int, count: int) -> float:
        """Until all of `rows` newcomers have their first frame's sound. Median of `count` times."""
        times_ms = []
        for _ in range(count):
            utterances = [self._speaker(number) for number in range(rows)]
            start_s = time.perf_counter()
            heard: set[Utterance] = set()
            while len(heard) < rows:
                frames = self._step()
                self._sound(frames)
                heard |= {frame.utterance for frame in frames}
            times_ms.append(1000 * (time.perf_counter() - start_s))
            self._clear(utterances)
        return statistics.median(times_ms)

    def alone_x(self, count: int) -> float:
        """How much faster than real time one listener's speech is made, its beginning included."""
        utterance = self._speaker(0)
        start_s = time.perf_counter()
        self._sound(self._frames(count))
        took_s = time.perf_counter() - start_s
        self._clear([utterance])
        return count * self._model.frame_ms / 1000 / took_s

    def _speaker(self, seed: int, words: bool = False) -> Utterance:
        """A listener who has `LEAD_MS` and never more, however much is made."""
        utterance = Utterance(
            self._voice,
            self._model.sampling(seed=seed),
            frame_ms=self._model.frame_ms,
            played_ms=lambda: max(0.0, utterance.produced_ms - LEAD_MS),
        )
        asked = [Word(word, 0, 0, word) for word in TEXT.split()] if words else []
        utterance.add(_endless(self._model.segment(TEXT, words=asked)))
        utterance.end()
        self._engine.add(utterance)
        return utterance

    def _frames(self, count: int) -> list[FrameSpoken]:
        """So many, or a few more: as fast as they come, with both networks side by side."""
        frames: list[FrameSpoken] = []
        while len(frames) < count:
            frames += self._step()
        return frames

    def _step(self) -> list[FrameSpoken]:
        self._progress.clear()
        while not (batch := self._engine.schedule()):  # the codec is behind
            assert self._progress.wait(STUCK_S), "somebody speaks and nobody may step"
            self._progress.clear()
        output = self._engine.run(batch)
        return [event for event in self._engine.commit(batch, output) if isinstance(event, FrameSpoken)]

    def _sound(self, frames: Sequence[FrameSpoken]) -> None:
        for frame in frames:
            frame.sound.result()

    def _clear(self, utterances: Sequence[Utterance]) -> None:
        for utterance in utterances:
            self._engine.cancel(utterance)
        self._engine.commit(Batch(()), None)


def _endless(segment: Segment) -> Segment:
    return replace(segment, max_frames=FRAMES)


def measure_engine(staged: Staged, quick: bool, tell: Callable[[str], None]) -> EngineTimes:
    """Makes the voice too, where `staged` wants one. Raises `InputError`."""
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
        tell(f"a step of {rows} listeners: {steps[-1].step_ms:.1f} ms")
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


def _voice(model: Model, staged: Staged, count: int) -> tuple[Voice, float | None]:
    """The voice to speak with, and how long it took to encode one of 5 s, if this model can."""
    if not model.checkpoint.can_clone:
        return model.load_voice(model.checkpoint.default_voice), None
    times_s = []
    for _ in range(count):
        start_s = time.perf_counter()
        voice = model.encode_voice(voice_sound(rate_hz=model.sample_rate_hz))
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
        Staged(options.variant, options.config), options.quick, lambda line: print(line, file=sys.stderr, flush=True)
    )
    print(json.dumps(asdict(times)))


if __name__ == "__main__":
    main()
