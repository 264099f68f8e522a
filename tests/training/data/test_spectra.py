"""Mel patches encode level and pitch, without phase and with little lookahead."""

import math

import torch

from training.data.spectra import (
    FLOOR,
    FRAME_SAMPLES,
    MEL_VALUES,
    PATCH_SIZE,
    compute_patches,
    mel_bank,
    silent_patches,
)


def tone(hz: float, phase: float = 0.0, frames: int = 6, amplitude: float = 0.5) -> torch.Tensor:
    return amplitude * torch.sin(2 * math.pi * hz / 24_000 * torch.arange(frames * FRAME_SAMPLES) + phase)[None]


def test_one_patch_per_frame() -> None:
    assert compute_patches(tone(440)).shape == (1, 6, PATCH_SIZE)


def test_silence_has_floor_values() -> None:
    torch.testing.assert_close(compute_patches(torch.zeros(1, 2 * FRAME_SAMPLES))[0], silent_patches(2))


def test_pitch_appears_in_its_bin() -> None:
    low = compute_patches(tone(440))[0, 3, MEL_VALUES:].unflatten(0, (4, -1))
    assert ((low.argmax(-1) + 4) * 24_000 / 2048 - 440).abs().max() < 12


def test_sine_has_its_amplitude() -> None:
    low = compute_patches(tone(24_000 / 2048 * 40))[0, 3, MEL_VALUES:]
    assert abs(low.max().exp() - 0.5) < 0.01


def test_patches_ignore_phase() -> None:
    torch.testing.assert_close(
        compute_patches(tone(1000))[:, 2:-1], compute_patches(tone(1000, 2.0))[:, 2:-1], atol=0.35, rtol=0
    )


def test_patches_have_at_most_5_ms_of_lookahead() -> None:
    sound, other = tone(300), tone(300)
    other[:, 3 * FRAME_SAMPLES + 120 :] = 0
    assert torch.equal(compute_patches(sound)[:, :3], compute_patches(other)[:, :3])


def test_mel_filters_are_normalized() -> None:
    bank = mel_bank(1024, 80)
    torch.testing.assert_close(bank.sum(0), torch.ones(80), atol=0.01, rtol=0)
    assert FLOOR < 1e-3
