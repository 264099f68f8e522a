"""Stage 3d: train the codec's decoder, with spectral losses first, then adversarially.

    python -m training.codec.train_decoder --work DIR

The latents are those of the spectral autoencoder and never change, so this can run at the same time as FlowLM's
training. The state before adversarial training starts is kept as `before_adversary.pt`.
"""

import argparse
import shutil
from pathlib import Path

import torch
import yaml
from torch import Tensor, nn

from sayline_tts.engine.checkpoint.config import MimiConfig
from training.codec.crops import CodecCrops, concat_batches, own_and_augmented_crops
from training.codec.decoder_objective import (
    CLIP_START_FRAMES,
    CLIP_START_ROWS,
    FRAMES,
    CodecBatch,
    LossWeights,
    PatchHead,
    clip_start_loss,
    run_decoder,
)
from training.codec.discriminator import Discriminator
from training.codec.encode_latents import load_autoencoder
from training.codec.network import Decoder
from training.data.clips import voices_of
from training.export import load_checkpoint
from training.trainer.device import use_device
from training.trainer.matmul_precision import fast_matmul
from training.trainer.schedule import set_learning_rate
from training.trainer.training_run import TrainingRun
from training.trainer.weight_averaging import AveragedWeights

CONFIG_FILE = Path(__file__).parent / "codec.yaml"
AUGMENTED_ROWS = 2  # additional rows of augmented speakers in a batch
MAX_NOISE = 0.3  # on latents, in standard deviations
MAX_GRADIENT_NORM = 5.0
DISCRIMINATOR_RATE = 3e-4
DISCRIMINATOR_WARMUP_STEPS = 500  # it trains alone before its losses count for the decoder
VALIDATION_STEPS = 500
VALIDATION_BATCHES = 8


def read_codec_config() -> MimiConfig:
    return MimiConfig.model_validate(yaml.safe_load(CONFIG_FILE.read_text(encoding="utf-8")))


class DecoderTraining:
    """The networks and optimizers of a decoder training, and one training step."""

    def __init__(self, work: Path, rate: float, adversary_from: int, checkpoint: Path | None = None) -> None:
        torch.manual_seed(0)
        shape, autoencoder = read_codec_config(), load_autoencoder(work)
        self._rate, self._adversary_from = rate, adversary_from
        self.decoder = load_checkpoint.load_decoder(checkpoint) if checkpoint else Decoder(shape)
        self.patch_head = PatchHead(shape.decoder_attention.d_model, autoencoder.mean, autoencoder.deviation)
        self.average = AveragedWeights(self.decoder, Decoder(shape))
        self._parameters = [*self.decoder.parameters(), *self.patch_head.parameters()]
        self._optimizer = torch.optim.AdamW(self._parameters, lr=rate, betas=(0.8, 0.98))
        self._discriminator = Discriminator()
        self._discriminator_optimizer = torch.optim.AdamW(
            self._discriminator.parameters(), lr=DISCRIMINATOR_RATE, betas=(0.8, 0.98)
        )
        self.run = TrainingRun(
            work / "codec/decoder",
            {
                "decoder": self.decoder,
                "patch_head": self.patch_head,
                "average": self.average,
                "optimizer": self._optimizer,
                "discriminator": self._discriminator,
                "discriminator_optimizer": self._discriminator_optimizer,
            },
        )
        torch.manual_seed(self.run.step)

    def train_step(self, batch: CodecBatch, clip_starts: tuple[Tensor, Tensor], steps: int) -> None:
        step = self.run.step
        if step == self._adversary_from:
            self.run.save()
            shutil.copyfile(self.run.path, self.run.folder / "before_adversary.pt")
        set_learning_rate(self._optimizer, self._rate, step, steps)
        output = run_decoder(self.decoder, self.patch_head, batch, MAX_NOISE)
        losses, reported = output.losses() | {"clip_start": clip_start_loss(self.decoder, *clip_starts)}, {}
        if step >= self._adversary_from:
            with fast_matmul():
                discriminator_loss = self._discriminator.discriminator_loss(output.audio, output.target)
            self._discriminator_optimizer.zero_grad(set_to_none=True)
            discriminator_loss.backward()
            self._discriminator_optimizer.step()
            reported["discriminator"] = discriminator_loss.item()
        if step >= self._adversary_from + DISCRIMINATOR_WARMUP_STEPS:
            losses |= output.adversarial_losses(self._discriminator)
        self._optimizer.zero_grad(set_to_none=True)
        LossWeights().total(losses).backward()
        norm = nn.utils.clip_grad_norm_(self._parameters, MAX_GRADIENT_NORM)
        self._optimizer.step()
        self.average.update(self.decoder, step)
        reported |= {name: loss.item() for name, loss in losses.items()} | {"gradient_norm": norm.item()}
        self.run.log_step(reported)

    @torch.no_grad()
    def validate(self, batches: list[CodecBatch]) -> None:
        """Report the mean losses of the averaged weights, without noise."""
        all_losses = [run_decoder(self.average.network, self.patch_head, batch, 0.0).losses() for batch in batches]
        means = {name: sum(losses[name].item() for losses in all_losses) / len(all_losses) for name in all_losses[0]}
        self.run.report("validation", means)


def train(work: Path, steps: int, rate: float, rows: int, adversary_from: int, checkpoint: Path | None = None) -> None:
    training = DecoderTraining(work, rate, adversary_from, checkpoint)
    crops, augmented = own_and_augmented_crops(work, FRAMES, rows, AUGMENTED_ROWS)
    validation_crops = CodecCrops(work, voices_of(work / "speech"), FRAMES, rows, validation=True)
    validation_batches = [validation_crops.batch(seed) for seed in range(VALIDATION_BATCHES)]
    print(f"{len(crops)} clips, from step {training.run.step}", flush=True)
    while training.run.step < steps:
        step = training.run.step
        batch = concat_batches(crops.batch(step), augmented.batch(step))
        training.train_step(batch, crops.clip_starts(step, CLIP_START_ROWS, CLIP_START_FRAMES), steps)
        if training.run.step % VALIDATION_STEPS == 0:
            training.validate(validation_batches)
    training.run.save()


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the codec's decoder.")
    parser.add_argument("--work", type=Path, required=True, help="folder shared by all stages")
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--adversary-from", type=int, default=25_000, help="step at which adversarial training starts")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--from", dest="checkpoint", type=Path, help="config of the checkpoint to start from")
    options = parser.parse_args()
    use_device(options.device, options.threads)
    train(options.work, options.steps, options.rate, options.rows, options.adversary_from, options.checkpoint)


if __name__ == "__main__":
    main()
