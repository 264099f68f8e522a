"""What a published checkpoint means by its latents, for a sketch learnt anew: where its training folder is gone.

Two witnesses: its encoder writes down the teachers' clips, with errors that are those of a network which hears waves;
and its decoder speaks what was written, so sound and latents of these belong together exactly.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from training.codec.spectral_autoencoder_network import LATENT, PHONES_PER_FRAME
from training.data.clips import Clip
from training.data.spectra import FRAME_SAMPLES, patches
from training.export import load_checkpoint
from training.trainer.matmul_precision import quick_products

FRAME_S = 0.08


class Anchor:
    """Stretches of `past + frames` frames of clips that have latents; they all count but for the `past`."""

    def __init__(self, config: Path, clips: Sequence[Clip], past: int, frames: int) -> None:
        self._past, self._frames = past, frames
        self._clips = [clip for clip in clips if clip.samples >= (past + frames) * FRAME_SAMPLES]
        encoder, decoder = load_checkpoint.encoder(config).eval(), load_checkpoint.decoder(config).eval()
        with torch.inference_mode(), quick_products():
            self._known = [_witnesses(encoder, decoder, clip) for clip in tqdm(self._clips)]

    def batch(self, seed: int, rows: int) -> tuple[Tensor, Tensor, Tensor]:
        """Patches `[rows, past + frames, PATCH]`; phones and latents `[rows, frames, ...]`."""
        chance = np.random.default_rng([seed, 1])
        seen, phones, latents = [], [], []
        for at in chance.integers(len(self._clips), size=rows):
            heard, written = self._known[at]
            first = int(chance.integers(len(written) - self._past - self._frames + 1)) + self._past
            seen.append(heard[int(chance.integers(2)), first - self._past : first + self._frames].float())
            latents.append(written[first : first + self._frames].float())
            times_s = (first + (np.arange(self._frames * PHONES_PER_FRAME) + 0.5) / PHONES_PER_FRAME) * FRAME_S
            phones.append(self._clips[at].phones_at(times_s).reshape(self._frames, PHONES_PER_FRAME))
        return torch.stack(seen), torch.from_numpy(np.stack(phones)), torch.stack(latents)


def _witnesses(encoder: torch.nn.Module, decoder: torch.nn.Module, clip: Clip) -> tuple[Tensor, Tensor]:
    """Patches `[2, frames, PATCH]` of the teacher's sound and of the decoder's, and their latents; half precision."""
    audio = torch.from_numpy(clip.audio)[None]
    latents = encoder(audio).float()
    spoken = decoder(latents).float()
    assert latents.shape[2] == LATENT
    return patches(torch.cat([audio, spoken])).half(), latents[0].half()
