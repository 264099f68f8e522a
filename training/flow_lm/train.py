"""Stage 4b: train FlowLM. If interrupted, the same command resumes.

    python -m training.flow_lm.train --work DIR

`--from CONFIG` starts from the weights of a published checkpoint, whose latents must be compatible with those in DIR.
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
from training.data.clips import augmented_speakers_of, is_validation, voices_of
from training.data.tokenizer import SubwordTokenizer
from training.export import load_checkpoint
from training.flow_lm.auxiliary_heads import AuxiliaryHeads
from training.flow_lm.batches import Batch, BatchSampler
from training.flow_lm.examples import Example, read_examples, read_names, read_sentences
from training.flow_lm.network import FlowLMNetwork
from training.flow_lm.objective import ObjectiveConfig, objective
from training.flow_lm.optimizer import Optimizers
from training.trainer.device import seeded_generator, use_device
from training.trainer.matmul_precision import fast_matmul
from training.trainer.schedule import DECAY_RATIO, set_learning_rate
from training.trainer.training_run import TrainingRun
from training.trainer.weight_averaging import AveragedWeights

CONFIG_FILE = Path(__file__).parent / "flow_lm.yaml"
LATENT_DIM = 32
VALIDATION_STEPS = 500
VALIDATION_BATCHES = 8
AUXILIARY_WARMUP_STEPS, AUXILIARY_WARMUP_RATE = 300, 3e-3  # with `--from`: the heads are not published
BPE_DROPOUT_RATIO = 0.3  # of the batches are tokenized with random segmentations
PREFIX_RATIO = 0.2  # of the batches have incomplete texts


class FlowLMTraining:
    """The networks and optimizers of a FlowLM training, and one training step."""

    def __init__(
        self, folder: Path, network: FlowLMNetwork, phones: int, optimizers: Callable[..., Optimizers]
    ) -> None:
        shape = network.shape
        self.network = network
        self.auxiliary = AuxiliaryHeads(shape.transformer.d_model, LATENT_DIM, phones)
        self.optimizers = optimizers(self.network, self.auxiliary)
        self.average = AveragedWeights(self.network, FlowLMNetwork(shape, LATENT_DIM, LATENT_DIM))
        self.run = TrainingRun(
            folder,
            {
                "network": self.network,
                "auxiliary_heads": self.auxiliary,
                "optimizers": self.optimizers,
                "average": self.average,
            },
        )

    def set_latent_statistics(self, mean: Tensor, deviation: Tensor) -> None:
        """Set the statistics with which the network normalizes latents."""
        for network in (self.network, self.average.network):
            network.emb_mean.copy_(mean)
            network.emb_std.copy_(deviation)

    def warm_up_auxiliary_heads(self, draw: Callable[[random.Random], Batch], config: ObjectiveConfig) -> None:
        """Train only the auxiliary heads, on top of a trained network."""
        optimizer = torch.optim.AdamW(self.auxiliary.parameters(), AUXILIARY_WARMUP_RATE)
        self.network.requires_grad_(False)
        for step in range(AUXILIARY_WARMUP_STEPS):
            set_learning_rate(optimizer, AUXILIARY_WARMUP_RATE, step, AUXILIARY_WARMUP_STEPS)
            loss, losses = self._loss(self.network, draw(random.Random(f"helpers {step}")), config, step)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        self.network.requires_grad_(True)
        self.run.report("auxiliary_warmup", losses)
        self.run.save()

    def train_step(self, batch: Batch, config: ObjectiveConfig, steps: int) -> None:
        loss, losses = self._loss(self.network, batch, config, self.run.step)
        loss.backward()
        self.optimizers.step(self.run.step, steps)
        self.average.update(self.network, self.run.step)
        self.run.log_step(losses)

    @torch.no_grad()
    def validate(self, batches: list[Batch], config: ObjectiveConfig) -> dict[str, float]:
        """Mean losses of the averaged weights, with the same noise every time."""
        means: dict[str, float] = defaultdict(float)
        for seed, batch in enumerate(batches):
            _, losses = self._loss(self.average.network, batch, config, seed)
            for name, value in losses.items():
                means[name] += value / len(batches)
        return dict(means)

    def _loss(
        self, network: FlowLMNetwork, batch: Batch, config: ObjectiveConfig, seed: int
    ) -> tuple[Tensor, dict[str, float]]:
        with fast_matmul():
            return objective(network, self.auxiliary, batch, config, seeded_generator(seed))


def read_flow_lm_config(vocabulary_size: int) -> FlowLMConfig:
    config = yaml.safe_load(CONFIG_FILE.read_text(encoding="utf-8"))
    config["lookup_table"]["n_bins"] = vocabulary_size
    return FlowLMConfig.model_validate(config)


def read_all_examples(work: Path, voices: list[str], sentences: list[str]) -> list[Example]:
    """Examples of the model's voices, which have the ids from 0, then of the augmented speakers."""
    all_voices = [*voices, *augmented_speakers_of(work / "speech")]
    return [
        example
        for voice_id, voice in enumerate(all_voices)
        for example in read_examples(work, voice, voice_id, sentences)
    ]


