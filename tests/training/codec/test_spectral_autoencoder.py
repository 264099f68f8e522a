"""Causality, normalization and losses of the spectral autoencoder."""

import torch

from training.codec.spectral_autoencoder import (
    LATENT_DIM,
    PAST_LATENTS,
    PAST_PATCHES,
    PHONES_PER_FRAME,
    SpectralAutoencoder,
)
from training.codec.train_spectral_autoencoder import FRAMES, PAST, losses
from training.data.phones import PHONES
from training.data.spectra import PATCH_SIZE


def small() -> SpectralAutoencoder:
    torch.manual_seed(0)
    return SpectralAutoencoder(width=16, layers=1).eval()


def test_latent_depends_only_on_its_frame_and_past_context() -> None:
    autoencoder, patches = small(), torch.randn(1, 8, PATCH_SIZE)
    changed = patches.clone()
    changed[:, 4] += 1
    with torch.no_grad():
        affected = (autoencoder.encode(patches) != autoencoder.encode(changed)).any(-1)[0]
    assert affected.nonzero().flatten().tolist() == list(range(4 - PAST_PATCHES, 5))


def test_patch_depends_only_on_its_latent_and_past_context() -> None:
    autoencoder, latents = small(), torch.randn(1, 8, LATENT_DIM)
    changed = latents.clone()
    changed[:, 5] += 1
    with torch.no_grad():
        affected = (autoencoder.decode(latents) != autoencoder.decode(changed)).any(-1)[0]
    assert affected.nonzero().flatten().tolist() == list(range(5 - PAST_LATENTS, 6))


def test_latents_are_normalized() -> None:
    autoencoder = small().train()
    latents = autoencoder.encode(torch.randn(32, 9, PATCH_SIZE))
    torch.testing.assert_close(latents.mean((0, 1)), torch.zeros(LATENT_DIM), atol=1e-4, rtol=0)
    torch.testing.assert_close(latents.std((0, 1)), torch.ones(LATENT_DIM), atol=0.01, rtol=0)


def test_losses_decrease() -> None:
    autoencoder = small().train()
    batch = torch.randn(1, 1, PATCH_SIZE).expand(4, PAST + FRAMES, PATCH_SIZE) + 0.01 * torch.randn(
        4, PAST + FRAMES, PATCH_SIZE
    )
    phones = torch.full((4, FRAMES, PHONES_PER_FRAME), PHONES.index("ow"))
    optimizer = torch.optim.Adam(autoencoder.parameters(), lr=1e-2)
    totals = []
    for step in range(30):
        parts = losses(autoencoder, batch, phones, 0.1, torch.Generator().manual_seed(step))
        totals.append((parts["mel"] + parts["phones"]).item())
        optimizer.zero_grad()
        (parts["mel"] + parts["phones"]).backward()
        optimizer.step()
    assert totals[-1] < totals[0] / 2
    assert parts["phone_accuracy"] == 1
