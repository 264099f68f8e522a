"""Stage 6: evaluate a checkpoint, `python -m training.evaluation.evaluate`. Writes JSON, tables and spectrograms.

The teachers are the synthesizer voices that the model was trained on. They read the same texts, and the measures are
given for them too, and for the teachers of other checkpoints as far as their synthesizers are installed.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED
from training.data.neural_speakers import AnySpeaker
from training.data.speakers import SAMPLE_RATE_HZ
from training.evaluation import measures
from training.evaluation.docs_tables import replace_table
from training.evaluation.evaluation_report import table, write_pictures
from training.evaluation.judges import (
    TEACHERS,
    TEXTS,
    Judges,
    SpeechSource,
    checkpoint_source,
    speech_source,
    summarize,
    voices_of_checkpoint,
)
from training.evaluation.measures import Audio
from training.evaluation.synthesis import MODES, CheckpointSynthesizer, SynthesisMode
from training.evaluation.timbre import SpeakerClassifier

SENTENCES = TEXTS["sentences"]
CLASSIFIER_SENTENCES = Path(__file__).parent / "practice.txt"  # training data of the speaker classifier
LENGTH_TOLERANCE = 0.15
TOO_LONG, TOO_SHORT = 1.6, 0.6  # relative to the teacher's duration
COMPARED = ("flite", "hibari")  # generations of teachers


@dataclass(frozen=True, eq=False)
class EvaluationCase:
    """One sentence, the voice that reads it, and the teacher's audio."""

    text: str
    voice: str
    teacher: Audio


class _Classifier(Protocol):
    def classify(self, audio: Audio) -> str: ...


def teachers_of(voices: Sequence[str]) -> str:
    """The generation of teachers with the names of a checkpoint's voices. Raises `ValueError`."""
    for name in COMPARED:
        if {one.name for one in TEACHERS[name]} == set(voices):
            return name
    raise ValueError(f"no teachers have the names of the checkpoint's voices ({', '.join(voices)})")


def read_cases(count: int, teachers: Sequence[AnySpeaker]) -> list[EvaluationCase]:
    """The first `count` evaluation sentences, with the voices in turn."""
    texts = SENTENCES.read_text(encoding="utf-8").splitlines()[:count]
    speakers = [teachers[index % len(teachers)] for index in range(len(texts))]
    return [
        EvaluationCase(text, speaker.name, speaker.synthesize(text).audio)
        for text, speaker in zip(texts, speakers, strict=True)
    ]


def speaker_classifier(teachers: Sequence[AnySpeaker]) -> _Classifier:
    """By speaker embeddings or, if Resemblyzer is not installed, by spectra."""
    texts = CLASSIFIER_SENTENCES.read_text(encoding="utf-8").splitlines()
    examples: Mapping[str, Sequence[Audio]] = {
        one.name: [one.synthesize(text).audio for text in texts] for one in teachers
    }
    if not (find_spec("resemblyzer") and find_spec("librosa")):
        return SpeakerClassifier(examples, SAMPLE_RATE_HZ)
    from training.evaluation.speaker_embedding import EmbeddingClassifier

    return EmbeddingClassifier(examples, SAMPLE_RATE_HZ)


class Evaluator:
    """Computes all measures of speech for a set of cases."""

    def __init__(self, cases: Sequence[EvaluationCase], judges: Judges, classifier: _Classifier) -> None:
        self._cases, self._judges, self._classifier = cases, judges, classifier

    def measure(self, speech: Sequence[Audio]) -> dict[str, Any]:
        """Measures of speech at `SAMPLE_RATE_HZ`, one clip per case."""
        judged = [
            self._judges.judge(case.text, audio, SAMPLE_RATE_HZ)
            for audio, case in zip(speech, self._cases, strict=True)
        ]
        lengths = [
            measures.speech_s(audio, SAMPLE_RATE_HZ) / measures.speech_s(case.teacher, SAMPLE_RATE_HZ)
            for audio, case in zip(speech, self._cases, strict=True)
        ]
        voices = [
            self._classifier.classify(audio) == case.voice for audio, case in zip(speech, self._cases, strict=True)
        ]
        return summarize(judged) | {
            "length_right": float(np.mean([abs(length - 1) <= LENGTH_TOLERANCE for length in lengths])),
            "without_end": sum(bool(length > TOO_LONG) for length in lengths),
            "cut_short": sum(bool(length < TOO_SHORT) for length in lengths),
            "voice_right": float(np.mean(voices)),
            "misrecognized": [(clip.text, clip.transcript) for clip in judged if clip.errors],
        }


