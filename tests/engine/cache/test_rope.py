"""Rotary positions depend on distances alone, even after hours."""

import math

import numpy as np
import torch

from sayline_tts.engine.cache.rope import RopeTable, apply_rope, rope_factors, rope_frequencies


def test_rotation_depends_on_the_distance_alone_even_after_hours() -> None:
    frequencies = rope_frequencies(64, 10000.0)
    hours = 4 * 3600 * 200
    near = rope_factors(torch.tensor([0, 7]), frequencies)
    far = rope_factors(torch.tensor([hours, hours + 7]), frequencies)
    rotated = [pair[1] * pair[0].conj() for pair in (near, far)]
    torch.testing.assert_close(rotated[0], rotated[1], atol=1e-5, rtol=0)
    assert math.isclose(float(near.abs().max()), 1.0, rel_tol=1e-6)


def test_neighbouring_numbers_are_a_pair() -> None:
    quarter = torch.tensor([[1j, 1.0]], dtype=torch.complex64)
    rotated = apply_rope(torch.tensor([[[1.0, 2.0, 3.0, 4.0]]]), quarter)
    torch.testing.assert_close(rotated, torch.tensor([[[-2.0, 1.0, 3.0, 4.0]]]))


def test_table_equals_the_factors_of_single_positions_even_after_hours() -> None:
    frequencies, positions, lengths = rope_frequencies(64, 10000.0), np.array([0, 4 * 3600 * 200, 5]), [3, 17, 1]
    each = np.concatenate([first + np.arange(length) for first, length in zip(positions, lengths, strict=True)])
    expected = torch.view_as_real(rope_factors(torch.from_numpy(each), frequencies)).flatten(1).numpy()
    table = RopeTable(frequencies)
    for _ in range(2):
        np.testing.assert_allclose(table.cos_sin(positions, np.array(lengths)), expected, atol=1e-6)