def initial_network(args: argparse.Namespace, tokenizer: SubwordTokenizer) -> FlowLMNetwork:
    torch.manual_seed(0)
    if args.checkpoint:
        return load_checkpoint.load_flow_lm(args.checkpoint)
    return FlowLMNetwork(read_flow_lm_config(tokenizer.vocabulary_size), LATENT_DIM, LATENT_DIM)


def tokenizer_of(work: Path, checkpoint: Path | None) -> Path:
    """Path of the tokenizer; with a checkpoint, a copy of the one that its network was trained with."""
    path = work / "flow/tokenizer.model"
    if checkpoint:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(find_checkpoint(config=checkpoint).tokenizer, path)
    return path


def train(args: argparse.Namespace) -> None:
    tokenizer = SubwordTokenizer(tokenizer_of(args.work, args.checkpoint))
    sentences, phones = read_sentences(args.work), read_names(args.work / "speech/phones.txt")
    voices = args.voices or voices_of(args.work / "speech")
    examples = read_all_examples(args.work, voices, sentences)
    training_examples = [example for example in examples if not is_validation(example.sentence)]
    validation_examples = [
        example for example in examples if is_validation(example.sentence) and example.voice < len(voices)
    ]
    sampler = BatchSampler(training_examples, sentences, tokenizer, args.positions, len(voices))
    validation_sampler = BatchSampler(validation_examples, sentences, tokenizer, args.positions, len(voices))
    batches = [validation_sampler.draw(random.Random(f"validation {number}")) for number in range(VALIDATION_BATCHES)]
    optimizers = partial(Optimizers, rate=args.rate, muon=args.muon, decay_ratio=args.falling)
    training = FlowLMTraining(args.work / "flow" / args.run, initial_network(args, tokenizer), len(phones), optimizers)
    if not args.checkpoint:
        statistics = load_file(args.work / "latents/statistics.safetensors")
        training.set_latent_statistics(statistics["mean"], statistics["std"])
    config, run = ObjectiveConfig(draws=args.draws, jumps=args.jumps), training.run
    print(f"{len(examples)} clips of {', '.join(voices)}; from step {run.step}", flush=True)
    if args.checkpoint and run.step == 0:
        training.warm_up_auxiliary_heads(sampler.draw, config)
        run.report("validation", training.validate(batches, config))
    while run.step < args.steps:
        training.train_step(sampler.draw(random.Random(run.step), BPE_DROPOUT_RATIO, PREFIX_RATIO), config, args.steps)
        if run.step % VALIDATION_STEPS == 0:
            run.report("validation", training.validate(batches, config))
    run.save()


def main() -> None:
    parser = argparse.ArgumentParser(description="Train FlowLM. If interrupted, the same command resumes.")
    parser.add_argument("--work", type=Path, required=True, help="folder shared by all stages")
    parser.add_argument("--run", default="main", help="name of this training; its files are in DIR/flow/NAME")
    parser.add_argument("--steps", type=int, default=24_000, help="total; the learning rate decays over the last part")
    parser.add_argument("--rate", type=float, default=2.5e-3, help="learning rate")
    parser.add_argument("--positions", type=int, default=1000, help="positions of all rows in a batch")
    parser.add_argument("--draws", type=int, default=2, help="noise draws per frame")
    parser.add_argument("--jumps", type=float, default=0.1, help="ratio of frames that train a jump")
    parser.add_argument("--muon", action="store_true", help="use Muon for matrices; pays with larger batches")
    parser.add_argument(
        "--falling", type=float, default=DECAY_RATIO, help="ratio of steps with a decaying learning rate"
    )
    parser.add_argument("--from", dest="checkpoint", type=Path, help="config of the checkpoint to start from")
    parser.add_argument("--voices", nargs="*", help="voices to train instead of the model's")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    args = parser.parse_args()
    use_device(args.device, args.threads)
    train(args)


if __name__ == "__main__":
    main()
