"""The adversary: it looks at spectra with their phases and learns to tell the teacher's sound from the decoder's.

Least squares (arXiv:1611.04076) with feature matching. It is small: it must cost less than the decoder it teaches.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.codec.losses import TOP_BIN
from training.data.spectra import hann

WINDOWS = (480, 1024)  # samples; what is wrong with phases shows in short ones, what hums in long ones
WIDTH = 20
COMPRESSED = 0.4  # amplitudes to this power, so that weak parts count


class SpectralDiscriminator(nn.Module):
    """Judges every place of one spectrum: `[rows, samples]` to `[rows, 1, time, bands]`."""

    def __init__(self, window: int) -> None:
        super().__init__()
        self._window = window
        sizes = ((2, WIDTH, 4), (WIDTH, WIDTH, 2), (WIDTH, WIDTH, 2))
        self.layers = nn.ModuleList(
            nn.utils.parametrizations.weight_norm(nn.Conv2d(channels, out, (3, 5), (1, stride), (1, 2)))
            for channels, out, stride in sizes
        )
        self.verdict = nn.utils.parametrizations.weight_norm(nn.Conv2d(WIDTH, 1, 3, padding=1))

    def forward(self, sound: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The verdict, 1 for the teacher, and what each layer saw."""
        x, seen = self._spectrum(sound), []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            seen.append(x)
        return self.verdict(x), seen

    def _spectrum(self, sound: Tensor) -> Tensor:
        """`[rows, 2, time, bins]`."""
        fft, shape = 1 << (self._window - 1).bit_length(), hann(self._window)
        spectrum = torch.fft.rfft(sound.unfold(1, self._window, self._window // 4) * shape, fft)
        parts = torch.view_as_real(spectrum[..., : int(fft // 2 * TOP_BIN)]) * (2 / shape.sum())
        power = parts.square().sum(-1, keepdim=True) + 1e-8
        return (parts * power ** ((COMPRESSED - 1) / 2)).permute(0, 3, 1, 2)


class Discriminator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(SpectralDiscriminator(window) for window in WINDOWS)

    def own_loss(self, spoken: Tensor, target: Tensor) -> Tensor:
        """Of telling them apart."""
        total = spoken.new_zeros(())
        for part in self.parts:
            real, fake = part(target)[0], part(spoken.detach())[0]
            total = total + (real.float() - 1).square().mean() + fake.float().square().mean()
        return total / len(self.parts)

    def losses_for(self, spoken: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """What the decoder shall make small: being found out, and seeming other than the teacher on the way."""
        found_out, unlike = spoken.new_zeros(()), spoken.new_zeros(())
        for part in self.parts:
            verdict, seen = part(spoken)
            with torch.no_grad():
                wanted = part(target)[1]
            found_out = found_out + (verdict.float() - 1).square().mean()
            for got, want in zip(seen, wanted, strict=True):
                scale = want.float().abs().mean() + 1e-3
                unlike = unlike + (got.float() - want.float()).abs().mean() / scale / len(seen)
        return found_out / len(self.parts), unlike / len(self.parts)
