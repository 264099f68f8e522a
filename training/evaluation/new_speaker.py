"""Measure how close the model comes to an unseen speaker, `python -m training.evaluation.new_speaker`.

The held-out speaker karl is cloned from one sentence, and learned from a folder of clips with transcripts by
`training.flow_lm.finetune`, with and without training the weights. All resulting voices read unseen sentences.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sayline_tts.engine.audio.wav import WavWriter
from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED
from sayline_tts.engine.tts_model import VoiceState
from training.data.speakers import HELD_OUT, SAMPLE_RATE_HZ, SPEAKERS
from training.evaluation.asr_wer import transcribe_all, word_error_rate
from training.evaluation.docs_tables import replace_table
from training.evaluation.evaluate import SENTENCES, teacher_audio
from training.evaluation.measures import Audio
from training.evaluation.synthesis import CheckpointSynthesizer, SynthesisMode
from training.evaluation.timbre import median_pitch_hz, timbre

CLIPS = Path(__file__).parent / "new_speaker.txt"  # transcripts of the clips to learn from
PROMPT = "The people who live by the river walk to the market every morning, and come home late."
COUNT = 20  # evaluation sentences
ROWS = {
    "himself": "the speaker (synthesizer)",
    "nearest": "the model's most similar voice",
    "cloned": "cloned from one sentence of five seconds",
    "voice": "`--what voice`",
    "all": "`--what all`",
}


@dataclass(frozen=True, eq=False)
class TargetSpeaker:
    """The unseen speaker, reading the evaluation sentences."""

    texts: Sequence[str]
    speech: Sequence[Audio]

    def timbre_distance(self, speech: Sequence[Audio]) -> float:
        """Distance between the mean timbre of other speech and the speaker's."""
        means = [np.mean([timbre(each, SAMPLE_RATE_HZ) for each in clips], axis=0) for clips in (speech, self.speech)]
        return float(np.linalg.norm(means[0] - means[1]))

    def evaluate(self, speech: Sequence[Audio], baseline: float) -> dict[str, float]:
        """Measures of the similarity to the speaker, and the word error rate.

        `baseline`: timbre distance of the model's most similar voice. `timbre_way` is 0 there and 1 at the speaker.
        """
        return {
            "timbre_way": 1 - self.timbre_distance(speech) / baseline,
            "pitch_hz": median_pitch_hz(speech, SAMPLE_RATE_HZ),
            "word_error_rate": word_error_rate(self.texts, transcribe_all(speech, SAMPLE_RATE_HZ)),
        }


def write_clips(folder: Path, texts: Sequence[str]) -> float:
    """Write recordings with transcripts, as a user would provide them. Returns their duration in minutes."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = 0
    for number, text in enumerate(texts):
        with WavWriter(folder / f"{number:03}.wav", SAMPLE_RATE_HZ) as file:
            file.write(audio := teacher_audio(HELD_OUT.name, text))
        samples += len(audio)
        (folder / f"{number:03}.txt").write_text(text + "\n", encoding="utf-8")
    return samples / SAMPLE_RATE_HZ / 60


def finetuned(config: Path, clips: Path, out: Path, what: str, steps: int) -> tuple[CheckpointSynthesizer, VoiceState]:
    """Run the fine-tuning command in a subprocess, and load its result."""
    command = [
        sys.executable,
        "-m",
        "training.flow_lm.finetune",
        "--config",
        config,
        "--clips",
        clips,
        "--name",
        HELD_OUT.name,
    ]
    subprocess.run([*map(str, command), "--out", str(out), "--what", what, "--steps", str(steps)], check=True)
    synthesizer = CheckpointSynthesizer(out / "config.yaml" if what == "all" else config, SynthesisMode(what))
    return synthesizer, synthesizer.model.get_state_for_audio_prompt(out / "voices" / f"{HELD_OUT.name}.safetensors")


def measure(config: Path, work: Path, steps: int) -> dict[str, Any]:
    texts = SENTENCES.read_text(encoding="utf-8").splitlines()[:COUNT]
    target = TargetSpeaker(texts, [teacher_audio(HELD_OUT.name, text) for text in texts])
    transcripts = CLIPS.read_text(encoding="utf-8").splitlines()
    minutes = write_clips(work / "clips", transcripts)
    synthesizer = CheckpointSynthesizer(config, SynthesisMode("new speaker"))
    own = [
        synthesizer.synthesize_all(texts, [state] * COUNT)
        for state in synthesizer.voices([one.name for one in SPEAKERS]).values()
    ]
    nearest = min(own, key=target.timbre_distance)
    prompt = torch.from_numpy(teacher_audio(HELD_OUT.name, PROMPT))[None]
    speech = {
        "himself": target.speech,
        "nearest": nearest,
        "cloned": synthesizer.synthesize_all(texts, [synthesizer.model.get_state_for_audio_prompt(prompt)] * COUNT),
    }
    for what in ("voice", "all"):
        tuned, state = finetuned(config, work / "clips", work / what, what, steps)
        speech[what] = tuned.synthesize_all(texts, [state] * COUNT)
    measured = {name: target.evaluate(clips, target.timbre_distance(nearest)) for name, clips in speech.items()}
    return {"sentences": COUNT, "clips": len(transcripts), "minutes": minutes, "steps": steps, **measured}


def table(result: dict[str, Any]) -> str:
    lines = ["| | timbre similarity | pitch, Hz | word errors |", "|---|---|---|---|"]
    for name, heading in ROWS.items():
        one = result[name]
        lines.append(f"| {heading} | {one['timbre_way']:.0%} | {one['pitch_hz']:.0f} | {one['word_error_rate']:.1%} |")
    text = f"{result['sentences']} sentences. Fine-tuning: {result['clips']} clips, {result['minutes']:.1f} minutes, "
    text += f"{result['steps']} steps."
    return "\n".join(lines) + "\n\n" + text


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how close the model comes to an unseen speaker.")
    parser.add_argument("--config", type=Path, default=EMBEDDED / "config.yaml", help="config of the checkpoint")
    parser.add_argument("--work", type=Path, required=True, help="folder for clips, voices and weights")
    parser.add_argument("--out", type=Path, default=Path("new-speaker.json"), help="JSON file of the results")
    parser.add_argument("--table", type=Path, help="Markdown page whose table is updated (docs/embedded-voice.md)")
    parser.add_argument("--steps", type=int, default=120, help="fine-tuning steps")
    args = parser.parse_args()
    result = measure(args.config, args.work, args.steps)
    args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if args.table:
        replace_table(args.table, "new speaker", table(result))
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
