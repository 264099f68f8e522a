"""Measure how close the model comes to an unseen speaker, `python -m training.evaluation.new_speaker`.

The held-out speaker karl is cloned from recordings of several lengths, as the server clones them, and learned from a
folder of clips with transcripts by `training.flow_lm.finetune`, with and without training the weights. All resulting
voices read unseen sentences. Similarity is that of speaker embeddings.
"""

import argparse
import io
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sayline_tts.engine.audio.wav import WavWriter
from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED
from sayline_tts.engine.cloning.cloning import clone_voice
from sayline_tts.engine.tts_model import VoiceState
from training.data.speakers import HELD_OUT, SAMPLE_RATE_HZ
from training.evaluation.docs_tables import replace_table
from training.evaluation.judges import TEXTS, voices_of_checkpoint
from training.evaluation.measures import Audio
from training.evaluation.recognition import Recognizer, find_recognizer, word_error_rate
from training.evaluation.synthesis import CheckpointSynthesizer, SynthesisMode
from training.evaluation.timbre import median_pitch_hz

CLIPS = Path(__file__).parent / "new_speaker.txt"  # transcripts of the clips to learn from
PROMPTS_S = (3, 5, 7, 20, 30)  # lengths of the recordings to clone from
COUNT = 20  # evaluation sentences
ROWS = {
    "himself": "the speaker (synthesizer)",
    "nearest": "the model's most similar voice",
    **{f"cloned from {seconds} s": f"cloned from {seconds} s of recording" for seconds in PROMPTS_S},
    "voice": "`--what voice`",
    "all": "`--what all`",
}

Embedding = NDArray[np.float64]


class Encoder(Protocol):
    def embed(self, clips: Sequence[Audio], rate_hz: int) -> Embedding:
        """The embedding of one speaker's clips together, of norm 1."""


@dataclass(frozen=True, eq=False)
class TargetSpeaker:
    """The unseen speaker: recordings, the texts that all voices read, and the means of measuring them."""

    texts: Sequence[str]
    recordings: Sequence[Audio]
    encoder: Encoder
    recognizer: Recognizer

    def similarity(self, speech: Sequence[Audio]) -> float:
        """Cosine of the speaker's embedding and that of other speech."""
        embeddings = [self.encoder.embed(clips, SAMPLE_RATE_HZ) for clips in (speech, self.recordings)]
        return float(embeddings[0] @ embeddings[1])

    def measure(self, speech: Sequence[Audio]) -> dict[str, float]:
        return {
            "similarity": self.similarity(speech),
            "pitch_hz": median_pitch_hz(speech, SAMPLE_RATE_HZ),
            "word_error_rate": word_error_rate(self.recognizer, self.texts, speech, SAMPLE_RATE_HZ),
        }


def add_ways(measured: dict[str, dict[str, float]]) -> None:
    """Add how far each voice is on the way from the model's most similar voice (0) to the speaker (1)."""
    nearest, himself = measured["nearest"]["similarity"], measured["himself"]["similarity"]
    for each in measured.values():
        each["way"] = (each["similarity"] - nearest) / (himself - nearest)


def speaker_audio(text: str) -> Audio:
    return HELD_OUT.synthesize(text).audio


