"""training/sketch*.py: frames know their past alone; losses count what they say."""

import torch

from training.codec.spectral_autoencoder import FRAMES, PAST, losses
from training.codec.spectral_autoencoder_network import LATENT, PAST_LATENTS, PAST_PATCHES, PHONES_PER_FRAME, Sketch
from training.data.phones import PHONES
from training.data.spectra import PATCH


def small() -> Sketch:
    torch.manual_seed(0)
    return Sketch(width=16, layers=1).eval()


def test_a_latent_hears_its_own_frame_and_those_just_before() -> None:
    sketch, seen = small(), torch.randn(1, 8, PATCH)
    changed = seen.clone()
    changed[:, 4] += 1
    with torch.no_grad():
        moved = (sketch.encode(seen) != sketch.encode(changed)).any(-1)[0]
    assert moved.nonzero().flatten().tolist() == list(range(4 - PAST_PATCHES, 5))


def test_a_patch_is_spoken_from_its_own_latent_and_those_just_before() -> None:
    sketch, latents = small(), torch.randn(1, 8, LATENT)
    changed = latents.clone()
    changed[:, 5] += 1
    with torch.no_grad():
        moved = (sketch.decode(latents) != sketch.decode(changed)).any(-1)[0]
    assert moved.nonzero().flatten().tolist() == list(range(5 - PAST_LATENTS, 6))


def test_latents_have_mean_0_and_deviation_1() -> None:
    sketch = small().train()
    latents = sketch.encode(torch.randn(32, 9, PATCH))
    torch.testing.assert_close(latents.mean((0, 1)), torch.zeros(LATENT), atol=1e-4, rtol=0)
    torch.testing.assert_close(latents.std((0, 1)), torch.ones(LATENT), atol=0.01, rtol=0)


def test_it_learns() -> None:
    sketch = small().train()
    batch = torch.randn(1, 1, PATCH).expand(4, PAST + FRAMES, PATCH) + 0.01 * torch.randn(4, PAST + FRAMES, PATCH)
    phones = torch.full((4, FRAMES, PHONES_PER_FRAME), PHONES.index("ow"))
    optimizer = torch.optim.Adam(sketch.parameters(), lr=1e-2)
    totals = []
    for step in range(30):
        parts = losses(sketch, batch, phones, 0.1, torch.Generator().manual_seed(step))
        totals.append((parts["mel"] + parts["phones"]).item())
        optimizer.zero_grad()
        (parts["mel"] + parts["phones"]).backward()
        optimizer.step()
    assert totals[-1] < totals[0] / 2
    assert parts["phones_right"] == 1
