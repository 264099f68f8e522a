"""Measure the accuracy of word timestamps. Writes JSON, a table and charts.

    python -m training.evaluation.timestamp_accuracy

The model reads unseen sentences. Its reported timestamps, and estimated ones, are compared with a recognizer's forced
alignment of the same audio. The teachers' audio is also teacher-forced through the model: there the synthesizer's exact
times are known, which also gives the error of the forced alignment.
"""

import argparse
import json
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED
from training.data.neural_speakers import AnySpeaker
from training.data.speakers import WordMismatchError
from training.evaluation.docs_tables import replace_table
from training.evaluation.evaluate import CLASSIFIER_SENTENCES, SENTENCES, teachers_of
from training.evaluation.forced_alignment import ForcedAligner, Interval, synthesizer_intervals
from training.evaluation.judges import TEACHERS, voices_of_checkpoint
from training.evaluation.timestamp_accuracy_report import table, write_pictures
from training.evaluation.timestamped_synthesis import TimestampedSpeech, TimestampedSynthesizer

LARGE_ERROR_MS = 200.0
LEADS_MS = range(-60, 61, 5)

Errors = NDArray[np.float64]  # [words, 2]: of starts and of ends, in ms; positive if late


def errors(reported: Sequence[Interval], reference: Sequence[Interval]) -> Errors:
    return np.subtract(reported, reference)


def summary(by_sentence: Sequence[Errors]) -> dict[str, Any]:
    """Statistics over the words of all sentences."""
    errors_ms = np.concatenate(by_sentence)
    sides = {name: _side(errors_ms[:, index]) for index, name in enumerate(("starts", "ends"))}
    return {"sentences": len(by_sentence), "words": len(errors_ms), "mean_ms": float(np.abs(errors_ms).mean()), **sides}


def _side(errors_ms: NDArray[np.float64]) -> dict[str, float]:
    size_ms = np.abs(errors_ms)
    return {
        "mean_ms": float(size_ms.mean()),
        "median_ms": float(np.median(size_ms)),
        "p95_ms": float(np.percentile(size_ms, 95)),
        "bias_ms": float(errors_ms.mean()),
        "far": float(np.mean(size_ms > LARGE_ERROR_MS)),
    }


class TimestampEvaluator:
    def __init__(self, config: Path) -> None:
        self._synthesizer, self._aligner = TimestampedSynthesizer(config), ForcedAligner()
        self._teachers = TEACHERS[teachers_of(voices_of_checkpoint(config))]
        self.rate_hz = self._synthesizer.rate_hz

    def spoken(self, texts: Sequence[str]) -> list[tuple[TimestampedSpeech, list[Interval] | None]]:
        """Synthesize texts, with the voices in turn; the reference times are None if alignment fails."""
        speech = [self._synthesizer.synthesize(teacher.name, text) for teacher, text in self._with_teachers(texts)]
        return [(each, self._aligner.times(each.audio, self.rate_hz, each.spoken)) for each in speech]

    def out_of_vocabulary(self, speech: Sequence[TimestampedSpeech]) -> list[str]:
        """Words that are not in the recognizer's dictionary."""
        return sorted({word for each in speech for word in self._aligner.out_of_vocabulary(each.spoken)})

    def teacher_forced(self, texts: Sequence[str]) -> tuple[list[Errors], list[Errors]]:
        """Errors against the synthesizer's times: of the teacher-forced model, and of the forced alignment."""
        model_errors, recognizer_errors = [], []
        for teacher, text in self._with_teachers(texts):
            try:
                clip = teacher.synthesize(text)
            except WordMismatchError:  # it has no times for these words
                continue
            speech = self._synthesizer.teacher_force(teacher.name, text, clip.audio)
            reference = synthesizer_intervals(clip, len(speech.words))
            aligned = self._aligner.times(clip.audio, self.rate_hz, speech.spoken)
            if reference and aligned:
                model_errors.append(errors(speech.reported, reference))
                recognizer_errors.append(errors(aligned, reference))
        return model_errors, recognizer_errors

    def _with_teachers(self, texts: Sequence[str]) -> list[tuple[AnySpeaker, str]]:
        """Each text with the teacher of the voice that reads it, in turn."""
        return list(zip(cycle(self._teachers), texts, strict=False))

    def lead(self, texts: Sequence[str]) -> dict[str, float]:
        """The best `lead_ms` on separate sentences, and the mean errors with it and with the present one."""
        known = [(speech, reference) for speech, reference in self.spoken(texts) if reference]

        def mean_ms(lead_ms: float) -> float:
            return float(summary([errors(speech.times(lead_ms), reference) for speech, reference in known])["mean_ms"])

        best_ms = min(LEADS_MS, key=mean_ms)
        now_ms = self._synthesizer.lead_ms
        return {"now_ms": now_ms, "error_ms": mean_ms(now_ms), "best_ms": best_ms, "best_error_ms": mean_ms(best_ms)}


def measure(
    evaluator: TimestampEvaluator, texts: Sequence[str]
) -> tuple[dict[str, Any], list[tuple[TimestampedSpeech, list[Interval]]]]:
    """The results, and all sentences that could be aligned, with their reference times."""
    speech = evaluator.spoken(texts)
    known = [(each, times) for each, times in speech if times]
    reported = summary([errors(each.reported, times) for each, times in known])
    estimated = summary([errors(each.estimated, times) for each, times in known if each.estimated])
    model_errors, recognizer_errors = evaluator.teacher_forced(texts)
    result = {
        "sentences": len(texts),
        "not_aligned": [each.text for each, times in speech if times is None],
        "unknown_words": evaluator.out_of_vocabulary([each for each, _ in speech]),
        "told": reported,
        "estimated": estimated,
        "times_better": estimated["mean_ms"] / reported["mean_ms"],
        "teacher_forced": summary(model_errors),
        "recogniser": summary(recognizer_errors),
        "lead": evaluator.lead(CLASSIFIER_SENTENCES.read_text(encoding="utf-8").splitlines()),
    }
    return result, known


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the accuracy of word timestamps.")
    parser.add_argument("--config", type=Path, default=EMBEDDED / "config.yaml", help="config of the checkpoint")
    parser.add_argument("--sentences", type=int, default=100, help="number of sentences of held_out.txt")
    parser.add_argument("--out", type=Path, default=Path("word-timing"), help="folder for the JSON and the charts")
    parser.add_argument("--table", type=Path, help="Markdown page whose table is updated (docs/word-timing.md)")
    args = parser.parse_args()
    texts = SENTENCES.read_text(encoding="utf-8").splitlines()[: args.sentences]
    evaluator = TimestampEvaluator(args.config)
    result, known = measure(evaluator, texts)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "word-timing.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    write_pictures(args.out, known, evaluator.rate_hz)
    if args.table:
        replace_table(args.table, "measured", table(result))
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
