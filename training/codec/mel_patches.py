"""Stage 3a: the patches (`training.data.spectra`) of all speech, computed once because several trainings read them.

    python -m training.codec.mel_patches --speech speech --out patches

For each shard of speech one array of float16, `[frames, PATCH]`, clips one behind the other as in the shard.
"""

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from training.data.clips import Shard, shards_of
from training.data.files import write_array
from training.data.spectra import FRAME_SAMPLES, PATCH, patches


def patches_of(shard: Shard) -> np.ndarray:
    """Each clip by itself: silence was before it."""
    starts = shard.labels["audio_start"].tolist()
    whole = np.empty((starts[-1] // FRAME_SAMPLES, PATCH), np.float16)
    for start, end in pairwise(starts):
        audio = torch.from_numpy(shard.audio[start:end].astype(np.float32) / 2**15)
        whole[start // FRAME_SAMPLES : end // FRAME_SAMPLES] = patches(audio[None])[0].numpy()
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(description="Compute the spectra that the codec's training aims at.")
    parser.add_argument("--speech", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for shard in tqdm(shards_of(options.speech)):
        path = options.out / shard.voice / f"{shard.name}.npy"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            whole = patches_of(shard)
            write_array(path, whole)


if __name__ == "__main__":
    main()
