"""Stage 3b: learn the sketch (`training.sketch_network`), minutes on one core.

python -m training.sketch --work DIR
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from training.data import FRAME_SAMPLES, Clip, Crops, read_clips, voices_of
from training.run import Run
from training.schedule import set_rate
from training.sketch_network import PAST_LATENTS, PAST_PATCHES, PHONES_PER_FRAME, Sketch
from training.spectra import FLOOR, MEL_VALUES, PATCH, patches

FRAME_S = 0.08
PAST = PAST_PATCHES + PAST_LATENTS  # frames of a crop that only are seen
FRAMES = 16  # of a crop that count
ROWS = 16  # of a batch
STRANGE_ROWS = 4  # more in a batch are played faster or slower, so that latents hold voices that are not there
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


def losses(sketch: Sketch, batch: Tensor, phones: Tensor, noise: float, random: torch.Generator) -> dict[str, Tensor]:
    """`noise`: the most of it, in deviations of a latent."""
    latents = sketch.encode(batch)  # [rows, PAST_LATENTS + FRAMES, LATENT]
    amount = torch.rand(len(batch), 1, 1, generator=random) * noise
    noisy = latents + torch.randn(latents.shape, generator=random) * amount
    error = (sketch.decode(noisy) - sketch.normal(batch[:, PAST:])).abs()
    named = sketch.name_phones(noisy[:, PAST_LATENTS:])
    return {
        "mel": error[..., :MEL_VALUES].mean(),
        "pitch": error[..., MEL_VALUES:].mean(),
        "phones": F.cross_entropy(named.flatten(0, 2), phones.flatten()),
        "phones_right": (named.argmax(-1) == phones).float().mean(),
    }


def train(work: Path, steps: int, rate: float) -> None:
    sketch = Sketch()
    optimizer = torch.optim.AdamW(sketch.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
    run = Run(work / "codec/sketch", {"sketch": sketch, "optimizer": optimizer})
    voices = voices_of(work / "speech")
    there = [
        clip
        for clip in read_clips(work / "speech", voices)
        if (work / "patches" / clip.voice / f"{clip.shard.name}.npy").exists()
    ]
    crops = PatchCrops(work / "patches", there, ROWS)
    strange = Crops(there, PAST + FRAMES, STRANGE_ROWS, changed_speakers=1.0)
    unseen = [
        clip
        for clip in read_clips(work / "speech", voices, validation=True)
        if (work / "patches" / clip.voice / f"{clip.shard.name}.npy").exists()
    ]
    held_out = PatchCrops(work / "patches", unseen, VALIDATION_ROWS).batch(0)
    if run.step == 0:
        sample = torch.cat([crops.batch(-seed)[0] for seed in range(-20, 0)]).flatten(0, 1)
        sketch.mean.copy_(sample.mean(0))
        sketch.deviation.copy_(sample.std(0).clamp_min(0.1))
    print(f"{len(there)} clips, from step {run.step}", flush=True)
    while run.step < steps:
        set_rate(optimizer, rate, run.step, steps)
        batch, phones = _joined(crops.batch(run.step), strange.batch(run.step, FRAME_S / PHONES_PER_FRAME))
        random = torch.Generator().manual_seed(run.step)
        with torch.autocast("cpu", torch.bfloat16):
            parts = losses(sketch, batch, phones, MOST_NOISE, random)
            loss = parts["mel"] + 0.6 * parts["pitch"] + 0.1 * parts["phones"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        run.advance({name: float(part.detach()) for name, part in parts.items()})
        if run.step % VALIDATION_STEPS == 0:
            for noise, kind in ((0.0, "validation"), (2 * MOST_NOISE, "validation_noisy")):
                run.report(kind, judge(sketch, held_out, noise))
    run.save()


@torch.no_grad()
def judge(sketch: Sketch, held_out: tuple[Tensor, Tensor], noise: float) -> dict[str, float]:
    sketch.eval()
    parts = losses(sketch, *held_out, noise, torch.Generator().manual_seed(0))
    sketch.train()
    return {name: float(part) for name, part in parts.items()}


def _joined(
    cached: tuple[Tensor, Tensor], strange: tuple[NDArray[np.float32], NDArray[np.int64]]
) -> tuple[Tensor, Tensor]:
    sounds, phones = strange
    named = torch.from_numpy(phones).unflatten(1, (-1, PHONES_PER_FRAME))[:, PAST:]
    return torch.cat([cached[0], patches(torch.from_numpy(sounds))]), torch.cat([cached[1], named])


def main() -> None:
    parser = argparse.ArgumentParser(description="Learn the sketch, which settles what latents mean.")
    parser.add_argument("--work", type=Path, required=True, help="folder of all stages")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(options.work, options.steps, options.rate)


if __name__ == "__main__":
    main()
