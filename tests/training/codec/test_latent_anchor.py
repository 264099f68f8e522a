"""training/codec/latent_anchor.py: sound and latents that belong together; a sketch learns to write them down alike."""

import pytest
import torch

from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED
from tests.training.speech_folder import make
from training.codec.latent_anchor import Anchor
from training.codec.spectral_autoencoder import losses
from training.codec.spectral_autoencoder_network import LATENT, PHONES_PER_FRAME, Sketch
from training.data.clips import read_clips
from training.data.phones import PHONES
from training.data.spectra import PATCH

PAST, FRAMES = 3, 8


@pytest.fixture(scope="module")
def anchor(tmp_path_factory: pytest.TempPathFactory) -> Anchor:
    clips = read_clips(make(tmp_path_factory.mktemp("work")) / "speech", ["ann"])
    return Anchor(EMBEDDED / "config.yaml", clips[:1], PAST, FRAMES)


def test_a_batch_has_latents_and_phones_for_the_frames_that_count(anchor: Anchor) -> None:
    patches, phones, latents = anchor.batch(1, 5)
    assert patches.shape == (5, PAST + FRAMES, PATCH)
    assert phones.shape == (5, FRAMES, PHONES_PER_FRAME)
    assert latents.shape == (5, FRAMES, LATENT)
    assert set(phones.unique().tolist()) <= {0, PHONES.index("ow")}
    assert torch.equal(latents, anchor.batch(1, 5)[2])
    assert not torch.equal(latents, anchor.batch(2, 5)[2])


def test_a_sketch_comes_to_mean_what_the_checkpoint_means(anchor: Anchor) -> None:
    torch.manual_seed(0)
    sketch = Sketch(width=32, layers=1)
    optimizer = torch.optim.Adam(sketch.parameters(), lr=3e-3)
    apart = []
    for step in range(60):
        patches, phones, latents = anchor.batch(step, 16)
        parts = losses(sketch, patches, phones, 0.0, torch.Generator(), latents)
        apart.append(parts["anchor"].item())
        optimizer.zero_grad()
        parts["anchor"].backward()
        optimizer.step()
    assert sum(apart[-5:]) < 0.5 * sum(apart[:5])
