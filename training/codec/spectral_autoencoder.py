"""Spectral autoencoder: mel patches to latents and back, frame by frame. It defines the latent space.

The network is small and never processes waveforms, so it trains in minutes, where training a codec end to end takes
days. The codec's encoder and decoder are then trained on these latents, each alone. The latents contain no phase, since
FlowLM could not predict it.
"""

import torch
from torch import Tensor, nn

from training.data.phones import PHONES
from training.data.spectra import PATCH_SIZE

LATENT_DIM = 32
PHONES_PER_FRAME = 4
PAST_PATCHES, PAST_LATENTS = 1, 2  # past context of the encoder and of the decoder


class ResidualLayer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.wide, self.narrow = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.narrow(nn.functional.gelu(self.wide(self.norm(x))))
        return out


class SpectralAutoencoder(nn.Module):
    def __init__(self, width: int = 640, layers: int = 2) -> None:
        super().__init__()
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.zeros(PATCH_SIZE))
        self.register_buffer("deviation", torch.ones(PATCH_SIZE))
        self.encoder = nn.Sequential(
            nn.Linear((1 + PAST_PATCHES) * PATCH_SIZE, width), *(ResidualLayer(width) for _ in range(layers)),
            nn.LayerNorm(width), nn.Linear(width, LATENT_DIM),
        )  # fmt: skip
        self.scale = nn.BatchNorm1d(
            LATENT_DIM, affine=False, momentum=0.02
        )  # unit variance, so that the noise has a fixed scale
        self.decoder = nn.Sequential(
            nn.Linear((1 + PAST_LATENTS) * LATENT_DIM, width), *(ResidualLayer(width) for _ in range(layers)),
            nn.LayerNorm(width), nn.Linear(width, PATCH_SIZE),
        )  # fmt: skip
        # Linear, so that phones are easy to predict from latents for the few layers of FlowLM.
        self.phones = nn.Linear(LATENT_DIM, PHONES_PER_FRAME * len(PHONES))

    def normalize(self, patches: Tensor) -> Tensor:
        return (patches - self.mean) / self.deviation

    def encode(self, patches: Tensor) -> Tensor:
        """Patches `[rows, PAST_PATCHES + frames, PATCH_SIZE]` to latents `[rows, frames, LATENT_DIM]`."""
        out: Tensor = self.encoder(_with_past(self.normalize(patches), PAST_PATCHES))
        scaled: Tensor = self.scale(out.float().flatten(0, 1)).unflatten(0, out.shape[:2])
        return scaled

    def decode(self, latents: Tensor) -> Tensor:
        """Latents `[rows, PAST_LATENTS + frames, LATENT_DIM]` to normalized patches `[rows, frames, PATCH_SIZE]`."""
        out: Tensor = self.decoder(_with_past(latents, PAST_LATENTS))
        return out

    def classify_phones(self, latents: Tensor) -> Tensor:
        """Latents `[rows, frames, LATENT_DIM]` to logits `[rows, frames, PHONES_PER_FRAME, phones]`."""
        logits: Tensor = self.phones(latents)
        return logits.reshape(*logits.shape[:-1], PHONES_PER_FRAME, -1)


def _with_past(x: Tensor, past: int) -> Tensor:
    """`[rows, past + frames, width]` to `[rows, frames, (past + 1) * width]`, oldest first."""
    frames = x.shape[1] - past
    return torch.cat([x[:, shift : shift + frames] for shift in range(past + 1)], dim=-1)
