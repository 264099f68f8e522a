"""Stage 3b: train the spectral autoencoder (`training.codec.spectral_autoencoder`), minutes on one core.

    python -m training.codec.train_spectral_autoencoder --work DIR

`--as CONFIG`: make its latents compatible with those of this published checkpoint.
"""

import argparse
import math
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from training.codec.latent_anchor import FRAME_S, LatentAnchor
from training.codec.spectral_autoencoder import PAST_LATENTS, PAST_PATCHES, PHONES_PER_FRAME, SpectralAutoencoder
from training.data.clips import FRAME_SAMPLES, Clip, augmented_speakers_of, read_clips, voices_of
from training.data.spectra import FLOOR, MEL_VALUES, PATCH_SIZE
from training.trainer.device import seeded_generator, to_device, use_device
from training.trainer.matmul_precision import fast_matmul
from training.trainer.schedule import set_learning_rate
from training.trainer.training_run import TrainingRun

PAST = PAST_PATCHES + PAST_LATENTS  # context frames of a crop
FRAMES = 16  # frames of a crop that count
ROWS = 16  # rows of a batch
AUGMENTED_ROWS = 4  # additional rows of augmented speakers, so that the latents can represent unseen voices
ANCHOR_ROWS, ANCHOR_CLIPS, ANCHOR_WEIGHT = 12, 600, 1.0  # for `--as`
MAX_NOISE = 0.3  # on latents, in standard deviations: FlowLM's predictions are not exact
VALIDATION_STEPS = 500
VALIDATION_ROWS = 256


