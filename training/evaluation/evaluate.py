"""Stage 6: how well a checkpoint speaks, `python -m training.evaluation.evaluate`: JSON, a table and pictures.

The teachers are the synthesizers' voices that the model learnt from. They read the same sentences, and every measure
is given for them too.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED
from training.data.speakers import SAMPLE_RATE, SPEAKERS, speaker
from training.evaluation import measures
from training.evaluation.asr_wer import hear_all, most_common_mistakes, word_error_rate, words_of
from training.evaluation.docs_tables import fill
from training.evaluation.evaluation_report import table, write_pictures
from training.evaluation.measures import Sound
from training.evaluation.spoken import WAYS, Spoken, Way
from training.evaluation.timbre import Classifier

SENTENCES = Path(__file__).parent / "held_out.txt"
PRACTICE = Path(__file__).parent / "practice.txt"  # what the classifier of voices learns from
LENGTH_WITHIN = 0.15
TOO_LONG, TOO_SHORT = 1.6, 0.6  # of the teacher's length: without end, cut short


@dataclass(frozen=True, eq=False)
class Case:
    """One sentence: who reads it, and how the teacher does."""

    text: str
    voice: str
    teacher: Sound


def read_cases(count: int) -> list[Case]:
    """The speakers take turns."""
    texts = SENTENCES.read_text(encoding="utf-8").splitlines()[:count]
    names = [one.name for one in SPEAKERS]
    voices = [names[place % len(names)] for place in range(len(texts))]
    return [Case(text, voice, taught(voice, text)) for text, voice in zip(texts, voices, strict=True)]


def taught(voice: str, text: str) -> Sound:
    """How the synthesizer says it."""
    return speaker(voice).speak(text).sound


class Judge:
    """Everything that is measured of speech for these cases."""

    def __init__(self, cases: Sequence[Case], processes: int) -> None:
        self._cases, self._processes = cases, processes
        self._texts = [case.text for case in cases]
        self._words = sorted({word for text in self._texts for word in words_of(text)})
        practice = PRACTICE.read_text(encoding="utf-8").splitlines()
        examples = {one.name: [taught(one.name, text) for text in practice] for one in SPEAKERS}
        self.classifier = Classifier(examples, SAMPLE_RATE)

    def judge(self, sounds: Sequence[Sound]) -> dict[str, Any]:
        """Of speech at `SAMPLE_RATE`, one for each case."""
        english = hear_all(sounds, SAMPLE_RATE, None, self._processes)
        by_sound = hear_all(sounds, SAMPLE_RATE, self._words, self._processes)
        lengths = [
            measures.spoken_s(sound, SAMPLE_RATE) / measures.spoken_s(case.teacher, SAMPLE_RATE)
            for sound, case in zip(sounds, self._cases, strict=True)
        ]
        voices = [self.classifier.who(sound) == case.voice for sound, case in zip(sounds, self._cases, strict=True)]
        return {
            "word_error_rate": word_error_rate(self._texts, english),
            "word_error_rate_by_sound": word_error_rate(self._texts, by_sound),
            "length_right": float(np.mean([abs(length - 1) <= LENGTH_WITHIN for length in lengths])),
            "without_end": sum(bool(length > TOO_LONG) for length in lengths),
            "cut_short": sum(bool(length < TOO_SHORT) for length in lengths),
            "voice_right": float(np.mean(voices)),
            "mistakes": most_common_mistakes(self._texts, english),
        }

    def compare(self, sounds: Sequence[Sound]) -> dict[str, float]:
        """Beside the teacher's."""
        alike = [
            asdict(measures.compare(case.teacher, sound, SAMPLE_RATE))
            for sound, case in zip(sounds, self._cases, strict=True)
        ]
        return {name: float(np.mean([each[name] for each in alike])) for name in alike[0]}


def evaluate_way(config: Path, way: Way, cases: Sequence[Case], judge: Judge) -> tuple[dict[str, Any], list[Sound]]:
    spoken = Spoken(config, way)
    states = spoken.voices(sorted({case.voice for case in cases}))
    sounds = spoken.say_all([case.text for case in cases], [states[case.voice] for case in cases])
    return judge.judge(sounds) | judge.compare(sounds), sounds


def speed(config: Path, cases: Sequence[Case]) -> dict[str, float]:
    """Of one listener: speech made in a second, and what the first sound takes. A pass of a network has a core."""
    torch.set_num_threads(1)
    spoken = Spoken(config, Way("speed", precision="auto"))
    state = spoken.voices([cases[0].voice])[cases[0].voice]
    spoken.say(state, cases[0].text)
    begun_s, made_s, firsts_ms = time.perf_counter(), 0.0, []
    for case in cases[:10]:
        asked_s = time.perf_counter()
        for place, frame in enumerate(spoken.model.generate_audio_stream(state, case.text, seed=1)):
            if not place:
                firsts_ms.append(1000 * (time.perf_counter() - asked_s))
            made_s += len(frame) / SAMPLE_RATE
    return {
        "times_real_time": made_s / (time.perf_counter() - begun_s),
        "first_sound_ms": float(np.median(firsts_ms)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=EMBEDDED / "config.yaml", help="of the checkpoint")
    parser.add_argument("--out", type=Path, default=Path("evaluation"), help="folder for the JSON and the pictures")
    parser.add_argument("--table", type=Path, help="the page whose table is written anew, docs/embedded-voice.md")
    parser.add_argument("--sentences", type=int, default=200, help="the first so many")
    parser.add_argument("--ways", nargs="*", default=[way.name for way in WAYS], help="of running it")
    parser.add_argument("--processes", type=int, default=2, help="that listen")
    parser.add_argument("--quick", action="store_true", help="word errors, lengths and voices alone")
    args = parser.parse_args()
    cases = read_cases(args.sentences)
    judge = Judge(cases, args.processes)
    args.out.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {"sentences": len(cases), "teacher": judge.judge([case.teacher for case in cases])}
    _tell("teacher", result["teacher"])
    usual: list[Sound] = []
    for way in WAYS:
        if way.name in args.ways:
            result[way.name], sounds = evaluate_way(args.config, way, cases, judge)
            usual = usual or sounds
            _tell(way.name, result[way.name])
    if not args.quick:
        result["speed"] = speed(args.config, cases)
        write_pictures(args.out, [(case.text, case.teacher, sound) for case, sound in zip(cases, usual, strict=True)])
    (args.out / "evaluation.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if args.table:
        fill(args.table, "measured", table(result))


def _tell(name: str, measured: dict[str, Any]) -> None:
    shown = {key: round(value, 3) for key, value in measured.items() if isinstance(value, float | int)}
    print(f"{name}: {shown}", flush=True)


if __name__ == "__main__":
    main()
