"""Stage 3c: all speech as latents of the sketch, for FlowLM and for the codec's own halves to learn from.

    python -m training.codec.latents --work DIR

Shards that are there stay; after a new sketch, remove the folder. `statistics.safetensors` is what FlowLM scales by.
"""

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor
from tqdm import tqdm

from training.codec.spectral_autoencoder_network import LATENT, PAST_PATCHES, Sketch
from training.data.clips import FRAME_SAMPLES, Shard, shards_of, voices_of
from training.data.files import write_arrays, write_whole
from training.data.spectra import silent_patches


def load_sketch(work: Path) -> Sketch:
    sketch = Sketch()
    state = torch.load(work / "codec/sketch/checkpoint.pt", weights_only=True)
    sketch.load_state_dict(state["sketch"])
    return sketch.eval()


@torch.inference_mode()
def encode(sketch: Sketch, patches: Tensor) -> Tensor:
    """One clip: patches `[frames, PATCH]` to latents `[frames, LATENT]`."""
    return sketch.encode(torch.cat([silent_patches(PAST_PATCHES), patches])[None])[0]


def latents_of(shard: Shard, sketch: Sketch, patches: np.ndarray) -> dict[str, np.ndarray]:
    starts = (shard.labels["audio_start"] // FRAME_SAMPLES).astype(np.int32)
    whole = np.empty((starts[-1], LATENT), np.float16)
    for start, end in pairwise(starts.tolist()):
        whole[start:end] = encode(sketch, torch.from_numpy(patches[start:end].astype(np.float32))).numpy()
    return {"latent": whole, "start": starts}


def encode_all(work: Path) -> None:
    """All shards that are not there yet, then the statistics of all."""
    sketch = load_sketch(work)
    voices = voices_of(work / "speech")
    sums = torch.zeros(3, LATENT, dtype=torch.double)
    for shard in tqdm(shards_of(work / "speech")):
        source, path = (
            work / "patches" / shard.voice / f"{shard.name}.npy",
            work / "latents" / shard.voice / shard.path.name,
        )
        if not path.exists() and source.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_arrays(path, latents_of(shard, sketch, np.load(source, mmap_mode="r")))
        if shard.voice in voices and path.exists():
            latents = torch.from_numpy(np.load(path)["latent"]).double()
            sums += torch.stack([torch.full((LATENT,), float(len(latents))), latents.sum(0), latents.square().sum(0)])
    mean = sums[1] / sums[0]
    statistics = {"mean": mean.float(), "std": (sums[2] / sums[0] - mean.square()).sqrt().float()}
    write_whole(work / "latents/statistics.safetensors", save(statistics))


def main() -> None:
    parser = argparse.ArgumentParser(description="Encode all speech.")
    parser.add_argument("--work", type=Path, required=True, help="folder of all stages")
    options = parser.parse_args()
    torch.set_num_threads(1)
    encode_all(options.work)


if __name__ == "__main__":
    main()
