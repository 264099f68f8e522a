"""The decoder's losses: spectral distances, mel patches predicted from its transformer, adversarial losses."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.codec.discriminator import Discriminator
from training.codec.losses import spectral_distance
from training.codec.network import Decoder
from training.data.clips import FRAME_SAMPLES
from training.data.spectra import MEL_VALUES, PATCH_SIZE
from training.trainer.matmul_precision import fast_matmul

FRAMES = 9  # frames of latents in a crop, input of the transformer
AUDIO_FRAMES = 6  # of these, the last ones are decoded to audio
SCORED_FRAMES = 5  # of these, the last ones count: the convolutions start with zero padding
CLIP_START_ROWS, CLIP_START_FRAMES = 4, 2  # additional rows that are the starts of clips
CLIP_START_SAMPLES = 1200  # samples of a clip start that count; they are silent
POSITIONS_PER_FRAME = 16  # transformer positions per frame

CodecBatch = tuple[Tensor, Tensor, Tensor]  # audio, latents, patches; see `CodecCrops.batch`


@dataclass(frozen=True)
class LossWeights:
    convergence: float = 1.0
    log_magnitude: float = 1.0
    envelope: float = 1.5
    mel: float = 0.3
    pitch: float = 0.3
    adversarial: float = 0.1
    feature_matching: float = 0.2
    clip_start: float = 5.0

    def total(self, losses: dict[str, Tensor]) -> Tensor:
        return torch.stack([loss * getattr(self, name) for name, loss in losses.items()]).sum()


class PatchHead(nn.Module):
    """Predict the mel patch of a frame from the transformer's features, as an auxiliary task."""

    def __init__(self, width: int, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)
        self.linear = nn.Linear(POSITIONS_PER_FRAME * width, PATCH_SIZE)

    def forward(self, features: Tensor) -> Tensor:
        normalized: Tensor = self.linear(features.unflatten(1, (-1, POSITIONS_PER_FRAME)).flatten(2))
        return normalized.float() * self.deviation + self.mean


@dataclass(frozen=True, eq=False)
class DecoderOutput:
    """Decoded audio and predicted patches of a batch, with their targets."""

    audio: Tensor
    target: Tensor
    predicted_patches: Tensor
    patches: Tensor

    def losses(self) -> dict[str, Tensor]:
        distance = spectral_distance(self.audio, self.target)
        error = (self.predicted_patches - self.patches)[:, 1:].abs()
        return {
            "convergence": distance.convergence,
            "log_magnitude": distance.log_magnitude,
            "envelope": distance.envelope,
            "mel": error[..., :MEL_VALUES].mean(),
            "pitch": error[..., MEL_VALUES:].mean(),
        }

    def adversarial_losses(self, discriminator: Discriminator) -> dict[str, Tensor]:
        with fast_matmul():
            adversarial, feature_matching = discriminator.generator_losses(self.audio, self.target)
        return {"adversarial": adversarial, "feature_matching": feature_matching}


def run_decoder(decoder: Decoder, patch_head: PatchHead, batch: CodecBatch, noise: float) -> DecoderOutput:
    """Decode a batch. `noise`: maximum noise on the latents, in standard deviations."""
    audio, latents, patches = batch
    amount = torch.rand(len(latents), 1, 1) * noise
    with fast_matmul():
        features = decoder.features(latents + torch.randn_like(latents) * amount)
        predicted_patches = patch_head(features)
        decoded = decoder.waveform(features[:, -AUDIO_FRAMES * POSITIONS_PER_FRAME :])
    scored = SCORED_FRAMES * FRAME_SAMPLES
    return DecoderOutput(decoded[:, -scored:].float(), audio[:, -scored:], predicted_patches, patches)


def clip_start_loss(decoder: Decoder, audio: Tensor, latents: Tensor) -> Tensor:
    """Absolute error at the start of clips, where the zero initial state would otherwise cause a click."""
    with fast_matmul():
        decoded = decoder(latents)
    error: Tensor = decoded[:, :CLIP_START_SAMPLES].float() - audio[:, :CLIP_START_SAMPLES]
    return error.abs().mean()
