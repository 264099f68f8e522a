"""Stage 3a: compute the mel patches (`training.data.spectra`) of all speech, once for several trainings.

    python -m training.codec.mel_patches --speech speech --out patches

Writes one float16 array `[frames, PATCH_SIZE]` for each shard, with the clips concatenated as in the shard.
"""

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from training.data.arrays import save_array
from training.data.clips import Shard, shards_of
from training.data.spectra import FRAME_SAMPLES, PATCH_SIZE, compute_patches
from training.trainer.device import to_device, use_device


def patches_of(shard: Shard) -> np.ndarray:
    """Patches of a shard; each clip is computed alone, with silence before it."""
    starts = shard.labels["audio_start"].tolist()
    patches = np.empty((starts[-1] // FRAME_SAMPLES, PATCH_SIZE), np.float16)
    for start, end in pairwise(starts):
        audio = to_device(torch.from_numpy(shard.audio[start:end].astype(np.float32) / 2**15))
        patches[start // FRAME_SAMPLES : end // FRAME_SAMPLES] = compute_patches(audio[None])[0].cpu().numpy()
    return patches


def main() -> None:
    parser = argparse.ArgumentParser(description="Compute the mel patches of all speech.")
    parser.add_argument("--speech", type=Path, required=True, help="folder of the speech")
    parser.add_argument("--out", type=Path, required=True, help="folder for the patches")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    options = parser.parse_args()
    use_device(options.device, options.threads)
    for shard in tqdm(shards_of(options.speech)):
        path = options.out / shard.voice / f"{shard.name}.npy"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            save_array(path, patches_of(shard))


if __name__ == "__main__":
    main()
