"""engine/rotary.py: what turns by positions depends on their distance alone."""

import math

import torch

from engine.rotary import rotary_frequencies, rotate, rotation


def test_it_depends_on_the_distance_alone_even_after_hours() -> None:
    frequencies = rotary_frequencies(64, 10000.0)
    hours = 4 * 3600 * 200
    near = rotation(torch.tensor([0, 7]), frequencies)
    far = rotation(torch.tensor([hours, hours + 7]), frequencies)
    turned = [pair[1] * pair[0].conj() for pair in (near, far)]
    torch.testing.assert_close(turned[0], turned[1], atol=1e-5, rtol=0)
    assert math.isclose(float(near.abs().max()), 1.0, rel_tol=1e-6)


def test_neighbouring_numbers_are_a_pair() -> None:
    quarter = torch.tensor([[1j, 1.0]], dtype=torch.complex64)
    turned = rotate(torch.tensor([[[1.0, 2.0, 3.0, 4.0]]]), quarter)
    torch.testing.assert_close(turned, torch.tensor([[[-2.0, 1.0, 3.0, 4.0]]]))
