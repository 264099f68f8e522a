"""Stage 4: train FlowLM, `python -m training.flow_lm.train --work DIR`. Resumable: the same command goes on where it stopped.

`--from CONFIG` begins with the weights of a published checkpoint, whose latents must mean what those in DIR do.
"""

import argparse
import random
import shutil
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

from sayline_tts.engine.checkpoint.checkpoint import find_checkpoint
from sayline_tts.engine.checkpoint.config import FlowLMConfig
from training.data.clips import strangers_of, voices_of
from training.data.subwords import PieceCutter
from training.export import load_checkpoint
from training.flow_lm.auxiliary_heads import Helpers
from training.flow_lm.flow_batches import Batch, Batches
from training.flow_lm.flow_clips import Clip, for_validation, read_clips, read_names, read_sentences
from training.flow_lm.flow_network import FlowNetwork
from training.flow_lm.flow_objective import Plan, objective
from training.flow_lm.flow_optimizer import Optimizers
from training.trainer.matmul_precision import quick_products
from training.trainer.schedule import FALLING_SHARE, set_rate
from training.trainer.trainer import Run
from training.trainer.weight_averaging import Average

SHAPE = Path(__file__).parent / "flow_lm.yaml"
LATENT_DIM = 32
VALIDATION_STEPS = 500
VALIDATION_BATCHES = 8
HELPERS_ALONE_STEPS, HELPERS_ALONE_RATE = 300, 3e-3  # before a published network goes on: its helpers are new
OTHER_CUTS = 0.3  # of the batches have their texts cut in other pieces than the best


class Training:
    """The networks and what moves them."""

    def __init__(self, folder: Path, network: FlowNetwork, phones: int, optimizers: Callable[..., Optimizers]) -> None:
        shape = network.shape
        self.network = network
        self.helpers = Helpers(shape.transformer.d_model, LATENT_DIM, phones)
        self.optimizers = optimizers(self.network, self.helpers)
        self.average = Average(self.network, FlowNetwork(shape, LATENT_DIM, LATENT_DIM))
        self.run = Run(
            folder,
            {
                "network": self.network,
                "helpers": self.helpers,
                "optimizers": self.optimizers,
                "average": self.average,
            },
        )

    def scale(self, mean: Tensor, deviation: Tensor) -> None:
        """Tell the network how the codec's latents are spread."""
        for network in (self.network, self.average.network):
            network.emb_mean.copy_(mean)
            network.emb_std.copy_(deviation)

    def acquaint(self, draw: Callable[[random.Random], Batch], plan: Plan) -> None:
        """The helpers get to know a network that has learnt already."""
        optimizer = torch.optim.AdamW(self.helpers.parameters(), HELPERS_ALONE_RATE)
        self.network.requires_grad_(False)
        for step in range(HELPERS_ALONE_STEPS):
            set_rate(optimizer, HELPERS_ALONE_RATE, step, HELPERS_ALONE_STEPS)
            loss, parts = self._judge(self.network, draw(random.Random(f"helpers {step}")), plan, step)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        self.network.requires_grad_(True)
        self.run.report("helpers alone", parts)
        self.run.save()

    def learn(self, batch: Batch, plan: Plan, steps: int) -> None:
        loss, parts = self._judge(self.network, batch, plan, self.run.step)
        loss.backward()
        self.optimizers.step(self.run.step, steps)
        self.average.update(self.network, self.run.step)
        self.run.advance(parts)

    @torch.no_grad()
    def validate(self, batches: list[Batch], plan: Plan) -> dict[str, float]:
        """Of the averaged weights, always with the same noise."""
        sums: dict[str, float] = defaultdict(float)
        for number, batch in enumerate(batches):
            _, parts = self._judge(self.average.network, batch, plan, number)
            for name, part in parts.items():
                sums[name] += part / len(batches)
        return dict(sums)

    def _judge(self, network: FlowNetwork, batch: Batch, plan: Plan, seed: int) -> tuple[Tensor, dict[str, float]]:
        with quick_products():
            return objective(network, self.helpers, batch, plan, torch.Generator().manual_seed(seed))