def write_clips(folder: Path, texts: Sequence[str]) -> float:
    """Write recordings with transcripts, as a user would provide them. Returns their duration in minutes."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = 0
    for number, text in enumerate(texts):
        audio = speaker_audio(text)
        (folder / f"{number:03}.wav").write_bytes(wav_file(audio))
        samples += len(audio)
        (folder / f"{number:03}.txt").write_text(text + "\n", encoding="utf-8")
    return samples / SAMPLE_RATE_HZ / 60


def wav_file(audio: Audio) -> bytes:
    file = io.BytesIO()
    with WavWriter(file, SAMPLE_RATE_HZ) as writer:
        writer.write(audio)
    return file.getvalue()


def recording(texts: Sequence[str], seconds: float) -> Audio:
    """The speaker reading texts one after the other, cut to this length."""
    parts: list[Audio] = []
    for text in texts:
        parts.append(speaker_audio(text))
        if sum(map(len, parts)) >= seconds * SAMPLE_RATE_HZ:
            return np.concatenate(parts)[: round(seconds * SAMPLE_RATE_HZ)]
    raise ValueError(f"the texts are too short for {seconds} s")


def finetuned(config: Path, clips: Path, out: Path, what: str, steps: int) -> tuple[CheckpointSynthesizer, VoiceState]:
    """Run the fine-tuning command in a subprocess, and load its result."""
    paths = {"--config": config, "--clips": clips, "--name": HELD_OUT.name, "--out": out}
    arguments = [str(part) for option in paths.items() for part in option]
    command = [sys.executable, "-m", "training.flow_lm.finetune", *arguments, "--what", what, "--steps", str(steps)]
    subprocess.run(command, check=True)
    synthesizer = CheckpointSynthesizer(out / "config.yaml" if what == "all" else config, SynthesisMode(what))
    return synthesizer, synthesizer.model.get_state_for_audio_prompt(out / "voices" / f"{HELD_OUT.name}.safetensors")


def measure(config: Path, work: Path, steps: int, count: int = COUNT) -> dict[str, Any]:
    """Measures of each row. `steps`: of fine-tuning (0: leave it out)."""
    from training.evaluation.speaker_embedding import SpeakerEncoder  # needs optional packages

    texts = TEXTS["sentences"].read_text(encoding="utf-8").splitlines()[:count]
    transcripts = CLIPS.read_text(encoding="utf-8").splitlines()
    target = TargetSpeaker(texts, [recording(transcripts, 30)], SpeakerEncoder.pretrained(), find_recognizer())
    synthesizer = CheckpointSynthesizer(config, SynthesisMode("new speaker", precision="auto"))
    own = [
        synthesizer.synthesize_all(texts, [state] * count)
        for state in synthesizer.voices(voices_of_checkpoint(config)).values()
    ]
    speech = {"himself": [speaker_audio(text) for text in texts], "nearest": max(own, key=target.similarity)}
    for seconds in PROMPTS_S:
        cloned = clone_voice(synthesizer.model._model, wav_file(recording(transcripts, seconds)), "the recording")
        speech[f"cloned from {seconds} s"] = synthesizer.synthesize_all(texts, [VoiceState(cloned.voice)] * count)
    minutes = 0.0
    if steps:
        minutes = write_clips(work / "clips", transcripts)
        for what in ("voice", "all"):
            tuned, state = finetuned(config, work / "clips", work / what, what, steps)
            speech[what] = tuned.synthesize_all(texts, [state] * count)
    measured = {name: target.measure(clips) for name, clips in speech.items()}
    add_ways(measured)
    return {"sentences": count, "clips": len(transcripts), "minutes": minutes, "steps": steps, **measured}


def table(result: dict[str, Any]) -> str:
    lines = ["| | similarity | of the way | pitch, Hz | word errors |", "|---|---|---|---|---|"]
    for name, heading in ROWS.items():
        if name in result:
            one = result[name]
            cells = f"{one['similarity']:.2f} | {one['way']:.0%} | {one['pitch_hz']:.0f} | {one['word_error_rate']:.1%}"
            lines.append(f"| {heading} | {cells} |")
    text = f"{result['sentences']} sentences."
    if result["steps"]:
        text += f" Fine-tuning: {result['clips']} clips, {result['minutes']:.1f} minutes, {result['steps']} steps."
    return "\n".join(lines) + "\n\n" + text


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how close the model comes to an unseen speaker.")
    parser.add_argument("--config", type=Path, default=EMBEDDED / "config.yaml", help="config of the checkpoint")
    parser.add_argument("--work", type=Path, required=True, help="folder for clips, voices and weights")
    parser.add_argument("--out", type=Path, default=Path("new-speaker.json"), help="JSON file of the results")
    parser.add_argument("--table", type=Path, help="Markdown page whose table is updated (docs/embedded-voice.md)")
    parser.add_argument("--sentences", type=int, default=COUNT, help="number of sentences")
    parser.add_argument("--steps", type=int, default=120, help="fine-tuning steps; 0: only cloning")
    args = parser.parse_args()
    result = measure(args.config, args.work, args.steps, args.sentences)
    args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if args.table:
        replace_table(args.table, "new speaker", table(result))
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
