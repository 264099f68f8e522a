"""Measure the guard: word errors with and without it, and whether it sees what a recognizer hears.

    python -m training.evaluation.speech_faults --temperatures 0 0.3 0.7 --out build/speech_faults.jsonl

Prints one line of JSON for each temperature and kind of text. The listener is simulated: it plays in virtual time, of
which each step takes `STEP_MS`, so that the result does not depend on the machine.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED, find_checkpoint
from sayline_tts.engine.engine import Engine, FrameSpoken, SegmentSpoken
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.scheduling.playback_buffer import PlaybackPosition
from sayline_tts.engine.scheduling.utterance import Utterance
from sayline_tts.engine.text.chunk import TextChunk
from sayline_tts.engine.timing.word_time_estimator import WordTime
from training.evaluation.judges import TEXTS, Audio, JudgedClip, Judges, summarize
from training.trainer.training_run import append_json

STEP_MS = 20.0
LEAD_MS = 1000.0  # as the server's default


@dataclass(frozen=True, eq=False)
class Speech:
    """What was spoken of a text: its audio, the words that attention passed over, and frames that were made again."""

    audio: Audio
    missed: tuple[str, ...]
    frames: int
    retries: int


class GuardedSynthesizer:
    """Speaks texts for one listener at a time, as the server does."""

    def __init__(self, config: Path) -> None:
        self.model = Model.load(find_checkpoint(config=config))
        self._clock_ms = 0.0
        self._engine = Engine(self.model, 1, now_s=lambda: self._clock_ms / 1000)
        self._voices = {name: self.model.load_voice(name) for name in sorted(self.model.checkpoint.voices())}

    def synthesize(self, text: str, number: int, temperature: float, guarded: bool, seed: int) -> Speech:
        """Speak a text. The voices take turns by `number`."""
        voice = list(self._voices.values())[number % len(self._voices)]
        playback = PlaybackPosition()
        sampling = self.model.sampling(temperature, seed=seed)
        spoken = Utterance(voice, sampling, playback=playback, max_lead_ms=LEAD_MS, guarded=guarded)
        reader = self.model.reader()
        for chunk in reader.push(text) + reader.flush():
            if isinstance(chunk, TextChunk):
                spoken.add(self.model.segment(chunk.spoken, words=chunk.words))
        spoken.end()
        return self._listen(spoken, playback)

    def close(self) -> None:
        self._engine.close()

    def _listen(self, spoken: Utterance, playback: PlaybackPosition) -> Speech:
        self._engine.add(spoken)
        frames: list[Audio] = []
        times: list[WordTime] = []
        while not spoken.over:
            batch = self._engine.schedule()
            self._clock_ms += STEP_MS
            for event in self._engine.commit(batch, self._engine.run(batch) if batch else None):
                match event:
                    case FrameSpoken(words=words):
                        frames.append(event.pcm)
                        times += words(event.pcm)
                    case SegmentSpoken(words=words):
                        times += words(None)
            if frames:
                playback.played_ms = min(playback.played_ms + STEP_MS, spoken.produced_ms)
        missed = tuple(time.word.text for time in times if time.missed)
        return Speech(np.concatenate(frames), missed, len(frames), spoken.retries)


class FaultMeasure:
    """Judges speech, each clip once."""

    def __init__(self, judges: Judges) -> None:
        self._judges = judges
        self._judged: dict[bytes, JudgedClip] = {}

    def measure(self, texts: Sequence[str], speech: Sequence[Speech], rate_hz: int) -> dict[str, Any]:
        """Word errors, and the agreement of attention and recognizer about texts of which words were left out."""
        clips = [self._judge(text, each.audio, rate_hz) for text, each in zip(texts, speech, strict=True)]
        seen, heard = [bool(each.missed) for each in speech], [clip.longest_gap > 0 for clip in clips]
        return summarize(clips) | {
            "frames": sum(each.frames for each in speech),
            "retried_frames": sum(each.retries for each in speech),
            "texts_retried": sum(each.retries > 0 for each in speech),
            "missed_words": [(text, each.missed) for text, each in zip(texts, speech, strict=True) if each.missed],
            "texts_missed_by_attention": sum(seen),
            "texts_missed_by_recognizer": sum(heard),
            "texts_missed_by_both": sum(map(bool.__and__, seen, heard)),
        }

    def _judge(self, text: str, audio: Audio, rate_hz: int) -> JudgedClip:
        key = audio.tobytes()
        if key not in self._judged:
            self._judged[key] = self._judges.judge(text, audio, rate_hz, rated=False)
        return self._judged[key]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the guard by a recognizer.")
    parser.add_argument("--config", type=Path, default=EMBEDDED / "config.yaml", help="config of the checkpoint")
    parser.add_argument("--temperatures", type=float, nargs="+", default=[0, 0.3, 0.7])
    parser.add_argument("--sentences", type=int, default=40)
    parser.add_argument("--long", type=int, default=20, help="number of sentences of like clauses")
    parser.add_argument("--short", type=int, default=30, help="number of short replies")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="file to append one line of JSON per row to")
    options = parser.parse_args()
    torch.set_num_threads(1)
    synthesizer, measure = GuardedSynthesizer(options.config), FaultMeasure(Judges())
    for temperature in options.temperatures:
        for kind, path in TEXTS.items():
            texts = path.read_text(encoding="utf-8").splitlines()[: getattr(options, kind)]
            for guarded in (False, True):
                speech = [
                    synthesizer.synthesize(text, number, temperature, guarded, options.seed + number)
                    for number, text in enumerate(texts)
                ]
                row = {"temperature": temperature, "texts": kind, "guard": guarded}
                row |= measure.measure(texts, speech, synthesizer.model.sample_rate_hz)
                print(json.dumps(row), flush=True)
                if options.out:
                    append_json(options.out, row)
    synthesizer.close()


if __name__ == "__main__":
    main()
