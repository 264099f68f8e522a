"""Stage 3d: teach the codec's decoder to speak the latents, by spectra, then with an adversary.

    python -m training.codec.decoder --work DIR

The latents are those of the sketch and never change, so this goes on while FlowLM learns, for as long as it pays. What
there was before the adversary came is kept as `before_adversary.pt`.
"""

import argparse
import shutil
from pathlib import Path

import torch
import yaml
from torch import Tensor, nn

from sayline_tts.engine.checkpoint.config import MimiConfig
from training.codec.codec_crops import CodecCrops, joined, own_and_strange
from training.codec.codec_network import Decoder
from training.codec.decoder_objective import (
    FRAMES,
    OPENING_FRAMES,
    OPENING_ROWS,
    Batch,
    Hearer,
    Weights,
    opening_loss,
    speak,
)
from training.codec.discriminator import Discriminator
from training.codec.latents import load_sketch
from training.data.clips import voices_of
from training.export import load_checkpoint
from training.trainer.matmul_precision import quick_products
from training.trainer.schedule import set_rate
from training.trainer.trainer import Run
from training.trainer.weight_averaging import Average

SHAPE = Path(__file__).parent / "codec.yaml"
STRANGE_ROWS = 2  # more in a batch are of strangers
MOST_NOISE = 0.3  # on latents, in their deviations
MOST_GRADIENT = 5.0
ADVERSARY_RATE = 3e-4
ADVERSARY_ALONE_STEPS = 500  # it learns to see before it is listened to
VALIDATION_STEPS = 500
VALIDATION_BATCHES = 8


def read_shape() -> MimiConfig:
    return MimiConfig.model_validate(yaml.safe_load(SHAPE.read_text(encoding="utf-8")))


class Training:
    """Everything that a checkpoint holds, and one step."""

    def __init__(self, work: Path, rate: float, adversary_from: int, checkpoint: Path | None = None) -> None:
        torch.manual_seed(0)
        shape, sketch = read_shape(), load_sketch(work)
        self._rate, self._adversary_from = rate, adversary_from
        self.decoder = load_checkpoint.decoder(checkpoint) if checkpoint else Decoder(shape)
        self.hearer = Hearer(shape.decoder_attention.d_model, sketch.mean, sketch.deviation)
        self.average = Average(self.decoder, Decoder(shape))
        self._learning = [*self.decoder.parameters(), *self.hearer.parameters()]
        self._optimizer = torch.optim.AdamW(self._learning, lr=rate, betas=(0.8, 0.98))
        self._adversary = Discriminator()
        self._adversary_optimizer = torch.optim.AdamW(
            self._adversary.parameters(), lr=ADVERSARY_RATE, betas=(0.8, 0.98)
        )
        self.run = Run(
            work / "codec/decoder",
            {
                "decoder": self.decoder,
                "hearer": self.hearer,
                "average": self.average,
                "optimizer": self._optimizer,
                "adversary": self._adversary,
                "adversary_optimizer": self._adversary_optimizer,
            },
        )
        torch.manual_seed(self.run.step)

    def learn(self, batch: Batch, opening: tuple[Tensor, Tensor], steps: int) -> None:
        step = self.run.step
        if step == self._adversary_from:
            self.run.save()
            shutil.copyfile(self.run.path, self.run.folder / "before_adversary.pt")
        set_rate(self._optimizer, self._rate, step, steps)
        spoken = speak(self.decoder, self.hearer, batch, MOST_NOISE)
        parts, reported = spoken.losses() | {"opening": opening_loss(self.decoder, *opening)}, {}
        if step >= self._adversary_from:
            with quick_products():
                seen_through = self._adversary.own_loss(spoken.sound, spoken.target)
            self._adversary_optimizer.zero_grad(set_to_none=True)
            seen_through.backward()
            self._adversary_optimizer.step()
            reported["seen_through"] = seen_through.item()
        if step >= self._adversary_from + ADVERSARY_ALONE_STEPS:
            parts |= spoken.losses_by(self._adversary)
        self._optimizer.zero_grad(set_to_none=True)
        Weights().total(parts).backward()
        norm = nn.utils.clip_grad_norm_(self._learning, MOST_GRADIENT)
        self._optimizer.step()
        self.average.update(self.decoder, step)
        reported |= {name: part.item() for name, part in parts.items()} | {"gradient": norm.item()}
        self.run.advance(reported)

    @torch.no_grad()
    def validate(self, batches: list[Batch]) -> None:
        """Of the averaged weights, without noise."""
        every = [speak(self.average.network, self.hearer, batch, 0.0).losses() for batch in batches]
        means = {name: sum(parts[name].item() for parts in every) / len(every) for name in every[0]}
        self.run.report("validation", means)


def train(work: Path, steps: int, rate: float, rows: int, adversary_from: int, checkpoint: Path | None = None) -> None:
    training = Training(work, rate, adversary_from, checkpoint)
    crops, strange = own_and_strange(work, FRAMES, rows, STRANGE_ROWS)
    unseen = CodecCrops(work, voices_of(work / "speech"), FRAMES, rows, validation=True)
    held_out = [unseen.batch(seed) for seed in range(VALIDATION_BATCHES)]
    print(f"{len(crops)} clips, from step {training.run.step}", flush=True)
    while training.run.step < steps:
        step = training.run.step
        training.learn(
            joined(crops.batch(step), strange.batch(step)), crops.openings(step, OPENING_ROWS, OPENING_FRAMES), steps
        )
        if training.run.step % VALIDATION_STEPS == 0:
            training.validate(held_out)
    training.run.save()


def main() -> None:
    parser = argparse.ArgumentParser(description="Teach the decoder to speak latents.")
    parser.add_argument("--work", type=Path, required=True, help="folder of all stages")
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--adversary-from", type=int, default=25_000, help="the step at which the adversary comes")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--from", dest="checkpoint", type=Path, help="config of the checkpoint to begin with")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(options.work, options.steps, options.rate, options.rows, options.adversary_from, options.checkpoint)


if __name__ == "__main__":
    main()
