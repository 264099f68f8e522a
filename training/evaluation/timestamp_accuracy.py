"""How true are the times of words that a checkpoint tells? `python -m training.evaluation.timestamp_accuracy`: JSON, a table, pictures.

The model speaks sentences that no training saw. What it tells of their words, and what would be estimated of them, is
held against a recogniser's times in the same audio (forced alignment). The teachers' audio goes through the model too,
where the synthesizer's own times are known; these also say how far the recogniser itself is off.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED
from training.data.speakers import SPEAKERS, speaker
from training.evaluation.docs_tables import fill
from training.evaluation.evaluate import PRACTICE, SENTENCES
from training.evaluation.spoken_words import SpokenWords, WordSpeaker
from training.evaluation.timestamp_accuracy_report import table, write_pictures
from training.evaluation.word_times import ForcedAligner, Time, flite_times

FAR_MS = 200.0
LEADS_MS = range(-60, 61, 5)

Errors = NDArray[np.float64]  # [words, 2]: of starts and of ends, ms; later than in truth is more than 0


def errors(told: Sequence[Time], truth: Sequence[Time]) -> Errors:
    return np.subtract(told, truth)


def summary(of_sentences: Sequence[Errors]) -> dict[str, Any]:
    """Of all words together."""
    off_ms = np.concatenate(of_sentences)
    sides = {name: _side(off_ms[:, place]) for place, name in enumerate(("starts", "ends"))}
    return {"sentences": len(of_sentences), "words": len(off_ms), "mean_ms": float(np.abs(off_ms).mean()), **sides}


def _side(off_ms: NDArray[np.float64]) -> dict[str, float]:
    size_ms = np.abs(off_ms)
    return {
        "mean_ms": float(size_ms.mean()),
        "median_ms": float(np.median(size_ms)),
        "p95_ms": float(np.percentile(size_ms, 95)),
        "bias_ms": float(off_ms.mean()),
        "far": float(np.mean(size_ms > FAR_MS)),
    }


class Truth:
    def __init__(self, config: Path) -> None:
        self._speaker, self._aligner = WordSpeaker(config), ForcedAligner()
        self.rate_hz = self._speaker.rate_hz

    def spoken(self, texts: Sequence[str]) -> list[tuple[SpokenWords, list[Time] | None]]:
        """By the model, the voices in turn; with true times, where they can be known."""
        said = [self._speaker.say(voice, text) for voice, text in _by_turns(texts)]
        return [(each, self._aligner.times(each.sound, self.rate_hz, each.spoken)) for each in said]

    def unknown(self, said: Sequence[SpokenWords]) -> list[str]:
        """Words that are not in the recogniser's dictionary."""
        return sorted({word for each in said for word in self._aligner.unknown(each.spoken)})

    def taught(self, texts: Sequence[str]) -> tuple[list[Errors], list[Errors]]:
        """Against the synthesizer's own times: of its audio through the model, and of the recogniser."""
        of_model, of_recogniser = [], []
        for voice, text in _by_turns(texts):
            clip = speaker(voice).speak(text)
            said = self._speaker.repeat(voice, text, clip.sound)
            truth = flite_times(clip, len(said.words))
            heard = self._aligner.times(clip.sound, self.rate_hz, said.spoken)
            if truth and heard:
                of_model.append(errors(said.told, truth))
                of_recogniser.append(errors(heard, truth))
        return of_model, of_recogniser

    def lead(self, texts: Sequence[str]) -> dict[str, float]:
        """Which `lead_ms` would be best for sentences that nothing else is measured on?"""
        known = [(said, truth) for said, truth in self.spoken(texts) if truth]

        def mean_ms(lead_ms: float) -> float:
            return float(summary([errors(said.times(lead_ms), truth) for said, truth in known])["mean_ms"])

        best_ms = min(LEADS_MS, key=mean_ms)
        now_ms = self._speaker.lead_ms
        return {"now_ms": now_ms, "error_ms": mean_ms(now_ms), "best_ms": best_ms, "best_error_ms": mean_ms(best_ms)}


def _by_turns(texts: Sequence[str]) -> list[tuple[str, str]]:
    """With the voice that speaks it."""
    return [(SPEAKERS[place % len(SPEAKERS)].name, text) for place, text in enumerate(texts)]


def measure(truth: Truth, texts: Sequence[str]) -> tuple[dict[str, Any], list[tuple[SpokenWords, list[Time]]]]:
    """And all sentences whose times are known."""
    said = truth.spoken(texts)
    known = [(each, times) for each, times in said if times]
    told = summary([errors(each.told, times) for each, times in known])
    estimated = summary([errors(each.estimated, times) for each, times in known if each.estimated])
    of_model, of_recogniser = truth.taught(texts)
    result = {
        "sentences": len(texts),
        "not_aligned": [each.text for each, times in said if times is None],
        "unknown_words": truth.unknown([each for each, _ in said]),
        "told": told,
        "estimated": estimated,
        "times_better": estimated["mean_ms"] / told["mean_ms"],
        "teacher_forced": summary(of_model),
        "recogniser": summary(of_recogniser),
        "lead": truth.lead(PRACTICE.read_text(encoding="utf-8").splitlines()),
    }
    return result, known


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=EMBEDDED / "config.yaml", help="of the checkpoint")
    parser.add_argument("--sentences", type=int, default=100, help="the first so many of held_out.txt")
    parser.add_argument("--out", type=Path, default=Path("word-timing"), help="folder for the JSON and the pictures")
    parser.add_argument("--table", type=Path, help="the page whose table is written anew, docs/word-timing.md")
    args = parser.parse_args()
    texts = SENTENCES.read_text(encoding="utf-8").splitlines()[: args.sentences]
    truth = Truth(args.config)
    result, known = measure(truth, texts)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "word-timing.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    write_pictures(args.out, known, truth.rate_hz)
    if args.table:
        fill(args.table, "measured", table(result))
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
