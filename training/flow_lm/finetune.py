"""A new speaker from a folder of clips with transcripts, `python -m training.flow_lm.finetune`.

    clips/one.wav  clips/one.txt  clips/two.wav  clips/two.txt ...

`--what voice` learns a voice alone: the vectors that stand where a prompt's would. The checkpoint stays as it is, so
the new voice speaks beside the old ones. `--what all` learns the weights too, which comes nearer to the speaker; the
checkpoint that it writes has only this one voice, because voices belong to their weights.
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
from sayline_tts.engine.checkpoint.checkpoint import find_checkpoint
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.text.model_text import prepare
from training.data.files import write_whole
from training.data.subwords import PieceCutter
from training.evaluation.measures import spoken_span
from training.export import load_checkpoint
from training.export.export import half, write_voice
from training.flow_lm.auxiliary_heads import SPELLING_LAYER, Helpers, Weights
from training.flow_lm.flow_batches import Batches
from training.flow_lm.flow_clips import FRAMES_PER_SECOND, PARTS, WORD_PHONES, Clip
from training.flow_lm.flow_network import FlowNetwork
from training.flow_lm.flow_objective import Plan, objective
from training.trainer.matmul_precision import quick_products
from training.trainer.schedule import set_rate
from training.trainer.trainer import Run
from training.trainer.weight_averaging import Average

PROMPT_S = 3.5
POSITIONS = 1200
OTHER_CUTS = 0.3  # of the batches have their texts cut in other pieces than the best
CLOSING_FRAMES = 4  # of silence behind a clip: speech is over there
RATES = {"voice": 3e-3, "all": 3e-4}
FALLING_SHARE = 0.5  # of the steps
# Text is read here, alike for all speakers. It took 200,000 words to learn; a few minutes of clips would only spoil it.
READING = ("conditioner.", *(f"transformer.layers.{layer}." for layer in range(SPELLING_LAYER + 1)))
# Which sound is when nobody knows here.
PLAN = Plan(helpers=Weights(phones=0, latents=0, spelling=0, looking=0))


@dataclass(frozen=True, eq=False)
class Recording:
    audio: NDArray[np.float32]
    text: str


def read_recordings(folder: Path, rate_hz: int) -> list[Recording]:
    """Sound files that have a `.txt` of the same name beside them."""
    texts = sorted(folder.glob("*.txt"))
    found = []
    for text in texts:
        sounds = [path for path in folder.glob(f"{text.stem}.*") if path != text]
        if len(sounds) != 1:
            raise SystemExit(f"{text}: there must be one sound file of that name, there are {len(sounds)}")
        found.append(Recording(read_audio(sounds[0], rate_hz), " ".join(text.read_text(encoding="utf-8").split())))
    if not found:
        raise SystemExit(f"{folder}: no transcript (.txt) there; each clip needs one of the same name")
    return found


@torch.inference_mode()
def as_clip(number: int, recording: Recording, model: Model) -> Clip:
    """The recording as FlowLM learns from it, but for the phones."""
    frame = model.frame_samples
    start_s, end_s = spoken_span(recording.audio, model.sample_rate_hz)
    first = max(0, round((start_s - 0.06) * model.sample_rate_hz))
    end = int(np.ceil((end_s - first / model.sample_rate_hz) * FRAMES_PER_SECOND))
    audio = np.zeros((end + CLOSING_FRAMES) * frame, np.float32)
    heard = recording.audio[first : first + len(audio)]
    audio[: len(heard)] = heard
    latents = model.mimi.encode(torch.from_numpy(audio)).numpy().astype(np.float16)
    frames = len(latents)
    return Clip(
        voice=0,
        sentence=number,
        latents=latents,
        phones=np.zeros((frames, PARTS), np.int64),
        words=np.zeros(frames, np.int64),
        word_phones=np.zeros((len(recording.text.split()), WORD_PHONES), np.int64),
        end=end,
    )


class Tuned(nn.Module):
    """A voice as vectors `[1, positions, width]`, and the network that speaks with it."""

    def __init__(self, network: FlowNetwork, vectors: Tensor) -> None:
        super().__init__()
        self.network = network
        self.vectors = nn.Parameter(vectors.clone())


def tune(tuned: Tuned, average: Average[Tuned], batches: Batches, run: Run, optimizer: torch.optim.Optimizer,
         steps: int, rate: float) -> None:  # fmt: skip
    network = tuned.network
    helpers = Helpers(network.shape.transformer.d_model, len(network.bos_emb), 1)
    while run.step < steps:
        batch = batches.draw(random.Random(run.step), OTHER_CUTS)
        with quick_products():
            generator = torch.Generator().manual_seed(run.step)
            loss, told = objective(network, helpers, batch, PLAN, generator, tuned.vectors)
        set_rate(optimizer, rate, run.step, steps, FALLING_SHARE)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(tuned.parameters(), 1.0)
        optimizer.step()
        average.update(tuned, run.step)
        run.advance({name: told[name] for name in ("flow", "jump", "end")})
    run.save()


def finetune(args: argparse.Namespace) -> Path:
    """Returns the path of the new voice."""
    model = Model.load(find_checkpoint(config=args.config), precision="float32")
    recordings = read_recordings(args.clips, model.sample_rate_hz)
    texts = [prepare(recording.text, model.text_rules) for recording in recordings]
    clips = [as_clip(number, recording, model) for number, recording in enumerate(recordings)]
    network = load_checkpoint.flow_network(args.config)
    pieces = PieceCutter(model.checkpoint.tokenizer)
    batches = Batches(clips, texts, pieces, POSITIONS, 1)
    prompt = np.concatenate([clip.latents for clip in clips])[: round(PROMPT_S * FRAMES_PER_SECOND)]
    with torch.no_grad():
        tuned = Tuned(network, network.embed_prompts(torch.from_numpy(prompt).float()[None]))
    for name, part in network.named_parameters():
        part.requires_grad_(args.what == "all" and not name.startswith(READING))
    optimizer = torch.optim.AdamW([part for part in tuned.parameters() if part.requires_grad], weight_decay=0.0)
    average = Average(tuned, copy.deepcopy(tuned))
    run = Run(args.out / "training", {"tuned": tuned, "optimizer": optimizer, "average": average})
    print(f"{len(clips)} clips, {sum(clip.frames for clip in clips) / FRAMES_PER_SECOND / 60:.1f} minutes", flush=True)
    tune(tuned, average, batches, run, optimizer, args.steps, args.rate or RATES[args.what])
    voice: Path = args.out / "voices" / f"{args.name}.safetensors"
    if args.what == "all":
        model = _with_weights(args.config, args.out, average.network.network)
    write_voice(model, average.network.vectors.detach()[0], voice)
    print(f"{voice}: speaks with {args.out / 'config.yaml' if args.what == 'all' else args.config}")
    return voice


def _with_weights(config: Path, out: Path, network: FlowNetwork) -> Model:
    """A checkpoint beside the voice, of these weights of FlowLM."""
    weights = safetensors.torch.load_file(find_checkpoint(config=config).weights)
    ours = {f"flow_lm.{name}": part for name, part in network.state_dict().items()}
    write_whole(out / "model.safetensors", safetensors.torch.save(half(weights | ours)))
    for name in ("config.yaml", "tokenizer.model"):
        shutil.copyfile(config.parent / name, out / name)
    return Model.load(find_checkpoint(config=out / "config.yaml"), precision="float32")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="of the checkpoint to begin with")
    parser.add_argument("--clips", type=Path, required=True, help="folder of sound files and their transcripts")
    parser.add_argument("--name", required=True, help="of the new voice")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--what", choices=("voice", "all"), default="voice")
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    finetune(args)


if __name__ == "__main__":
    main()
