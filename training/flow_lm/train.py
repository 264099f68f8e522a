"""Stage 4b: train FlowLM. If interrupted, the same command resumes.

    python -m training.flow_lm.train --work DIR

`--from CONFIG` starts from the weights of a published checkpoint, whose latents must be compatible with those in DIR.
"""

import argparse
import random
import shutil
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
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
from training.flow_lm.objective import NOTHING_DROPPED, Dropout, ObjectiveConfig, objective
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

    def train_step(self, batch: Batch, config: ObjectiveConfig, steps: int, dropout: Dropout) -> None:
        loss, losses = self._loss(self.network, batch, config, self.run.step, dropout)
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
        self,
        network: FlowLMNetwork,
        batch: Batch,
        config: ObjectiveConfig,
        seed: int,
        dropout: Dropout = NOTHING_DROPPED,
    ) -> tuple[Tensor, dict[str, float]]:
        with fast_matmul():
            return objective(network, self.auxiliary, batch, config, seeded_generator(seed), dropout=dropout)


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What FlowLM is trained on: batches by random number, and fixed batches for validation."""

    sampler: BatchSampler
    validation: list[Batch]
    phones: int  # number of phone labels
    clips: int

    @classmethod
    def read(cls, work: Path, voices: list[str], tokenizer: SubwordTokenizer, positions: int) -> "TrainingData":
        sentences = read_sentences(work)
        examples = read_all_examples(work, voices, sentences)
        training = [example for example in examples if not is_validation(example.sentence)]
        unseen = [example for example in examples if is_validation(example.sentence) and example.voice < len(voices)]
        samplers = [BatchSampler(part, sentences, tokenizer, positions, len(voices)) for part in (training, unseen)]
        validation = [samplers[1].draw(random.Random(f"validation {number}")) for number in range(VALIDATION_BATCHES)]
        return cls(samplers[0], validation, len(read_names(work / "speech/phones.txt")), len(examples))

    def draw(self, step: int) -> Batch:
        return self.sampler.draw(random.Random(step), BPE_DROPOUT_RATIO, PREFIX_RATIO)


def read_flow_lm_config(vocabulary_size: int) -> FlowLMConfig:
    config = yaml.safe_load(CONFIG_FILE.read_text(encoding="utf-8"))
    config["lookup_table"]["n_bins"] = vocabulary_size
    return FlowLMConfig.model_validate(config)


def with_layers(shape: FlowLMConfig, layers: int) -> FlowLMConfig:
    """The same dimensions with another number of layers."""
    transformer = shape.transformer.model_copy(update={"num_layers": layers})
    return shape.model_copy(update={"transformer": transformer})


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
    voices = args.voices or voices_of(args.work / "speech")
    data = TrainingData.read(args.work, voices, tokenizer, args.positions)
    optimizers = partial(Optimizers, rate=args.rate, muon=args.muon, decay_ratio=args.falling)
    training = FlowLMTraining(args.work / "flow" / args.run, initial_network(args, tokenizer), data.phones, optimizers)
    if not args.checkpoint:
        statistics = load_file(args.work / "latents/statistics.safetensors")
        training.set_latent_statistics(statistics["mean"], statistics["std"])
    config, run = ObjectiveConfig(draws=args.draws, jumps=args.jumps), training.run
    print(f"{data.clips} clips of {', '.join(voices)}; from step {run.step}", flush=True)
    if args.checkpoint and run.step == 0:
        training.warm_up_auxiliary_heads(data.sampler.draw, config)
        run.report("validation", training.validate(data.validation, config))
    while run.step < args.steps:
        dropout = draw_dropout(run.step, args.text_dropout, args.voice_dropout)
        training.train_step(data.draw(run.step), config, args.steps, dropout)
        if run.step % VALIDATION_STEPS == 0:
            run.report("validation", training.validate(data.validation, config))
    run.save()


def draw_dropout(step: int, text_ratio: float, voice_ratio: float) -> Dropout:
    """What the batch of a step has to do without. A whole batch, since its rows share prompts."""
    rng = random.Random(f"dropout {step}")
    return Dropout(text=rng.random() < text_ratio, voice=rng.random() < voice_ratio)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train FlowLM. If interrupted, the same command resumes.")
    parser.add_argument("--work", type=Path, required=True, help="folder shared by all stages")
    parser.add_argument("--run", default="main", help="name of this training; its files are in DIR/flow/NAME")
    parser.add_argument("--steps", type=int, default=24_000, help="total; the learning rate decays over the last part")
    parser.add_argument("--rate", type=float, default=2.5e-3, help="learning rate")
    parser.add_argument("--positions", type=int, default=1000, help="positions of all rows in a batch")
    parser.add_argument("--draws", type=int, default=2, help="noise draws per frame")
    parser.add_argument("--jumps", type=float, default=0.1, help="ratio of frames that train a jump")
    parser.add_argument("--text-dropout", type=float, default=0.0, help="ratio of batches without text, for guidance")
    parser.add_argument("--voice-dropout", type=float, default=0.0, help="ratio of batches without a voice prompt")
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
