"""Learn a new speaker from a folder of clips with transcripts, `python -m training.flow_lm.finetune`.

    clips/one.wav  clips/one.txt  clips/two.wav  clips/two.txt ...

`--what voice` trains only a voice: the embeddings that take the place of a prompt's. The checkpoint stays unchanged, so
the new voice can be used alongside its other voices. `--what all` also trains the weights, which comes closer to the
speaker's timbre; it writes a checkpoint with this voice only, because voices are tied to weights.
"""

import argparse
import copy
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sayline_tts.engine.audio.recording import read_audio
from sayline_tts.engine.checkpoint.atomic_write import atomic_write
from sayline_tts.engine.checkpoint.checkpoint import find_checkpoint
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.text.model_text import prepare
from training.data.tokenizer import SubwordTokenizer
from training.evaluation.measures import speech_span
from training.export import load_checkpoint
from training.export.export import to_half_precision, write_voice
from training.flow_lm.auxiliary_heads import PRONUNCIATION_LAYER, AuxiliaryHeads, AuxiliaryLossWeights
from training.flow_lm.batches import BatchSampler
from training.flow_lm.examples import FRAMES_PER_SECOND, LABELS_PER_FRAME, MAX_WORD_PHONES, Example
from training.flow_lm.network import FlowLMNetwork
from training.flow_lm.objective import ObjectiveConfig, objective
from training.trainer.matmul_precision import fast_matmul
from training.trainer.schedule import set_learning_rate
from training.trainer.training_run import TrainingRun
from training.trainer.weight_averaging import AveragedWeights

PROMPT_S = 3.5
POSITIONS = 1200
BPE_DROPOUT_RATIO = 0.3  # of the batches are tokenized with random segmentations
TRAILING_FRAMES = 4  # frames of silence after a clip, to learn the end of speech
RATES = {"voice": 3e-3, "all": 3e-4}
DECAY_RATIO = 0.5  # of the steps
# These layers process text, independently of the speaker. They were trained on 200,000 words; a few minutes of clips
# would only make them worse.
FROZEN_TEXT_LAYERS = ("conditioner.", *(f"transformer.layers.{layer}." for layer in range(PRONUNCIATION_LAYER + 1)))
# Recordings have no phone labels.
OBJECTIVE = ObjectiveConfig(auxiliary=AuxiliaryLossWeights(phones=0, latents=0, pronunciation=0, alignment=0))


@dataclass(frozen=True, eq=False)
class TranscribedRecording:
    audio: NDArray[np.float32]
    text: str


def read_recordings(folder: Path, rate_hz: int) -> list[TranscribedRecording]:
    """Read audio files that have a `.txt` file of the same name. Raises `SystemExit` with a message."""
    recordings = []
    for transcript in sorted(folder.glob("*.txt")):
        audio_files = [path for path in folder.glob(f"{transcript.stem}.*") if path != transcript]
        if len(audio_files) != 1:
            raise SystemExit(f"{transcript}: found {len(audio_files)} audio files of that name; keep exactly one")
        text = " ".join(transcript.read_text(encoding="utf-8").split())
        recordings.append(TranscribedRecording(read_audio(audio_files[0], rate_hz), text))
    if not recordings:
        raise SystemExit(f"{folder}: no transcripts found; add a .txt file of the same name for each clip")
    return recordings


@torch.inference_mode()
def recording_to_example(number: int, recording: TranscribedRecording, model: Model) -> Example:
    """Convert a recording to a training example without phone labels."""
    frame = model.frame_samples
    start_s, end_s = speech_span(recording.audio, model.sample_rate_hz)
    first = max(0, round((start_s - 0.06) * model.sample_rate_hz))
    end = int(np.ceil((end_s - first / model.sample_rate_hz) * FRAMES_PER_SECOND))
    audio = np.zeros((end + TRAILING_FRAMES) * frame, np.float32)
    available = recording.audio[first : first + len(audio)]
    audio[: len(available)] = available
    latents = model.mimi.encode(torch.from_numpy(audio)).numpy().astype(np.float16)
    frames = len(latents)
    return Example(
        voice=0,
        sentence=number,
        latents=latents,
        phones=np.zeros((frames, LABELS_PER_FRAME), np.int64),
        words=np.zeros(frames, np.int64),
        word_phones=np.zeros((len(recording.text.split()), MAX_WORD_PHONES), np.int64),
        end=end,
    )