class PatchCrops:
    """Random crops of the patches on disk, with their phones."""

    def __init__(self, folder: Path, clips: list[Clip], rows: int) -> None:
        self._files = {
            clip.shard: np.load(folder / clip.voice / f"{clip.shard.name}.npy", mmap_mode="r") for clip in clips
        }
        self._clips, self._rows = clips, rows
        lengths = np.array([clip.samples for clip in clips], dtype=np.float64)
        self._probabilities = lengths / lengths.sum()

    def batch(self, seed: int) -> tuple[Tensor, Tensor]:
        """Patches `[rows, PAST + FRAMES, PATCH_SIZE]`, phones `[rows, FRAMES, PHONES_PER_FRAME]`."""
        rng = np.random.default_rng(seed)
        crops = [
            self._crop(self._clips[index], rng)
            for index in rng.choice(len(self._clips), self._rows, p=self._probabilities)
        ]
        patches, phones = zip(*crops, strict=True)
        return to_device(torch.from_numpy(np.stack(patches))), to_device(torch.from_numpy(np.stack(phones)))

    def _crop(self, clip: Clip, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        begin, frames = clip.first_sample // FRAME_SAMPLES, clip.samples // FRAME_SAMPLES
        first = int(rng.integers(-PAST, max(1 - PAST, frames - PAST - FRAMES + 1)))
        crop = np.full((PAST + FRAMES, PATCH_SIZE), math.log(FLOOR), np.float32)
        available = self._files[clip.shard][begin + max(0, first) : begin + min(frames, first + PAST + FRAMES)]
        crop[max(0, -first) : max(0, -first) + len(available)] = available
        times_s = (first + PAST + (np.arange(FRAMES * PHONES_PER_FRAME) + 0.5) / PHONES_PER_FRAME) * FRAME_S
        return crop, clip.phones_at(times_s).reshape(FRAMES, PHONES_PER_FRAME)


def losses(autoencoder: SpectralAutoencoder, batch: Tensor, phones: Tensor, noise: float, generator: torch.Generator,
           anchor_latents: Tensor | None = None) -> dict[str, Tensor]:  # fmt: skip
    """Losses of a batch of patches, and the phone accuracy.

    `noise`: maximum noise, in standard deviations of a latent. `anchor_latents`: target latents of the last rows.
    """
    latents = autoencoder.encode(batch)  # [rows, PAST_LATENTS + FRAMES, LATENT_DIM]
    amount = torch.rand(len(batch), 1, 1, generator=generator) * noise
    noisy = latents + torch.randn(latents.shape, generator=generator) * amount
    error = (autoencoder.decode(noisy) - autoencoder.normalize(batch[:, PAST:])).abs()
    logits = autoencoder.classify_phones(noisy[:, PAST_LATENTS:])
    parts = {
        "mel": error[..., :MEL_VALUES].mean(),
        "pitch": error[..., MEL_VALUES:].mean(),
        "phones": F.cross_entropy(logits.flatten(0, 2), phones.flatten()),
        "phone_accuracy": (logits.argmax(-1) == phones).float().mean(),
    }
    if anchor_latents is not None:
        parts["anchor"] = F.mse_loss(latents[-len(anchor_latents) :, PAST_LATENTS:], anchor_latents)
    return parts


def train(work: Path, steps: int, rate: float, checkpoint: Path | None = None) -> None:
    autoencoder = SpectralAutoencoder()
    optimizer = torch.optim.AdamW(autoencoder.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
    run = TrainingRun(work / "codec/spectral_autoencoder", {"autoencoder": autoencoder, "optimizer": optimizer})
    voices, augmented_voices = voices_of(work / "speech"), augmented_speakers_of(work / "speech")
    clips = _with_patches(work, voices)
    crops = PatchCrops(work / "patches", clips, ROWS)
    augmented = PatchCrops(work / "patches", _with_patches(work, augmented_voices) or clips, AUGMENTED_ROWS)
    held_out = PatchCrops(work / "patches", _with_patches(work, voices, validation=True), VALIDATION_ROWS).batch(0)
    anchor = LatentAnchor(checkpoint, _sample_clips(clips, ANCHOR_CLIPS), PAST, FRAMES) if checkpoint else None
    if run.step == 0:
        sample = torch.cat([crops.batch(seed)[0] for seed in range(20)]).flatten(0, 1)
        autoencoder.mean.copy_(sample.mean(0))
        autoencoder.deviation.copy_(sample.std(0).clamp_min(0.1))
    print(f"{len(clips)} clips, from step {run.step}", flush=True)
    while run.step < steps:
        set_learning_rate(optimizer, rate, run.step, steps)
        batch, phones = _concat(crops.batch(run.step), augmented.batch(run.step))
        anchor_latents = None
        if anchor:
            *anchor_batch, anchor_latents = anchor.batch(run.step, ANCHOR_ROWS)
            batch, phones = _concat((batch, phones), anchor_batch)
        generator = seeded_generator(run.step)
        with fast_matmul():
            parts = losses(autoencoder, batch, phones, MAX_NOISE, generator, anchor_latents)
        loss = parts["mel"] + 0.6 * parts["pitch"] + 0.1 * parts["phones"]
        if anchor_latents is not None:
            loss = loss + ANCHOR_WEIGHT * parts["anchor"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        run.log_step({name: float(part.detach()) for name, part in parts.items()})
        if run.step % VALIDATION_STEPS == 0:
            for noise, kind in ((0.0, "validation"), (2 * MAX_NOISE, "validation_noisy")):
                run.report(kind, validate(autoencoder, held_out, noise))
    run.save()


def _with_patches(work: Path, voices: Sequence[str], validation: bool = False) -> list[Clip]:
    return [
        clip
        for clip in read_clips(work / "speech", voices, validation)
        if (work / "patches" / clip.voice / f"{clip.shard.name}.npy").exists()
    ]


def _sample_clips(clips: Sequence[Clip], count: int) -> list[Clip]:
    return random.Random(0).sample(clips, min(count, len(clips)))


@torch.no_grad()
def validate(autoencoder: SpectralAutoencoder, held_out: tuple[Tensor, Tensor], noise: float) -> dict[str, float]:
    autoencoder.eval()
    parts = losses(autoencoder, *held_out, noise, seeded_generator(0))
    autoencoder.train()
    return {name: float(part) for name, part in parts.items()}


def _concat(one: Sequence[Tensor], other: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The rows of two batches of patches and phones."""
    return torch.cat([one[0], other[0]]), torch.cat([one[1], other[1]])


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the spectral autoencoder, which defines the latent space.")
    parser.add_argument("--work", type=Path, required=True, help="folder shared by all stages")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--as", dest="checkpoint", type=Path, help="config of the checkpoint to be compatible with")
    options = parser.parse_args()
    use_device(options.device, options.threads)
    train(options.work, options.steps, options.rate, options.checkpoint)


if __name__ == "__main__":
    main()
