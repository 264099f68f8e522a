"""Stage 3b: learn the sketch (`training.codec.spectral_autoencoder_network`), minutes on one core.

    python -m training.codec.spectral_autoencoder --work DIR

`--as CONFIG`: its latents shall mean what those of this published checkpoint mean.
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

from training.codec.latent_anchor import FRAME_S, Anchor
from training.codec.spectral_autoencoder_network import PAST_LATENTS, PAST_PATCHES, PHONES_PER_FRAME, Sketch
from training.data.clips import FRAME_SAMPLES, Clip, read_clips, strangers_of, voices_of
from training.data.spectra import FLOOR, MEL_VALUES, PATCH
from training.trainer.matmul_precision import quick_products
from training.trainer.schedule import set_rate
from training.trainer.trainer import Run

PAST = PAST_PATCHES + PAST_LATENTS  # frames of a crop that only are seen
FRAMES = 16  # of a crop that count
ROWS = 16  # of a batch
STRANGE_ROWS = 4  # more in a batch are of strangers, so that latents have room for voices that are not there
ANCHOR_ROWS, ANCHOR_CLIPS, ANCHOR_WEIGHT = 12, 600, 1.0  # where latents shall mean what a checkpoint's mean
MOST_NOISE = 0.3  # of a latent's deviation: FlowLM will not hit it exactly
VALIDATION_STEPS = 500
VALIDATION_ROWS = 256


class PatchCrops:
    """Random stretches of the patches on disk, and the phones in them."""

    def __init__(self, folder: Path, clips: list[Clip], rows: int) -> None:
        self._files = {
            clip.shard: np.load(folder / clip.voice / f"{clip.shard.name}.npy", mmap_mode="r") for clip in clips
        }
        self._clips, self._rows = clips, rows
        lengths = np.array([clip.samples for clip in clips], dtype=np.float64)
        self._chances = lengths / lengths.sum()

    def batch(self, seed: int) -> tuple[Tensor, Tensor]:
        """Patches `[rows, PAST + FRAMES, PATCH]`, phones `[rows, FRAMES, PHONES_PER_FRAME]`."""
        chance = np.random.default_rng(seed)
        crops = [
            self._crop(self._clips[at], chance) for at in chance.choice(len(self._clips), self._rows, p=self._chances)
        ]
        return torch.from_numpy(np.stack([crop for crop, _ in crops])), torch.from_numpy(
            np.stack([p for _, p in crops])
        )

    def _crop(self, clip: Clip, chance: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        begin, frames = clip.first_sample // FRAME_SAMPLES, clip.samples // FRAME_SAMPLES
        first = int(chance.integers(-PAST, max(1 - PAST, frames - PAST - FRAMES + 1)))
        crop = np.full((PAST + FRAMES, PATCH), math.log(FLOOR), np.float32)
        heard = self._files[clip.shard][begin + max(0, first) : begin + min(frames, first + PAST + FRAMES)]
        crop[max(0, -first) : max(0, -first) + len(heard)] = heard
        times_s = (first + PAST + (np.arange(FRAMES * PHONES_PER_FRAME) + 0.5) / PHONES_PER_FRAME) * FRAME_S
        return crop, clip.phones_at(times_s).reshape(FRAMES, PHONES_PER_FRAME)


def losses(sketch: Sketch, batch: Tensor, phones: Tensor, noise: float, generator: torch.Generator,
           anchored: Tensor | None = None) -> dict[str, Tensor]:  # fmt: skip
    """`noise`: the most of it, in deviations of a latent. `anchored`: what the latents of the last rows shall be."""
    latents = sketch.encode(batch)  # [rows, PAST_LATENTS + FRAMES, LATENT]
    amount = torch.rand(len(batch), 1, 1, generator=generator) * noise
    noisy = latents + torch.randn(latents.shape, generator=generator) * amount
    error = (sketch.decode(noisy) - sketch.normal(batch[:, PAST:])).abs()
    named = sketch.name_phones(noisy[:, PAST_LATENTS:])
    parts = {
        "mel": error[..., :MEL_VALUES].mean(),
        "pitch": error[..., MEL_VALUES:].mean(),
        "phones": F.cross_entropy(named.flatten(0, 2), phones.flatten()),
        "phones_right": (named.argmax(-1) == phones).float().mean(),
    }
    if anchored is not None:
        parts["anchor"] = F.mse_loss(latents[-len(anchored) :, PAST_LATENTS:], anchored)
    return parts


def train(work: Path, steps: int, rate: float, checkpoint: Path | None = None) -> None:
    sketch = Sketch()
    optimizer = torch.optim.AdamW(sketch.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
    run = Run(work / "codec/sketch", {"sketch": sketch, "optimizer": optimizer})
    voices, strangers = voices_of(work / "speech"), strangers_of(work / "speech")
    there = _with_patches(work, voices)
    crops = PatchCrops(work / "patches", there, ROWS)
    strange = PatchCrops(work / "patches", _with_patches(work, strangers) or there, STRANGE_ROWS)
    held_out = PatchCrops(work / "patches", _with_patches(work, voices, validation=True), VALIDATION_ROWS).batch(0)
    anchor = Anchor(checkpoint, _some(there, ANCHOR_CLIPS), PAST, FRAMES) if checkpoint else None
    if run.step == 0:
        sample = torch.cat([crops.batch(seed)[0] for seed in range(20)]).flatten(0, 1)
        sketch.mean.copy_(sample.mean(0))
        sketch.deviation.copy_(sample.std(0).clamp_min(0.1))
    print(f"{len(there)} clips, from step {run.step}", flush=True)
    while run.step < steps:
        set_rate(optimizer, rate, run.step, steps)
        batch, phones = _joined(crops.batch(run.step), strange.batch(run.step))
        anchored = None
        if anchor:
            *known, anchored = anchor.batch(run.step, ANCHOR_ROWS)
            batch, phones = _joined((batch, phones), known)
        generator = torch.Generator().manual_seed(run.step)
        with quick_products():
            parts = losses(sketch, batch, phones, MOST_NOISE, generator, anchored)
        loss = parts["mel"] + 0.6 * parts["pitch"] + 0.1 * parts["phones"]
        if anchored is not None:
            loss = loss + ANCHOR_WEIGHT * parts["anchor"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        run.advance({name: float(part.detach()) for name, part in parts.items()})
        if run.step % VALIDATION_STEPS == 0:
            for noise, kind in ((0.0, "validation"), (2 * MOST_NOISE, "validation_noisy")):
                run.report(kind, judge(sketch, held_out, noise))
    run.save()


def _with_patches(work: Path, voices: Sequence[str], validation: bool = False) -> list[Clip]:
    return [
        clip
        for clip in read_clips(work / "speech", voices, validation)
        if (work / "patches" / clip.voice / f"{clip.shard.name}.npy").exists()
    ]


def _some(clips: Sequence[Clip], most: int) -> list[Clip]:
    return random.Random(0).sample(clips, min(most, len(clips)))


@torch.no_grad()
def judge(sketch: Sketch, held_out: tuple[Tensor, Tensor], noise: float) -> dict[str, float]:
    sketch.eval()
    parts = losses(sketch, *held_out, noise, torch.Generator().manual_seed(0))
    sketch.train()
    return {name: float(part) for name, part in parts.items()}


def _joined(one: Sequence[Tensor], other: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Rows of both: patches and phones."""
    return torch.cat([one[0], other[0]]), torch.cat([one[1], other[1]])


def main() -> None:
    parser = argparse.ArgumentParser(description="Learn the sketch, which settles what latents mean.")
    parser.add_argument("--work", type=Path, required=True, help="folder of all stages")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--as", dest="checkpoint", type=Path, help="config of the checkpoint that they shall be like")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(options.work, options.steps, options.rate, options.checkpoint)


if __name__ == "__main__":
    main()
