"""Stage 3c: encode all speech with the spectral autoencoder, as training data for FlowLM and for the codec.

    python -m training.codec.encode_latents --work DIR

Existing shards are kept; remove the folder after training a new autoencoder. `statistics.safetensors` holds the mean
and standard deviation with which FlowLM normalizes latents.
"""

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor
from tqdm import tqdm

from sayline_tts.engine.checkpoint.atomic_write import atomic_write
from training.codec.spectral_autoencoder import LATENT_DIM, PAST_PATCHES, SpectralAutoencoder
from training.data.arrays import save_arrays
from training.data.clips import FRAME_SAMPLES, Shard, shards_of, voices_of
from training.data.spectra import silent_patches
from training.trainer.device import current_device, to_device, use_device


def load_autoencoder(work: Path) -> SpectralAutoencoder:
    autoencoder = SpectralAutoencoder()
    state = torch.load(
        work / "codec/spectral_autoencoder/checkpoint.pt", weights_only=True, map_location=current_device()
    )
    autoencoder.load_state_dict(state["autoencoder"])
    return autoencoder.eval()


@torch.inference_mode()
def encode(autoencoder: SpectralAutoencoder, patches: Tensor) -> Tensor:
    """Encode one clip: patches `[frames, PATCH_SIZE]` to latents `[frames, LATENT_DIM]`."""
    return autoencoder.encode(torch.cat([silent_patches(PAST_PATCHES), patches])[None])[0]


def latents_of(shard: Shard, autoencoder: SpectralAutoencoder, patches: np.ndarray) -> dict[str, np.ndarray]:
    starts = (shard.labels["audio_start"] // FRAME_SAMPLES).astype(np.int32)
    latents = np.empty((starts[-1], LATENT_DIM), np.float16)
    for start, end in pairwise(starts.tolist()):
        clip = to_device(torch.from_numpy(patches[start:end].astype(np.float32)))
        latents[start:end] = encode(autoencoder, clip).cpu().numpy()
    return {"latent": latents, "start": starts}


def encode_all(work: Path) -> None:
    """Encode all missing shards, then compute the statistics over all shards."""
    autoencoder = load_autoencoder(work)
    voices = voices_of(work / "speech")
    sums = torch.zeros(3, LATENT_DIM, dtype=torch.double, device="cpu")
    for shard in tqdm(shards_of(work / "speech")):
        source, path = (
            work / "patches" / shard.voice / f"{shard.name}.npy",
            work / "latents" / shard.voice / shard.path.name,
        )
        if not path.exists() and source.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            save_arrays(path, latents_of(shard, autoencoder, np.load(source, mmap_mode="r")))
        if shard.voice in voices and path.exists():
            latents = torch.from_numpy(np.load(path)["latent"]).double()
            sums += torch.stack(
                [torch.full_like(latents[0], float(len(latents))), latents.sum(0), latents.square().sum(0)]
            )
    mean = sums[1] / sums[0]
    statistics = {"mean": mean.float(), "std": (sums[2] / sums[0] - mean.square()).sqrt().float()}
    atomic_write(work / "latents/statistics.safetensors", save(statistics))


def main() -> None:
    parser = argparse.ArgumentParser(description="Encode all speech to latents.")
    parser.add_argument("--work", type=Path, required=True, help="folder shared by all stages")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    options = parser.parse_args()
    use_device(options.device, 1)
    encode_all(options.work)


if __name__ == "__main__":
    main()
