"""Measure speech for a text that is still being written: time to first audio, word errors, ratings, cost.

    python -m sayline_tts.bench.writer.measure --out build/writer.jsonl --table docs/growing-text.md

Prints one line of JSON per case. Word errors and ratings need the packages of `training/evaluation/judges.py`; without
`--judge` they are left out.
"""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sayline_tts.bench.writer.pieces import LONG_SENTENCES, Piece, tokens_of, words_of
from sayline_tts.bench.writer.slow_writer import Heard, listen
from sayline_tts.bench.writer.virtual_time import run
from sayline_tts.engine.checkpoint.checkpoint import find_checkpoint
from sayline_tts.engine.engine import Engine
from sayline_tts.engine.models.model import Model
from sayline_tts.server.settings import Settings
from sayline_tts.server.synthesis.text_options import TextOptions

TEXTS = Path(__file__).resolve().parents[2] / "training" / "evaluation" / "held_out.txt"


@dataclass(frozen=True)
class Case:
    """How a text is written: `pace` pieces a second, tokens or words; 0: all at once."""

    lookahead_words: int
    pace: float
    tokens: bool = False

    def pieces(self, text: str) -> list[Piece]:
        if not self.pace:
            return [Piece(text, 0.0)]
        return tokens_of(text, self.pace) if self.tokens else words_of(text, self.pace)

    def __str__(self) -> str:
        pace = f"{self.pace:g} {'tokens' if self.tokens else 'words'} a second" if self.pace else "whole text"
        return f"{self.lookahead_words} words ahead, {pace}"


class WriterBench:
    """A model that speaks texts for one listener at a time."""

    def __init__(self, variant: str, precision: str, temperature: float | None) -> None:
        torch.set_num_threads(1)
        self.model = Model.load(find_checkpoint(variant), precision=precision)
        names = self.model.checkpoint.voices()
        self.voices = {name: self.model.load_voice(name) for name in names}
        self._temperature = temperature
        self._clock: list[asyncio.AbstractEventLoop] = []
        self._engine = Engine(self.model, 1, now_s=lambda: self._clock[-1].time())

    def speak(self, case: Case, voice: str, text: str) -> Heard:
        async def main() -> Heard:
            self._clock.append(asyncio.get_running_loop())
            options = TextOptions(lookahead_words=case.lookahead_words)
            sampling = self.model.sampling(self._temperature, seed=1)
            return await listen(self._engine, self.voices[voice], sampling, case.pieces(text), options, Settings())

        return run(main())

    def close(self) -> None:
        self._engine.close()


def first_audio(bench: WriterBench, case: Case) -> dict[str, Any]:
    """Time from the first token to the first audio, for long sentences."""
    heard = [bench.speak(case, "clara", text) for text in LONG_SENTENCES]
    return {
        "case": str(case),
        "first_audio_ms": statistics.median(each.first_audio_ms for each in heard),
        "stalled_ms": statistics.mean(each.stalled_ms for each in heard),
    }


def quality(bench: WriterBench, case: Case, texts: Sequence[str]) -> dict[str, Any]:
    """Word errors, ratings and CPU time for the same sentences however they are written."""
    from training.evaluation.judges import Judges, SpeechSource

    heard: list[Heard] = []
    cpu_s = [0.0]

    def synthesize(voice: str, text: str) -> NDArray[np.float32]:
        start_s = time.process_time()
        heard.append(bench.speak(case, voice, text))
        cpu_s[0] += time.process_time() - start_s
        return heard[-1].audio

    source = SpeechSource(sorted(bench.voices), synthesize, bench.model.sample_rate_hz)
    judged = Judges().measure(source, texts)
    frames = sum(len(each.frames) for each in heard)
    return (
        {"case": str(case)}
        | judged
        | {
            "frames": frames,
            "extensions": sum(each.extensions for each in heard),
            "extended_positions": sum(each.extended_positions for each in heard),
            "stalled_ms": round(statistics.mean(each.stalled_ms for each in heard)),
            "cpu_s_per_s": round(cpu_s[0] / (frames * bench.model.frame_ms / 1000), 4),
        }
    )


def cases(lookahead_words: Sequence[int], paces: Sequence[float], tokens: bool) -> Iterator[Case]:
    for pace in paces:
        yield from (Case(words, pace, tokens) for words in lookahead_words)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure speech for a text that is still being written.")
    parser.add_argument("--variant", default="embedded")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--temperature", type=float, help="default: the model's")
    parser.add_argument("--lookahead-words", type=int, nargs="+", default=[0, 2, 3])
    parser.add_argument("--tokens-a-second", type=float, nargs="*", default=[4, 8, 20])
    parser.add_argument(
        "--words-a-second", type=float, nargs="*", default=[0, 8, 4], help="for --judge; 0: all at once"
    )
    parser.add_argument("--judge", action="store_true", help="measure word errors and ratings too")
    parser.add_argument("--sentences", type=int, default=200, help="that are judged")
    parser.add_argument("--out", type=Path, help="file to append one line of JSON per case to")
    options = parser.parse_args()
    bench = WriterBench(options.variant, options.precision, options.temperature)
    texts = TEXTS.read_text(encoding="utf-8").splitlines()[: options.sentences]

    def report(measured: dict[str, Any]) -> None:
        print(json.dumps(measured), flush=True)
        if options.out:
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(measured) + "\n")

    for case in cases(options.lookahead_words, options.tokens_a_second, tokens=True):
        report(first_audio(bench, case))
    if options.judge:
        for case in cases(options.lookahead_words, options.words_a_second, tokens=False):
            report(quality(bench, case, texts))
    bench.close()


if __name__ == "__main__":
    main()