def evaluate_mode(
    config: Path, mode: SynthesisMode, cases: Sequence[EvaluationCase], evaluator: Evaluator
) -> tuple[dict[str, Any], list[Audio]]:
    synthesizer = CheckpointSynthesizer(config, mode)
    states = synthesizer.voices(sorted({case.voice for case in cases}))
    speech = synthesizer.synthesize_all([case.text for case in cases], [states[case.voice] for case in cases])
    return evaluator.measure(speech), speech


def measure_texts(judges: Judges, sources: Mapping[str, SpeechSource], count: int) -> dict[str, Any]:
    """Texts that small models fail on: single words, and sentences of similar clauses."""
    texts = {name: TEXTS[name].read_text(encoding="utf-8").splitlines()[:count] for name in ("short", "long")}
    return {
        name: {row: judges.measure(source, lines, rated=False) for row, source in sources.items()}
        for name, lines in texts.items()
    }


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
    parser = argparse.ArgumentParser(description="Evaluate a checkpoint. Writes JSON, tables and spectrograms.")
    parser.add_argument("--config", type=Path, default=EMBEDDED / "config.yaml", help="config of the checkpoint")
    parser.add_argument("--out", type=Path, default=Path("evaluation"), help="folder for the JSON and the images")
    parser.add_argument("--table", type=Path, help="Markdown page whose tables are updated (docs/embedded-voice.md)")
    parser.add_argument("--sentences", type=int, default=200, help="number of sentences")
    parser.add_argument("--texts", type=int, default=50, help="number of single words and of like clauses")
    parser.add_argument("--ways", nargs="*", default=[mode.name for mode in MODES], help="synthesis modes")
    parser.add_argument("--quick", action="store_true", help="only the sentences, and no comparison")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    own = teachers_of(voices_of_checkpoint(args.config))
    teachers, judges = TEACHERS[own], Judges()
    cases = read_cases(args.sentences, teachers)
    evaluator = Evaluator(cases, judges, speaker_classifier(teachers))
    result: dict[str, Any] = {"sentences": len(cases), "recognizer": judges.recognizer.name, "rows": {}}
    rows = result["rows"]

    def write_result() -> None:  # after each row, since all of them take an hour
        (args.out / "evaluation.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        print(table(result), flush=True)

    rows[f"teachers ({own})"] = evaluator.measure([case.teacher for case in cases])
    write_result()
    usual: list[Audio] = []
    for mode in MODES:
        if mode.name in args.ways:
            rows[mode.name], speech = evaluate_mode(args.config, mode, cases, evaluator)
            usual = usual or speech
            write_result()
    if not args.quick:
        texts = [case.text for case in cases]
        for name in COMPARED:
            if name != own and (name != "hibari" or find_spec("hibari")):
                rows[f"{name}, for comparison"] = judges.measure(speech_source(name, args.config), texts)
                write_result()
        voices = [one.name for one in teachers]
        sources = {
            f"teachers ({own})": speech_source(own, args.config),
            "usual": checkpoint_source(args.config, MODES[0], voices),
        }
        result |= measure_texts(judges, sources, args.texts)
        result["speed"] = measure_speed(args.config, cases)
        result["megabytes"] = sum(file.stat().st_size for file in args.config.parent.rglob("*") if file.is_file()) / 1e6
        write_result()
        write_pictures(args.out, [(case.text, case.teacher, audio) for case, audio in zip(cases, usual, strict=True)])
    if args.table:
        replace_table(args.table, "measured", table(result))


if __name__ == "__main__":
    main()