class TunedVoice(nn.Module):
    """A voice as prompt embeddings `[1, positions, width]`, and its network."""

    def __init__(self, network: FlowLMNetwork, vectors: Tensor) -> None:
        super().__init__()
        self.network = network
        self.vectors = nn.Parameter(vectors.clone())


def tune(tuned: TunedVoice, average: AveragedWeights[TunedVoice], batches: BatchSampler, run: TrainingRun,
         optimizer: torch.optim.Optimizer, steps: int, rate: float) -> None:  # fmt: skip
    network = tuned.network
    auxiliary = AuxiliaryHeads(network.shape.transformer.d_model, len(network.bos_emb), 1)
    while run.step < steps:
        batch = batches.draw(random.Random(run.step), BPE_DROPOUT_RATIO)
        with fast_matmul():
            generator = torch.Generator().manual_seed(run.step)
            loss, losses = objective(network, auxiliary, batch, OBJECTIVE, generator, tuned.vectors)
        set_learning_rate(optimizer, rate, run.step, steps, DECAY_RATIO)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(tuned.parameters(), 1.0)
        optimizer.step()
        average.update(tuned, run.step)
        run.log_step({name: losses[name] for name in ("flow", "jump", "end")})
    run.save()


def finetune(args: argparse.Namespace) -> Path:
    """Train the voice; returns the path of its file."""
    model = Model.load(find_checkpoint(config=args.config), precision="float32")
    recordings = read_recordings(args.clips, model.sample_rate_hz)
    texts = [prepare(recording.text, model.text_rules) for recording in recordings]
    examples = [recording_to_example(number, recording, model) for number, recording in enumerate(recordings)]
    network = load_checkpoint.load_flow_lm(args.config)
    tokenizer = SubwordTokenizer(model.checkpoint.tokenizer)
    batches = BatchSampler(examples, texts, tokenizer, POSITIONS, 1)
    prompt = np.concatenate([example.latents for example in examples])[: round(PROMPT_S * FRAMES_PER_SECOND)]
    with torch.no_grad():
        tuned = TunedVoice(network, network.embed_prompts(torch.from_numpy(prompt).float()[None]))
    for name, part in network.named_parameters():
        part.requires_grad_(args.what == "all" and not name.startswith(FROZEN_TEXT_LAYERS))
    optimizer = torch.optim.AdamW([part for part in tuned.parameters() if part.requires_grad], weight_decay=0.0)
    average = AveragedWeights(tuned, copy.deepcopy(tuned))
    run = TrainingRun(args.out / "training", {"tuned": tuned, "optimizer": optimizer, "average": average})
    print(
        f"{len(examples)} clips, {sum(example.frames for example in examples) / FRAMES_PER_SECOND / 60:.1f} minutes",
        flush=True,
    )
    tune(tuned, average, batches, run, optimizer, args.steps, args.rate or RATES[args.what])
    voice: Path = args.out / "voices" / f"{args.name}.safetensors"
    if args.what == "all":
        model = _with_weights(args.config, args.out, average.network.network)
    write_voice(model, average.network.vectors.detach()[0], voice)
    print(f"{voice}: for use with {args.out / 'config.yaml' if args.what == 'all' else args.config}")
    return voice


def _with_weights(config: Path, out: Path, network: FlowLMNetwork) -> Model:
    """Write a checkpoint with these FlowLM weights to `out`, and load it."""
    weights = safetensors.torch.load_file(find_checkpoint(config=config).weights)
    tuned = {f"flow_lm.{name}": tensor for name, tensor in network.state_dict().items()}
    atomic_write(out / "model.safetensors", safetensors.torch.save(to_half_precision(weights | tuned)))
    for name in ("config.yaml", "tokenizer.model"):
        shutil.copyfile(config.parent / name, out / name)
    return Model.load(find_checkpoint(config=out / "config.yaml"), precision="float32")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="config of the checkpoint to start from")
    parser.add_argument("--clips", type=Path, required=True, help="folder of audio files and their transcripts")
    parser.add_argument("--name", required=True, help="name of the new voice")
    parser.add_argument("--out", type=Path, required=True, help="folder for the voice and, with all, the checkpoint")
    parser.add_argument("--what", choices=("voice", "all"), default="voice", help="train only a voice, or also weights")
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--rate", type=float, help="learning rate")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    finetune(args)


if __name__ == "__main__":
    main()
