import os
import sys

import pytest

from sayline_tts.bench.load.memory import Memory, measure_memory
from sayline_tts.bench.load.process import CpuMeter
from sayline_tts.bench.load.texts import Texts
from tests.bench.fakes import connects_to, speaks

TEXTS = Texts(((1, 0.08), (2, 0.16)), 0.08, 0.16)


def test_memory_slope_is_overall_mean_and_steepest_step() -> None:
    memory = Memory.of([(1, 100.0), (5, 104.0), (9, 120.0)])
    assert (memory.mean_mb, memory.most_mb) == (2.5, 4.0)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_memory_is_read_at_each_level() -> None:
    memory = await measure_memory(connects_to(speaks), TEXTS, CpuMeter(os.getpid()), 2)
    assert memory is not None
    assert [listeners for listeners, _ in memory.points] == [1, 2]
    assert all(resident_mb > 1 for _, resident_mb in memory.points)


async def test_memory_of_a_remote_server_is_unknown() -> None:
    assert await measure_memory(connects_to(speaks), TEXTS, CpuMeter(), 1) is None
