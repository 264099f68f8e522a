"""The discriminator's losses, and the spectral distance."""

import math

import pytest
import torch
from torch import Tensor

from training.codec.discriminator import Discriminator
from training.codec.losses import spectral_distance


def tone(hz: float, phase: float = 0.0) -> Tensor:
    return 0.3 * torch.sin(2 * math.pi * hz / 24_000 * torch.arange(9600) + phase).expand(2, -1)


def test_spectral_distance_ignores_phase() -> None:
    same, moved = spectral_distance(tone(300), tone(300)), spectral_distance(tone(300, 1.0), tone(300))
    other, soft = spectral_distance(tone(330), tone(300)), spectral_distance(tone(300) / 2, tone(300))
    assert same.total < 1e-3
    assert moved.total < 0.1 * other.total
    assert soft.convergence == pytest.approx(0.5, abs=0.05)


def test_spectral_distance_of_silence_has_a_finite_gradient() -> None:
    sound = torch.zeros(1, 9600, requires_grad=True)
    distance = spectral_distance(sound, torch.zeros(1, 9600)).total
    distance.backward()
    assert distance.item() < 0.01
    assert sound.grad is not None
    assert sound.grad.isfinite().all()


def test_discriminator_learns_to_separate_noise_from_a_tone() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator()
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=3e-3)
    losses = []
    for _ in range(20):
        loss = discriminator.discriminator_loss(0.1 * torch.randn(2, 9600), tone(300))
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0] / 2


def test_discriminator_loss_gives_the_decoder_no_gradient() -> None:
    spoken = torch.randn(2, 9600, requires_grad=True)
    discriminator = Discriminator()
    discriminator.discriminator_loss(spoken, tone(300)).backward()
    assert spoken.grad is None
    adversarial, feature_matching = discriminator.generator_losses(spoken, tone(300))
    (adversarial + feature_matching).backward()
    assert spoken.grad is not None
    assert spoken.grad.abs().sum() > 0
