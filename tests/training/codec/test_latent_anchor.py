"""Anchor batches, and an autoencoder trained to match them."""

import pytest
import torch

from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED
from tests.training.speech_folder import make
from training.codec.latent_anchor import LatentAnchor
from training.codec.spectral_autoencoder import LATENT_DIM, PHONES_PER_FRAME, SpectralAutoencoder
from training.codec.train_spectral_autoencoder import losses
from training.data.clips import read_clips
from training.data.phones import PHONES
from training.data.spectra import PATCH_SIZE

PAST, FRAMES = 3, 8


@pytest.fixture(scope="module")
def anchor(tmp_path_factory: pytest.TempPathFactory) -> LatentAnchor:
    clips = read_clips(make(tmp_path_factory.mktemp("work")) / "speech", ["ann"])
    return LatentAnchor(EMBEDDED / "config.yaml", clips[:1], PAST, FRAMES)


def test_batch_has_latents_and_phones_without_context_frames(anchor: LatentAnchor) -> None:
    patches, phones, latents = anchor.batch(1, 5)
    assert patches.shape == (5, PAST + FRAMES, PATCH_SIZE)
    assert phones.shape == (5, FRAMES, PHONES_PER_FRAME)
    assert latents.shape == (5, FRAMES, LATENT_DIM)
    assert set(phones.unique().tolist()) <= {0, PHONES.index("ow")}
    assert torch.equal(latents, anchor.batch(1, 5)[2])
    assert not torch.equal(latents, anchor.batch(2, 5)[2])


def test_autoencoder_learns_the_latents_of_the_checkpoint(anchor: LatentAnchor) -> None:
    torch.manual_seed(0)
    autoencoder = SpectralAutoencoder(width=32, layers=1)
    optimizer = torch.optim.Adam(autoencoder.parameters(), lr=3e-3)
    anchor_losses = []
    for step in range(60):
        patches, phones, latents = anchor.batch(step, 16)
        parts = losses(autoencoder, patches, phones, 0.0, torch.Generator(), latents)
        anchor_losses.append(parts["anchor"].item())
        optimizer.zero_grad()
        parts["anchor"].backward()
        optimizer.step()
    assert sum(anchor_losses[-5:]) < 0.5 * sum(anchor_losses[:5])
