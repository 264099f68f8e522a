"""Discriminator on complex spectra, for adversarial training of the decoder.

Least-squares GAN (arXiv:1611.04076) with feature matching. The network is small, to cost less than the decoder.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.data.spectra import hann

WINDOWS = (480, 1024)  # samples; short windows show phase errors, long ones tonal artefacts
WIDTH = 20
COMPRESSION = 0.4  # exponent of the amplitudes, so that weak components count


class SpectralDiscriminator(nn.Module):
    """Patch discriminator on one spectral resolution: `[rows, samples]` to `[rows, 1, time, bands]`."""

    def __init__(self, window: int) -> None:
        super().__init__()
        self._window = window
        sizes = ((2, WIDTH, 4), (WIDTH, WIDTH, 2), (WIDTH, WIDTH, 2))
        self.layers = nn.ModuleList(
            nn.utils.parametrizations.weight_norm(nn.Conv2d(channels, out, (3, 5), (1, stride), (1, 2)))
            for channels, out, stride in sizes
        )
        self.output_conv = nn.utils.parametrizations.weight_norm(nn.Conv2d(WIDTH, 1, 3, padding=1))

    def forward(self, audio: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Scores, 1 for real speech, and the features of each layer."""
        x, features = self._spectrum(audio), []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        return self.output_conv(x), features

    def _spectrum(self, audio: Tensor) -> Tensor:
        """Real and imaginary parts, compressed: `[rows, 2, time, bins]`."""
        fft, taper = 1 << (self._window - 1).bit_length(), hann(self._window)
        spectrum = torch.fft.rfft(audio.unfold(1, self._window, self._window // 4) * taper, fft)
        parts = torch.view_as_real(spectrum[..., : fft // 2]) * (2 / taper.sum())
        power = parts.square().sum(-1, keepdim=True) + 1e-8
        return (parts * power ** ((COMPRESSION - 1) / 2)).permute(0, 3, 1, 2)


class Discriminator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(SpectralDiscriminator(window) for window in WINDOWS)

    def discriminator_loss(self, decoded: Tensor, target: Tensor) -> Tensor:
        """The discriminator's own loss; the decoder gets no gradient from it."""
        total = decoded.new_zeros(())
        for part in self.parts:
            real, fake = part(target)[0], part(decoded.detach())[0]
            total = total + (real.float() - 1).square().mean() + fake.float().square().mean()
        return total / len(self.parts)

    def generator_losses(self, decoded: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The decoder's losses: adversarial and feature matching."""
        adversarial, feature_matching = decoded.new_zeros(()), decoded.new_zeros(())
        for part in self.parts:
            scores, features = part(decoded)
            with torch.no_grad():
                target_features = part(target)[1]
            adversarial = adversarial + (scores.float() - 1).square().mean()
            for ours, theirs in zip(features, target_features, strict=True):
                scale = theirs.float().abs().mean() + 1e-3
                feature_matching = feature_matching + (ours.float() - theirs.float()).abs().mean() / scale / len(
                    features
                )
        return adversarial / len(self.parts), feature_matching / len(self.parts)
