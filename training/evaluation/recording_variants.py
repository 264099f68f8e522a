"""Measure how far a clone depends on the recording's defects, `python -m training.evaluation.recording_variants`.

One recording of the held-out speaker is damaged in several ways and cloned as the server clones it, and as it is,
without conditioning. All clones read the same sentences. Similarity is that of speaker embeddings to the clone of the
clean recording; that clone reading other sentences shows how high it can be.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED
from sayline_tts.engine.cloning.cloning import clone_voice
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.tts_model import VoiceState
from training.data.speakers import SAMPLE_RATE_HZ
from training.evaluation.docs_tables import replace_table
from training.evaluation.judges import TEXTS
from training.evaluation.measures import Audio
from training.evaluation.new_speaker import CLIPS, Encoder, recording, wav_file
from training.evaluation.synthesis import CheckpointSynthesizer, SynthesisMode
from training.evaluation.timbre import median_pitch_hz

SECONDS = 4.8  # short enough to be used whole
REFERENCE = "clean"
OTHER_SENTENCES = "clean, other sentences"


def _noise(audio: Audio, snr_db: float) -> Audio:
    noise = np.random.default_rng(0).normal(size=len(audio))
    return np.asarray(audio + noise * np.sqrt(np.mean(audio**2)) * 10 ** (-snr_db / 20), np.float32)


def _sine(audio: Audio, hz: float, amplitude: float) -> Audio:
    return np.asarray(audio + amplitude * np.sin(2 * np.pi * hz * np.arange(len(audio)) / SAMPLE_RATE_HZ), np.float32)


def _to_peak(audio: Audio, dbfs: float) -> Audio:
    return np.asarray(audio * (10 ** (dbfs / 20) / np.abs(audio).max()), np.float32)


def _band_limited(audio: Audio, rate_hz: int) -> Audio:
    factor = SAMPLE_RATE_HZ // rate_hz
    return np.asarray(resample_poly(resample_poly(audio, 1, factor), factor, 1)[: len(audio)], np.float32)


def _silence(audio: Audio, seconds: float) -> Audio:
    return np.pad(audio, round(seconds * SAMPLE_RATE_HZ))


VARIANTS: dict[str, Callable[[Audio], Audio]] = {
    REFERENCE: lambda audio: audio,
    "peak at -15 dBFS": lambda audio: _to_peak(audio, -15),
    "peak at -30 dBFS": lambda audio: _to_peak(audio, -30),
    "peak at -45 dBFS": lambda audio: _to_peak(audio, -45),
    "DC offset of 5 %": lambda audio: np.asarray(audio + 0.05, np.float32),
    "rumble of 25 Hz": lambda audio: _sine(audio, 25, 0.1),
    "hum of 50 Hz": lambda audio: _sine(audio, 50, 0.02),
    "2 s of silence at both ends": lambda audio: _silence(audio, 2),
    "clipped by 6 dB": lambda audio: np.asarray(np.clip(2 * audio / np.abs(audio).max(), -1, 1), np.float32),
    "noise, 30 dB": lambda audio: _noise(audio, 30),
    "noise, 20 dB": lambda audio: _noise(audio, 20),
    "telephone (8 kHz)": lambda audio: _band_limited(audio, 8_000),
}


@dataclass(frozen=True)
class Likeness:
    """Similarity to the clone of the clean recording, and its pitch relative to that, in semitones."""

    similarity: float
    semitones: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """Compares clones with the clone of the clean recording."""

    encoder: Encoder
    reference: Sequence[Audio]

    def likeness(self, speech: Sequence[Audio]) -> Likeness:
        embeddings = [self.encoder.embed(clips, SAMPLE_RATE_HZ) for clips in (self.reference, speech)]
        pitches_hz = [median_pitch_hz(clips, SAMPLE_RATE_HZ) for clips in (self.reference, speech)]
        return Likeness(float(embeddings[0] @ embeddings[1]), float(12 * np.log2(pitches_hz[1] / pitches_hz[0])))


def measure(config: Path, count: int) -> dict[str, dict[str, Likeness]]:
    """For each variant the likeness of its clone: as the server makes it, and without conditioning."""
    from training.evaluation.speaker_embedding import SpeakerEncoder  # needs optional packages

    texts = TEXTS["sentences"].read_text(encoding="utf-8").splitlines()
    clean = recording(CLIPS.read_text(encoding="utf-8").splitlines(), SECONDS)
    synthesizer = CheckpointSynthesizer(config, SynthesisMode("variants", precision="auto"))
    model = synthesizer.model._model

    def say(voice: Voice, first: int = 0) -> list[NDArray[np.float32]]:
        return synthesizer.synthesize_all(texts[first : first + count], [VoiceState(voice)] * count)

    conditioned, plain = clone_voice(model, wav_file(clean), REFERENCE).voice, model.encode_voice(clean)
    encoder = SpeakerEncoder.pretrained()
    comparisons = [Comparison(encoder, say(voice)) for voice in (conditioned, plain)]
    measured = {
        OTHER_SENTENCES: {
            name: comparison.likeness(say(voice, count))
            for name, comparison, voice in zip(("server", "plain"), comparisons, (conditioned, plain), strict=True)
        }
    }
    for variant, damage in VARIANTS.items():
        damaged = damage(clean)
        voices = clone_voice(model, wav_file(damaged), variant).voice, model.encode_voice(damaged)
        measured[variant] = {
            name: comparison.likeness(say(voice))
            for name, comparison, voice in zip(("server", "plain"), comparisons, voices, strict=True)
        }
    return measured


def table(measured: dict[str, dict[str, Likeness]]) -> str:
    lines = [
        "| recording | similarity | pitch, semitones | without conditioning | pitch, semitones |",
        "|---|---|---|---|---|",
    ]
    for variant, ways in measured.items():
        cells = [cell for way in ways.values() for cell in (f"{way.similarity:.2f}", f"{way.semitones:+.1f}")]
        lines.append(f"| {variant} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how far a clone depends on defects of the recording.")
    parser.add_argument("--config", type=Path, default=EMBEDDED / "config.yaml", help="config of the checkpoint")
    parser.add_argument("--sentences", type=int, default=4, help="sentences that each clone reads")
    parser.add_argument("--out", type=Path, default=Path("recording-variants.json"), help="JSON file of the results")
    parser.add_argument("--table", type=Path, help="Markdown page whose table is updated (docs/embedded-voice.md)")
    args = parser.parse_args()
    measured = measure(args.config, args.sentences)
    plain = {variant: {name: vars(way) for name, way in ways.items()} for variant, ways in measured.items()}
    args.out.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    if args.table:
        replace_table(args.table, "recordings", table(measured))
    print(table(measured))


if __name__ == "__main__":
    main()
