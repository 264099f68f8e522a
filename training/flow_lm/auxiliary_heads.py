"""Auxiliary heads of FlowLM: trained on the synthesizer's phone labels, and not published.

- From the input of the flow head: the phone in each half of a frame, and the noise-free latent.
- From an early layer, at the last token of each word: the word's pronunciation, phone by phone.
- Attention supervision: one head in each of two layers must attend to the word being spoken.

Pronunciation, alignment and acoustics are thus learned separately, long before the flow loss alone would separate them.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.flow_lm.batches import Batch
from training.flow_lm.examples import LABELS_PER_FRAME, MAX_WORD_PHONES
from training.flow_lm.network import TransformerOutput

ALIGNMENT_LAYERS = (1, 3)  # their first head is supervised; that of the last layer is published as the alignment head
PRONUNCIATION_LAYER = 2


@dataclass(frozen=True)
class AuxiliaryLossWeights:
    phones: float = 0.3
    latents: float = 1.0
    pronunciation: float = 0.3
    alignment: float = 0.1


class AuxiliaryHeads(nn.Module):
    def __init__(self, width: int, latent_dim: int, phones: int) -> None:
        super().__init__()
        self.phones = nn.Linear(width, LABELS_PER_FRAME * phones)
        self.latents = nn.Linear(width, latent_dim)
        self.pronunciation_norm = nn.LayerNorm(width)
        self.pronunciation = nn.Linear(width, MAX_WORD_PHONES * phones)

    def losses(self, batch: Batch, output: TransformerOutput, z: Tensor, latents: Tensor) -> dict[str, Tensor]:
        """Auxiliary losses, and the accuracy of phones and of whole words.

        `z`: input of the flow head `[frames, width]`; `latents`: its targets, normalized.
        """
        phones = self.phones(z).float().unflatten(1, (LABELS_PER_FRAME, -1))  # [frames, labels, phones]
        words = self.pronunciation_norm(output.layers[PRONUNCIATION_LAYER].flatten(0, 1)[batch.word_ends])
        pronounced = self.pronunciation(words).float().unflatten(1, (MAX_WORD_PHONES, -1))
        mask = self._phone_mask(batch.word_phones)  # [words, MAX_WORD_PHONES]
        with torch.no_grad():
            phone_accuracy = (phones.argmax(-1) == batch.phones).float().mean()
            word_accuracy = ((pronounced.argmax(-1) == batch.word_phones) | ~mask).all(1).float().mean()
        return {
            "phones": F.cross_entropy(phones.flatten(0, 1), batch.phones.flatten()),
            "latents": F.mse_loss(self.latents(z).float(), latents),
            "pronunciation": F.cross_entropy(pronounced[mask], batch.word_phones[mask]),
            "alignment": self._alignment_loss(batch, output),
            "phone_accuracy": phone_accuracy,
            "word_accuracy": word_accuracy,
        }

    @staticmethod
    def _phone_mask(word_phones: Tensor) -> Tensor:
        """True for a word's phones and for one position after them."""
        return torch.cat([torch.ones_like(word_phones[:, :1], dtype=torch.bool), word_phones[:, :-1] > 0], dim=1)

    @staticmethod
    def _alignment_loss(batch: Batch, output: TransformerOutput) -> Tensor:
        """Negative log of the attention to the tokens of the word being spoken."""
        length = batch.source.shape[1]
        total = torch.zeros(())
        for layer in ALIGNMENT_LAYERS:
            weights = output.weights[layer][:, 0, :, -length:]  # [rows, length, length], without the prompt
            on_word = (weights.flatten(0, 1)[batch.predictor] * batch.word_mask).float().sum(1)
            total = total - on_word.clamp_min(1e-4).log().mean()
        return total / len(ALIGNMENT_LAYERS)
