"""The sketch: patches to latents and back, frame by frame. It settles what the 32 numbers of a latent mean.

It is small and never sees a sound wave, so it learns in minutes what the codec proper needs days for. The codec's
encoder and decoder are then taught this language, each for itself. It knows no phase, as FlowLM could not foresee it.
"""

import torch
from torch import Tensor, nn

from training.data.phones import PHONES
from training.data.spectra import PATCH

LATENT = 32
PHONES_PER_FRAME = 4
PAST_PATCHES, PAST_LATENTS = 1, 2  # that the encoder and the decoder see beside the present one


class Layer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.wide, self.narrow = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.narrow(nn.functional.gelu(self.wide(self.norm(x))))
        return out


class Sketch(nn.Module):
    def __init__(self, width: int = 640, layers: int = 2) -> None:
        super().__init__()
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.zeros(PATCH))
        self.register_buffer("deviation", torch.ones(PATCH))
        self.encoder = nn.Sequential(
            nn.Linear((1 + PAST_PATCHES) * PATCH, width), *(Layer(width) for _ in range(layers)), nn.LayerNorm(width),
            nn.Linear(width, LATENT),
        )  # fmt: skip
        self.scale = nn.BatchNorm1d(LATENT, affine=False, momentum=0.02)  # mean 0 and deviation 1, so noise counts
        self.decoder = nn.Sequential(
            nn.Linear((1 + PAST_LATENTS) * LATENT, width), *(Layer(width) for _ in range(layers)),
            nn.LayerNorm(width), nn.Linear(width, PATCH),
        )  # fmt: skip
        # A plain linear head: what it can read, FlowLM's few layers can foresee.
        self.phones = nn.Linear(LATENT, PHONES_PER_FRAME * len(PHONES))

    def normal(self, patches: Tensor) -> Tensor:
        return (patches - self.mean) / self.deviation

    def encode(self, patches: Tensor) -> Tensor:
        """`[rows, PAST_PATCHES + frames, PATCH]` to `[rows, frames, LATENT]`."""
        out: Tensor = self.encoder(_with_past(self.normal(patches), PAST_PATCHES))
        scaled: Tensor = self.scale(out.float().flatten(0, 1)).unflatten(0, out.shape[:2])
        return scaled

    def decode(self, latents: Tensor) -> Tensor:
        """`[rows, PAST_LATENTS + frames, LATENT]` to normal patches `[rows, frames, PATCH]`."""
        out: Tensor = self.decoder(_with_past(latents, PAST_LATENTS))
        return out

    def name_phones(self, latents: Tensor) -> Tensor:
        """`[rows, frames, LATENT]` to scores `[rows, frames, PHONES_PER_FRAME, phones]`."""
        scores: Tensor = self.phones(latents)
        return scores.reshape(*scores.shape[:-1], PHONES_PER_FRAME, -1)


def _with_past(x: Tensor, past: int) -> Tensor:
    """`[rows, past + frames, width]` to `[rows, frames, (past + 1) * width]`, oldest first."""
    frames = x.shape[1] - past
    return torch.cat([x[:, place : place + frames] for place in range(past + 1)], dim=-1)
