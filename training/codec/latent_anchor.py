"""Latent anchor: pairs of patches and latents of a published checkpoint, which a new spectral autoencoder must match.

Used if the folder in which the checkpoint was trained no longer exists. There are two kinds of pairs: real speech with
the latents of the checkpoint's encoder, which contain that encoder's errors; and those latents with the speech that the
checkpoint's decoder makes from them, which match exactly.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from training.codec.spectral_autoencoder import LATENT_DIM, PHONES_PER_FRAME
from training.data.clips import Clip
from training.data.spectra import FRAME_SAMPLES, compute_patches
from training.export import load_checkpoint
from training.trainer.device import to_device
from training.trainer.matmul_precision import fast_matmul

FRAME_S = 0.08


class LatentAnchor:
    """Random crops of `past` context frames and `frames` frames with latents."""

    def __init__(self, config: Path, clips: Sequence[Clip], past: int, frames: int) -> None:
        self._past, self._frames = past, frames
        self._clips = [clip for clip in clips if clip.samples >= (past + frames) * FRAME_SAMPLES]
        encoder, decoder = load_checkpoint.load_encoder(config).eval(), load_checkpoint.load_decoder(config).eval()
        with torch.inference_mode(), fast_matmul():
            self._pairs = [_paired_patches(encoder, decoder, clip) for clip in tqdm(self._clips)]

    def batch(self, seed: int, rows: int) -> tuple[Tensor, Tensor, Tensor]:
        """Patches `[rows, past + frames, PATCH_SIZE]`; phones and latents `[rows, frames, ...]`."""
        rng = np.random.default_rng([seed, 1])
        patches, phones, latents = [], [], []
        for index in rng.integers(len(self._clips), size=rows):
            clip_patches, clip_latents = self._pairs[index]
            first = int(rng.integers(len(clip_latents) - self._past - self._frames + 1)) + self._past
            patches.append(clip_patches[int(rng.integers(2)), first - self._past : first + self._frames].float())
            latents.append(clip_latents[first : first + self._frames].float())
            times_s = (first + (np.arange(self._frames * PHONES_PER_FRAME) + 0.5) / PHONES_PER_FRAME) * FRAME_S
            phones.append(self._clips[index].phones_at(times_s).reshape(self._frames, PHONES_PER_FRAME))
        return torch.stack(patches), to_device(torch.from_numpy(np.stack(phones))), torch.stack(latents)


def _paired_patches(encoder: torch.nn.Module, decoder: torch.nn.Module, clip: Clip) -> tuple[Tensor, Tensor]:
    """Patches `[2, frames, PATCH_SIZE]` of the clip and of its reconstruction, and their latents; half precision."""
    audio = to_device(torch.from_numpy(clip.audio))[None]
    latents = encoder(audio).float()
    decoded = decoder(latents).float()
    assert latents.shape[2] == LATENT_DIM
    return compute_patches(torch.cat([audio, decoded])).half(), latents[0].half()
