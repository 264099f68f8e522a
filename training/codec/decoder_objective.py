"""What the decoder is judged by: spectra, what its transformer knows, and an adversary."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.codec.codec_network import Decoder
from training.codec.discriminator import Discriminator
from training.codec.losses import spectral_distance
from training.data.clips import FRAME_SAMPLES
from training.data.spectra import MEL_VALUES, PATCH
from training.trainer.matmul_precision import quick_products

FRAMES = 9  # of latents that the transformer hears
SOUND_FRAMES = 6  # of these become sound
COUNTED_FRAMES = 5  # of these are judged: the convolutions began in silence
OPENING_ROWS, OPENING_FRAMES = 4, 2  # of a batch besides: how clips begin
OPENING_SAMPLES = 1200  # of these are judged, while there is silence yet
POSITIONS = 16  # of the transformer in a frame

Batch = tuple[Tensor, Tensor, Tensor]  # sound, latents, patches, as `training.codec.codec_crops` gives them


@dataclass(frozen=True)
class Weights:
    convergence: float = 1.0
    logarithms: float = 1.0
    envelope: float = 1.5
    mel: float = 0.3
    pitch: float = 0.3
    found_out: float = 0.1
    unlike: float = 0.2
    opening: float = 5.0

    def total(self, parts: dict[str, Tensor]) -> Tensor:
        return torch.stack([part * getattr(self, name) for name, part in parts.items()]).sum()


class Hearer(nn.Module):
    """Reads the patch of a frame out of the transformer's features: it must know what it is going to say."""

    def __init__(self, width: int, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)
        self.read = nn.Linear(POSITIONS * width, PATCH)

    def forward(self, features: Tensor) -> Tensor:
        read: Tensor = self.read(features.unflatten(1, (-1, POSITIONS)).flatten(2))
        return read.float() * self.deviation + self.mean


@dataclass(frozen=True, eq=False)
class Spoken:
    """A batch as the decoder says it, and as the teacher did."""

    sound: Tensor
    target: Tensor
    read: Tensor  # the patches that the hearer found
    patches: Tensor

    def losses(self) -> dict[str, Tensor]:
        distance = spectral_distance(self.sound, self.target)
        error = (self.read - self.patches)[:, 1:].abs()
        return {
            "convergence": distance.convergence,
            "logarithms": distance.logarithms,
            "envelope": distance.envelope,
            "mel": error[..., :MEL_VALUES].mean(),
            "pitch": error[..., MEL_VALUES:].mean(),
        }

    def losses_by(self, adversary: Discriminator) -> dict[str, Tensor]:
        with quick_products():
            found_out, unlike = adversary.losses_for(self.sound, self.target)
        return {"found_out": found_out, "unlike": unlike}


def speak(decoder: Decoder, hearer: Hearer, batch: Batch, noise: float) -> Spoken:
    """`noise`: the most of it on latents, in their deviations."""
    sound, latents, patches = batch
    amount = torch.rand(len(latents), 1, 1) * noise
    with quick_products():
        features = decoder.features(latents + torch.randn_like(latents) * amount)
        read = hearer(features)
        spoken = decoder.sound(features[:, -SOUND_FRAMES * POSITIONS :])
    counted = COUNTED_FRAMES * FRAME_SAMPLES
    return Spoken(spoken[:, -counted:].float(), sound[:, -counted:], read, patches)


def opening_loss(decoder: Decoder, sound: Tensor, latents: Tensor) -> Tensor:
    """The decoder begins from nothing, which is not silence to it: what it then clicks has to go."""
    with quick_products():
        spoken = decoder(latents)
    off: Tensor = spoken[:, :OPENING_SAMPLES].float() - sound[:, :OPENING_SAMPLES]
    return off.abs().mean()
