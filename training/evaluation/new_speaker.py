"""How near does the model come to a speaker whom no training heard? `python -m training.evaluation.new_speaker`.

Karl, another synthesizer's voice, is cloned from one sentence, and learnt from a folder of clips with transcripts by
`training.flow_lm.finetune`, as a voice alone and with the weights. Then all say sentences that were in none of these.
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
from training.data.speakers import HELD_OUT, SAMPLE_RATE, SPEAKERS
from training.evaluation.asr_wer import hear_all, word_error_rate
from training.evaluation.docs_tables import fill
from training.evaluation.evaluate import SENTENCES, taught
from training.evaluation.measures import Sound
from training.evaluation.spoken import Spoken, Way
from training.evaluation.timbre import timbre, usual_pitch_hz

CLIPS = Path(__file__).parent / "new_speaker.txt"  # what is said in the clips to learn from
PROMPT = "The people who live by the river walk to the market every morning, and come home late."
COUNT = 20  # sentences that judge
ROWS = {
    "himself": "the synthesizer's voice itself",
    "nearest": "the nearest of the model's own voices",
    "cloned": "cloned from one sentence of five seconds",
    "voice": "`--what voice`",
    "all": "`--what all`",
}


@dataclass(frozen=True, eq=False)
class Aim:
    """The speaker himself, saying the sentences that judge."""

    texts: Sequence[str]
    sounds: Sequence[Sound]

    def apart(self, sounds: Sequence[Sound]) -> float:
        """How far these lie from his timbre."""
        means = [np.mean([timbre(each, SAMPLE_RATE) for each in some], axis=0) for some in (sounds, self.sounds)]
        return float(np.linalg.norm(means[0] - means[1]))

    def judge(self, sounds: Sequence[Sound], far: float) -> dict[str, float]:
        """`far`: how far the nearest own voice is. The way from there to him is 1 for himself, 0 for no nearer."""
        return {
            "timbre_way": 1 - self.apart(sounds) / far,
            "pitch_hz": usual_pitch_hz(sounds, SAMPLE_RATE),
            "word_error_rate": word_error_rate(self.texts, hear_all(sounds, SAMPLE_RATE)),
        }


def write_clips(folder: Path, texts: Sequence[str]) -> float:
    """What somebody would bring along: recordings and what is said in them. Returns how many minutes it is."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = 0
    for number, text in enumerate(texts):
        with WavWriter(folder / f"{number:03}.wav", SAMPLE_RATE) as file:
            file.write(sound := taught(HELD_OUT.name, text))
        samples += len(sound)
        (folder / f"{number:03}.txt").write_text(text + "\n", encoding="utf-8")
    return samples / SAMPLE_RATE / 60


def finetuned(config: Path, clips: Path, out: Path, what: str, steps: int) -> tuple[Spoken, VoiceState]:
    """By the command that a user has."""
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
    spoken = Spoken(out / "config.yaml" if what == "all" else config, Way(what))
    return spoken, spoken.model.get_state_for_audio_prompt(out / "voices" / f"{HELD_OUT.name}.safetensors")


def measure(config: Path, work: Path, steps: int) -> dict[str, Any]:
    texts = SENTENCES.read_text(encoding="utf-8").splitlines()[:COUNT]
    aim = Aim(texts, [taught(HELD_OUT.name, text) for text in texts])
    learnt = CLIPS.read_text(encoding="utf-8").splitlines()
    minutes = write_clips(work / "clips", learnt)
    spoken = Spoken(config, Way("new speaker"))
    own = [spoken.say_all(texts, [state] * COUNT) for state in spoken.voices([one.name for one in SPEAKERS]).values()]
    nearest = min(own, key=aim.apart)
    prompt = torch.from_numpy(taught(HELD_OUT.name, PROMPT))[None]
    sounds = {
        "himself": aim.sounds,
        "nearest": nearest,
        "cloned": spoken.say_all(texts, [spoken.model.get_state_for_audio_prompt(prompt)] * COUNT),
    }
    for what in ("voice", "all"):
        tuned, state = finetuned(config, work / "clips", work / what, what, steps)
        sounds[what] = tuned.say_all(texts, [state] * COUNT)
    measured = {name: aim.judge(said, aim.apart(nearest)) for name, said in sounds.items()}
    return {"sentences": COUNT, "clips": len(learnt), "minutes": minutes, "steps": steps, **measured}


def table(result: dict[str, Any]) -> str:
    lines = ["| | timbre: way to him | pitch, Hz | word errors |", "|---|---|---|---|"]
    for name, heading in ROWS.items():
        one = result[name]
        lines.append(f"| {heading} | {one['timbre_way']:.0%} | {one['pitch_hz']:.0f} | {one['word_error_rate']:.1%} |")
    text = f"{result['sentences']} sentences; {result['clips']} clips, {result['minutes']:.1f} minutes, to learn from, "
    text += f"{result['steps']} steps."
    return "\n".join(lines) + "\n\n" + text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=EMBEDDED / "config.yaml", help="of the checkpoint")
    parser.add_argument("--work", type=Path, required=True, help="folder for clips, voices and weights")
    parser.add_argument("--out", type=Path, default=Path("new-speaker.json"))
    parser.add_argument("--table", type=Path, help="the page whose table is written anew, docs/embedded-voice.md")
    parser.add_argument("--steps", type=int, default=120)
    args = parser.parse_args()
    result = measure(args.config, args.work, args.steps)
    args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if args.table:
        fill(args.table, "new speaker", table(result))
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
