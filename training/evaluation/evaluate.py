"""Stage 6: evaluate a checkpoint, `python -m training.evaluation.evaluate`. Writes JSON, a table and spectrograms.

The teachers are the synthesizer voices that the model was trained on. They read the same sentences, and the measures
are given for them too.
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
from training.data.speakers import SAMPLE_RATE_HZ, SPEAKERS, find_speaker
from training.evaluation import measures
from training.evaluation.asr_wer import most_missed_words, transcribe_all, word_error_rate, words_of
from training.evaluation.docs_tables import replace_table
from training.evaluation.evaluation_report import table, write_pictures
from training.evaluation.measures import Audio
from training.evaluation.synthesis import MODES, CheckpointSynthesizer, SynthesisMode
from training.evaluation.timbre import SpeakerClassifier

SENTENCES = Path(__file__).parent / "held_out.txt"
CLASSIFIER_SENTENCES = Path(__file__).parent / "practice.txt"  # training data of the speaker classifier
LENGTH_TOLERANCE = 0.15
TOO_LONG, TOO_SHORT = 1.6, 0.6  # relative to the teacher's duration


@dataclass(frozen=True, eq=False)
class EvaluationCase:
    """One sentence, the voice that reads it, and the teacher's audio."""

    text: str
    voice: str
    teacher: Audio


def read_cases(count: int) -> list[EvaluationCase]:
    """The first `count` evaluation sentences, with the voices in turn."""
    texts = SENTENCES.read_text(encoding="utf-8").splitlines()[:count]
    names = [one.name for one in SPEAKERS]
    voices = [names[index % len(names)] for index in range(len(texts))]
    return [EvaluationCase(text, voice, teacher_audio(voice, text)) for text, voice in zip(texts, voices, strict=True)]


def teacher_audio(voice: str, text: str) -> Audio:
    """The audio of the synthesizer voice that the model's voice was trained on."""
    return find_speaker(voice).synthesize(text).audio


class Evaluator:
    """Computes all measures of speech for a set of cases."""

    def __init__(self, cases: Sequence[EvaluationCase], processes: int) -> None:
        self._cases, self._processes = cases, processes
        self._texts = [case.text for case in cases]
        self._words = sorted({word for text in self._texts for word in words_of(text)})
        texts = CLASSIFIER_SENTENCES.read_text(encoding="utf-8").splitlines()
        examples = {one.name: [teacher_audio(one.name, text) for text in texts] for one in SPEAKERS}
        self.classifier = SpeakerClassifier(examples, SAMPLE_RATE_HZ)

    def measure(self, speech: Sequence[Audio]) -> dict[str, Any]:
        """Measures of speech at `SAMPLE_RATE_HZ`, one clip per case, that need no comparison with the teacher's."""
        english = transcribe_all(speech, SAMPLE_RATE_HZ, None, self._processes)
        by_sound = transcribe_all(speech, SAMPLE_RATE_HZ, self._words, self._processes)
        lengths = [
            measures.speech_s(audio, SAMPLE_RATE_HZ) / measures.speech_s(case.teacher, SAMPLE_RATE_HZ)
            for audio, case in zip(speech, self._cases, strict=True)
        ]
        voices = [
            self.classifier.classify(audio) == case.voice for audio, case in zip(speech, self._cases, strict=True)
        ]
        return {
            "word_error_rate": word_error_rate(self._texts, english),
            "word_error_rate_by_sound": word_error_rate(self._texts, by_sound),
            "length_right": float(np.mean([abs(length - 1) <= LENGTH_TOLERANCE for length in lengths])),
            "without_end": sum(bool(length > TOO_LONG) for length in lengths),
            "cut_short": sum(bool(length < TOO_SHORT) for length in lengths),
            "voice_right": float(np.mean(voices)),
            "mistakes": most_missed_words(self._texts, english),
        }

    def compare(self, speech: Sequence[Audio]) -> dict[str, float]:
        """Mean similarity to the teacher's speech."""
        similarities = [
            asdict(measures.compare(case.teacher, audio, SAMPLE_RATE_HZ))
            for audio, case in zip(speech, self._cases, strict=True)
        ]
        return {name: float(np.mean([each[name] for each in similarities])) for name in similarities[0]}


def evaluate_mode(
    config: Path, mode: SynthesisMode, cases: Sequence[EvaluationCase], evaluator: Evaluator
) -> tuple[dict[str, Any], list[Audio]]:
    synthesizer = CheckpointSynthesizer(config, mode)
    states = synthesizer.voices(sorted({case.voice for case in cases}))
    speech = synthesizer.synthesize_all([case.text for case in cases], [states[case.voice] for case in cases])
    return evaluator.measure(speech) | evaluator.compare(speech), speech


def measure_speed(config: Path, cases: Sequence[EvaluationCase]) -> dict[str, float]:
    """Speed for one listener: the real-time factor and the time to first audio. Each network runs on one core."""
    torch.set_num_threads(1)
    synthesizer = CheckpointSynthesizer(config, SynthesisMode("speed", precision="auto"))
    state = synthesizer.voices([cases[0].voice])[cases[0].voice]
    synthesizer.synthesize(state, cases[0].text)
    begun_s, audio_s, first_audio_ms = time.perf_counter(), 0.0, []
    for case in cases[:10]:
        requested_s = time.perf_counter()
        for index, frame in enumerate(synthesizer.model.generate_audio_stream(state, case.text, seed=1)):
            if not index:
                first_audio_ms.append(1000 * (time.perf_counter() - requested_s))
            audio_s += len(frame) / SAMPLE_RATE_HZ
    return {
        "times_real_time": audio_s / (time.perf_counter() - begun_s),
        "first_sound_ms": float(np.median(first_audio_ms)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Evaluate a checkpoint. Writes JSON, a table and spectrograms.")
    parser.add_argument("--config", type=Path, default=EMBEDDED / "config.yaml", help="config of the checkpoint")
    parser.add_argument("--out", type=Path, default=Path("evaluation"), help="folder for the JSON and the images")
    parser.add_argument("--table", type=Path, help="Markdown page whose table is updated (docs/embedded-voice.md)")
    parser.add_argument("--sentences", type=int, default=200, help="number of sentences")
    parser.add_argument("--ways", nargs="*", default=[mode.name for mode in MODES], help="synthesis modes")
    parser.add_argument("--processes", type=int, default=2, help="number of speech recognition processes")
    parser.add_argument("--quick", action="store_true", help="only word errors, durations and voices")
    args = parser.parse_args()
    cases = read_cases(args.sentences)
    measure = Evaluator(cases, args.processes)
    args.out.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {"sentences": len(cases), "teacher": measure.measure([case.teacher for case in cases])}
    _print_measures("teacher", result["teacher"])
    usual: list[Audio] = []
    for mode in MODES:
        if mode.name in args.ways:
            result[mode.name], speech = evaluate_mode(args.config, mode, cases, measure)
            usual = usual or speech
            _print_measures(mode.name, result[mode.name])
    if not args.quick:
        result["speed"] = measure_speed(args.config, cases)
        write_pictures(args.out, [(case.text, case.teacher, audio) for case, audio in zip(cases, usual, strict=True)])
    (args.out / "evaluation.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if args.table:
        replace_table(args.table, "measured", table(result))


def _print_measures(name: str, measured: dict[str, Any]) -> None:
    shown = {key: round(value, 3) for key, value in measured.items() if isinstance(value, float | int)}
    print(f"{name}: {shown}", flush=True)


if __name__ == "__main__":
    main()
