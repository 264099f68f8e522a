"""Heads that only help FlowLM to learn, and are not published: they are asked for what the synthesizer knows.

- Which phone sounds in each half of a frame, and the latent itself without any noise: of what the flow head reads.
- How a word is pronounced, phone by phone: of the text alone, behind its last piece, early in the network.
- Where to look: one attention head of two layers must look at the word that is being spoken.

So spelling, reading on and sound are learnt each for itself, long before the flow alone would tell them apart.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.flow_lm.flow_batches import Batch
from training.flow_lm.flow_clips import PARTS, WORD_PHONES
from training.flow_lm.flow_network import Heard

LOOKING_LAYERS = (1, 3)  # their first head; the last of them is published as what tells when a word is spoken
SPELLING_LAYER = 2


@dataclass(frozen=True)
class Weights:
    phones: float = 0.3
    latents: float = 1.0
    spelling: float = 0.3
    looking: float = 0.1


class Helpers(nn.Module):
    def __init__(self, width: int, latent_dim: int, phones: int) -> None:
        super().__init__()
        self.phones = nn.Linear(width, PARTS * phones)
        self.latents = nn.Linear(width, latent_dim)
        self.spelling_norm = nn.LayerNorm(width)
        self.spelling = nn.Linear(width, WORD_PHONES * phones)

    def losses(self, batch: Batch, heard: Heard, z: Tensor, latents: Tensor) -> dict[str, Tensor]:
        """`z`: what the flow head reads, [frames, width]; `latents`: what it shall say, FlowLM's scale."""
        phones = self.phones(z).float().unflatten(1, (PARTS, -1))  # [frames, parts, phones]
        words = self.spelling_norm(heard.layers[SPELLING_LAYER].flatten(0, 1)[batch.word_ends])
        spelt = self.spelling(words).float().unflatten(1, (WORD_PHONES, -1))  # [words, WORD_PHONES, phones]
        known = self._counted(batch.word_phones)
        with torch.no_grad():
            right = (phones.argmax(-1) == batch.phones).float().mean()
            read = ((spelt.argmax(-1) == batch.word_phones) | ~known).all(1).float().mean()
        return {
            "phones": F.cross_entropy(phones.flatten(0, 1), batch.phones.flatten()),
            "latents": F.mse_loss(self.latents(z).float(), latents),
            "spelling": F.cross_entropy(spelt[known], batch.word_phones[known]),
            "looking": self._looking(batch, heard),
            "phones_right": right,
            "words_right": read,
        }

    @staticmethod
    def _counted(word_phones: Tensor) -> Tensor:
        """A word's phones and the one place behind them."""
        return torch.cat([torch.ones_like(word_phones[:, :1], dtype=torch.bool), word_phones[:, :-1] > 0], dim=1)

    @staticmethod
    def _looking(batch: Batch, heard: Heard) -> Tensor:
        length = batch.source.shape[1]
        total = torch.zeros(())
        for layer in LOOKING_LAYERS:
            weights = heard.weights[layer][:, 0, :, -length:]  # [rows, length, length]: behind the prompt
            there = (weights.flatten(0, 1)[batch.speaks] * batch.focus).float().sum(1)
            total = total - there.clamp_min(1e-4).log().mean()
        return total / len(LOOKING_LAYERS)
