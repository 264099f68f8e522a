"""training/data/spectra.py: a patch tells level and pitch, and nothing of phase or of what comes later."""

import math

import torch

from training.data.spectra import FLOOR, FRAME_SAMPLES, MEL_VALUES, PATCH, mel_bank, patches, silent_patches


def tone(hz: float, phase: float = 0.0, frames: int = 6, amplitude: float = 0.5) -> torch.Tensor:
    return amplitude * torch.sin(2 * math.pi * hz / 24_000 * torch.arange(frames * FRAME_SAMPLES) + phase)[None]


def test_a_patch_for_each_frame() -> None:
    assert patches(tone(440)).shape == (1, 6, PATCH)


def test_silence_is_the_floor() -> None:
    torch.testing.assert_close(patches(torch.zeros(1, 2 * FRAME_SAMPLES))[0], silent_patches(2))


def test_the_pitch_is_where_it_sounds() -> None:
    low = patches(tone(440))[0, 3, MEL_VALUES:].unflatten(0, (4, -1))
    assert ((low.argmax(-1) + 4) * 24_000 / 2048 - 440).abs().max() < 12


def test_a_sine_has_its_amplitude() -> None:
    low = patches(tone(24_000 / 2048 * 40))[0, 3, MEL_VALUES:]
    assert abs(low.max().exp() - 0.5) < 0.01


def test_phase_is_not_heard() -> None:
    torch.testing.assert_close(patches(tone(1000))[:, 2:-1], patches(tone(1000, 2.0))[:, 2:-1], atol=0.35, rtol=0)


def test_what_comes_five_milliseconds_later_is_not_heard() -> None:
    sound, other = tone(300), tone(300)
    other[:, 3 * FRAME_SAMPLES + 120 :] = 0
    assert torch.equal(patches(sound)[:, :3], patches(other)[:, :3])


def test_each_mel_band_hears_noise_alike() -> None:
    bank = mel_bank(1024, 80)
    torch.testing.assert_close(bank.sum(0), torch.ones(80), atol=0.01, rtol=0)
    assert FLOOR < 1e-3
