"""training/codec/discriminator.py, losses.py: they see what is there and what is not."""

import math

import pytest
import torch
from torch import Tensor

from training.codec.discriminator import Discriminator
from training.codec.losses import spectral_distance


def tone(hz: float, phase: float = 0.0) -> Tensor:
    return 0.3 * torch.sin(2 * math.pi * hz / 24_000 * torch.arange(9600) + phase).expand(2, -1)


def test_distance_grows_with_pitch_and_level_and_not_with_phase() -> None:
    same, moved = spectral_distance(tone(300), tone(300)), spectral_distance(tone(300, 1.0), tone(300))
    other, soft = spectral_distance(tone(330), tone(300)), spectral_distance(tone(300) / 2, tone(300))
    assert same.total < 1e-3
    assert moved.total < 0.1 * other.total
    assert soft.convergence == pytest.approx(0.5, abs=0.05)


def test_silence_against_silence_is_no_distance_and_has_a_gradient() -> None:
    sound = torch.zeros(1, 9600, requires_grad=True)
    distance = spectral_distance(sound, torch.zeros(1, 9600)).total
    distance.backward()
    assert distance.item() < 0.01
    assert sound.grad is not None
    assert sound.grad.isfinite().all()


def test_the_adversary_learns_to_tell_noise_from_a_tone() -> None:
    torch.manual_seed(0)
    adversary = Discriminator()
    optimizer = torch.optim.Adam(adversary.parameters(), lr=3e-3)
    losses = []
    for _ in range(20):
        loss = adversary.own_loss(0.1 * torch.randn(2, 9600), tone(300))
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0] / 2


def test_its_own_loss_leaves_the_decoder_alone() -> None:
    spoken = torch.randn(2, 9600, requires_grad=True)
    adversary = Discriminator()
    adversary.own_loss(spoken, tone(300)).backward()
    assert spoken.grad is None
    found_out, unlike = adversary.losses_for(spoken, tone(300))
    (found_out + unlike).backward()
    assert spoken.grad is not None
    assert spoken.grad.abs().sum() > 0
