"""Quotas on a simulated clock."""

import pytest

from sayline_tts.server.access.limits import Quotas
from tests.server.access.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def quotas(clock: Clock) -> Quotas:
    return Quotas(clock)