def read_shape(pieces: int) -> FlowLMConfig:
    shape = yaml.safe_load(SHAPE.read_text(encoding="utf-8"))
    shape["lookup_table"]["n_bins"] = pieces
    return FlowLMConfig.model_validate(shape)


def read_all(work: Path, voices: list[str], sentences: list[str]) -> list[Clip]:
    """Of the model's voices, numbered from 0, and behind them of the strangers that there are."""
    everybody = [*voices, *strangers_of(work / "speech")]
    return [clip for number, voice in enumerate(everybody) for clip in read_clips(work, voice, number, sentences)]


def begun(args: argparse.Namespace, pieces: PieceCutter) -> FlowNetwork:
    torch.manual_seed(0)
    if args.checkpoint:
        return load_checkpoint.flow_network(args.checkpoint)
    return FlowNetwork(read_shape(pieces.count), LATENT_DIM, LATENT_DIM)


def tokenizer_of(work: Path, checkpoint: Path | None) -> Path:
    """Whoever goes on with a checkpoint keeps its pieces, which its network has learnt."""
    own = work / "flow/tokenizer.model"
    if checkpoint:
        own.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(find_checkpoint(config=checkpoint).tokenizer, own)
    return own


def train(args: argparse.Namespace) -> None:
    pieces = PieceCutter(tokenizer_of(args.work, args.checkpoint))
    sentences, phones = read_sentences(args.work), read_names(args.work / "speech/phones.txt")
    voices = args.voices or voices_of(args.work / "speech")
    clips = read_all(args.work, voices, sentences)
    learnt, unseen = ([clip for clip in clips if for_validation(clip.sentence) == kept] for kept in (False, True))
    drawn = Batches(learnt, sentences, pieces, args.positions, len(voices))
    own = [clip for clip in unseen if clip.voice < len(voices)]
    held_out = Batches(own, sentences, pieces, args.positions, len(voices))
    batches = [held_out.draw(random.Random(f"validation {number}")) for number in range(VALIDATION_BATCHES)]
    optimizers = partial(Optimizers, rate=args.rate, muon=args.muon, falling_share=args.falling)
    training = Training(args.work / "flow" / args.run, begun(args, pieces), len(phones), optimizers)
    if not args.checkpoint:
        statistics = load_file(args.work / "latents/statistics.safetensors")
        training.scale(statistics["mean"], statistics["std"])
    plan, run = Plan(draws=args.draws, jumps=args.jumps), training.run
    print(f"{len(clips)} clips of {', '.join(voices)}; from step {run.step}", flush=True)
    if args.checkpoint and run.step == 0:
        training.acquaint(drawn.draw, plan)
        run.report("validation", training.validate(batches, plan))
    while run.step < args.steps:
        training.learn(drawn.draw(random.Random(run.step), OTHER_CUTS), plan, args.steps)
        if run.step % VALIDATION_STEPS == 0:
            run.report("validation", training.validate(batches, plan))
    run.save()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of all stages")
    parser.add_argument("--run", default="main", help="name of this training; its files lie in DIR/flow/NAME")
    parser.add_argument("--steps", type=int, default=24_000, help="in all; the rate falls over the last part")
    parser.add_argument("--rate", type=float, default=2.5e-3)
    parser.add_argument("--positions", type=int, default=1000, help="of rows in one batch")
    parser.add_argument("--draws", type=int, default=2, help="of noise for each frame")
    parser.add_argument("--jumps", type=float, default=0.1, help="share of frames that learn a jump")
    parser.add_argument(
        "--muon", action="store_true", help="for matrices of the transformer, for batches twice as large"
    )
    parser.add_argument("--falling", type=float, default=FALLING_SHARE, help="share of the steps over which it falls")
    parser.add_argument("--from", dest="checkpoint", type=Path, help="config of the checkpoint to begin with")
    parser.add_argument("--voices", nargs="*", help="others than the model's")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    train(args)


if __name__ == "__main__":
    main()
