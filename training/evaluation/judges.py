"""Measure speech: word errors (`recognition`) and predicted opinion scores (DNSMOS, if it is installed).

    python -m training.evaluation.judges --sentences 40 --sources embedded flite hibari joe --out judges.jsonl

Prints one line of JSON per source: a checkpoint, the flite voices, or a neural teacher.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED
from training.data import neural_speakers, speakers
from training.evaluation.recognition import Recognizer, find_recognizer
from training.evaluation.synthesis import CheckpointSynthesizer, SynthesisMode
from training.evaluation.transcripts import longest_gap, normalized_words, word_errors
from training.trainer.training_run import append_json

if TYPE_CHECKING:  # imported where they are used, since their packages are optional
    from training.evaluation.dnsmos import Dnsmos, Rating

TEXTS = {
    "sentences": Path(__file__).parent / "held_out.txt",
    "short": Path(__file__).parent / "held_out_short.txt",  # mostly one word each
    "long": Path(__file__).parent / "held_out_long.txt",  # similar clauses, one of which is easily skipped
}
CLAUSE_WORDS = 3  # this many consecutive missing words count as a skipped clause
SOURCES = ("embedded", "flite", "hibari", "joe")

Audio = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SpeechSource:
    """A system under test: `synthesize(voice, text)` returns audio. The voices read the texts in turn."""

    voices: Sequence[str]
    synthesize: Callable[[str, str], Audio]
    rate_hz: int


@dataclass(frozen=True)
class JudgedClip:
    """The measures of one text."""

    text: str
    transcript: str
    words: int
    errors: int
    longest_gap: int  # in words
    rating: "Rating | None" = None  # None: DNSMOS is not installed


class Judges:
    """The recognizer and DNSMOS, with one thread each. DNSMOS is left out if it is not installed."""

    def __init__(self) -> None:
        self.recognizer: Recognizer = find_recognizer()
        self._dnsmos = _find_dnsmos()

    def measure(self, source: SpeechSource, texts: Sequence[str], rated: bool = True) -> dict[str, Any]:
        """Word errors and mean ratings, of all texts together and per voice, and the misrecognized texts.

        `rated`: DNSMOS takes longer than Whisper, especially for long texts.
        """
        voices = [source.voices[index % len(source.voices)] for index in range(len(texts))]
        clips = [
            self.judge(text, source.synthesize(voice, text), source.rate_hz, rated)
            for voice, text in zip(voices, texts, strict=True)
        ]
        by_voice = {
            voice: summarize([clip for clip, of in zip(clips, voices, strict=True) if of == voice])
            for voice in dict.fromkeys(voices)
        }
        misrecognized = [(clip.text, clip.transcript) for clip in clips if clip.errors]
        return summarize(clips) | {"voices": by_voice, "misrecognized": misrecognized}

    def judge(self, text: str, audio: Audio, rate_hz: int, rated: bool = True) -> JudgedClip:
        transcript = self.recognizer.transcribe(audio, rate_hz)
        reference, hypothesis = normalized_words(text), normalized_words(transcript)
        errors, gap = word_errors(reference, hypothesis), longest_gap(reference, hypothesis)
        rating = self._dnsmos.rate(audio, rate_hz) if rated and self._dnsmos else None
        return JudgedClip(text, transcript, len(reference), errors, gap, rating)


def _find_dnsmos() -> "Dnsmos | None":
    if not (find_spec("speechmos") and find_spec("librosa")):
        return None
    from training.evaluation.dnsmos import Dnsmos

    return Dnsmos()


def summarize(clips: Sequence[JudgedClip]) -> dict[str, Any]:
    words, errors = sum(clip.words for clip in clips), sum(clip.errors for clip in clips)
    ratings = [clip.rating for clip in clips if clip.rating]
    scores = {
        name: round(float(np.mean([getattr(rating, name) for rating in ratings])), 3)
        for name in ("overall", "p808")
        if ratings
    }
    return {
        "sentences": len(clips),
        "words": words,
        "word_error_rate": round(errors / words, 4),
        "without_errors": sum(not clip.errors for clip in clips),
        "skipped_clauses": sum(clip.longest_gap >= CLAUSE_WORDS for clip in clips),
    } | scores


# Speakers that a checkpoint is compared with: those that it was trained on, or that others are trained on.
TEACHERS: dict[str, Sequence[neural_speakers.AnySpeaker]] = {
    "flite": speakers.SPEAKERS,
    "hibari": neural_speakers.SPEAKERS,
    "joe": [neural_speakers.NeuralSpeaker("joe", base=neural_speakers.JOE)],
}


def speech_source(name: str, config: Path) -> SpeechSource:
    """`embedded`: the voices of `config`. `flite`, `hibari`: speakers to train on. `joe`: Piper's voice, unchanged."""
    if name == "embedded":
        return checkpoint_source(config, SynthesisMode("usual", precision="auto"))
    by_name = {one.name: one for one in TEACHERS[name]}
    return SpeechSource(
        list(by_name), lambda voice, text: by_name[voice].synthesize(text).audio, speakers.SAMPLE_RATE_HZ
    )


def checkpoint_source(config: Path, mode: SynthesisMode, voices: Sequence[str] = ()) -> SpeechSource:
    """A checkpoint in one way of running it. `voices`: in this order (empty: all, by name)."""
    synthesizer = CheckpointSynthesizer(config, mode)
    states = synthesizer.voices(voices or voices_of_checkpoint(config))
    return SpeechSource(
        list(states), lambda voice, text: synthesizer.synthesize(states[voice], text), synthesizer.rate_hz
    )


def voices_of_checkpoint(config: Path) -> list[str]:
    return sorted(path.stem for path in (config.parent / "voices").glob("*.safetensors"))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure word errors and predicted opinion scores of speech.")
    parser.add_argument("--texts", choices=TEXTS, default="sentences", help="which held-out texts")
    parser.add_argument("--sentences", type=int, default=40, help="use only the first of them")
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=SOURCES)
    parser.add_argument("--config", type=Path, default=EMBEDDED / "config.yaml", help="config of the checkpoint")
    parser.add_argument("--out", type=Path, help="file to append one line of JSON per source to")
    options = parser.parse_args()
    texts = TEXTS[options.texts].read_text(encoding="utf-8").splitlines()[: options.sentences]
    judges = Judges()
    for name in options.sources:
        measured = {"source": name, "texts": options.texts} | judges.measure(speech_source(name, options.config), texts)
        print(json.dumps(measured), flush=True)
        if options.out:
            append_json(options.out, measured)


if __name__ == "__main__":
    main()
