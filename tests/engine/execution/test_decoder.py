"""engine/execution/decoder.py: here or in a process of its own, the same sound from the same memory."""

import logging
import os
import select
import signal
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from sayline_tts.engine.execution.decoder import Decoder, LocalDecoder, ProcessDecoder, can_fork, decoders
from sayline_tts.engine.models.mimi import MimiState
from sayline_tts.engine.models.model import Model

CPU = torch.device("cpu")
SLOTS = 40  # more than a page has

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks processes that may use torch")


def latents(rows: int, seed: int) -> Tensor:
    return torch.randn(rows, 32, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def apart(model: Model) -> Iterator[list[Decoder]]:
    """Two processes."""
    both = decoders(model.mimi, CPU, SLOTS, 2, 0, apart=True)
    yield both
    for decoder in both:
        decoder.close()


def processes(apart: list[Decoder]) -> list[int]:
    found = [decoder._process.pid for decoder in apart if isinstance(decoder, ProcessDecoder)]
    return [pid for pid in found if pid is not None]


def test_processes_by_turns_equal_this_one_alone(model: Model, apart: list[Decoder]) -> None:
    """Their memory is one: what a process began, another goes on with."""
    alone, slots = LocalDecoder(model.mimi, CPU, SLOTS), [0, 3, 39]
    for turn in range(6):
        fresh = [3] if turn == 3 else slots if turn == 0 else []
        expected, _ = alone.decode(fresh, slots, latents(3, turn))
        heard, cost_ms = apart[turn % 2].decode(fresh, slots, latents(3, turn))
        np.testing.assert_allclose(heard, expected, atol=1e-6)
        assert cost_ms > 0
    assert len({os.getpid(), *processes(apart)}) == 3


def test_a_pass_that_fails_is_told_and_the_process_goes_on(
    apart: list[Decoder], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(RuntimeError, match="codec failed"):
        apart[0].decode([], [0], torch.zeros(1, 7))
    pcm, _ = apart[0].decode([0], [0], latents(1, 0))
    assert np.abs(pcm).max() > 0


def test_where_a_process_dies_its_pass_fails_and_this_one_does_the_rest(
    model: Model, apart: list[Decoder], caplog: pytest.LogCaptureFixture
) -> None:
    before, _ = apart[0].decode([5], [5], latents(1, 0))
    os.kill(processes(apart)[0], signal.SIGKILL)
    with caplog.at_level(logging.ERROR), pytest.raises(RuntimeError, match="died"):
        apart[0].decode([], [6], latents(1, 1))
    assert "exit code -9" in caplog.text
    alone = LocalDecoder(model.mimi, CPU, SLOTS)
    assert np.array_equal(alone.decode([5], [5], latents(1, 0))[0], before)
    for decoder in apart:  # the dead one is stood in for, the other one lives
        expected, _ = alone.decode([], [5], latents(1, 2))
        np.testing.assert_allclose(decoder.decode([], [5], latents(1, 2))[0], expected, atol=1e-6)


def test_they_end_when_they_are_told(apart: list[Decoder]) -> None:
    pids = processes(apart)
    for decoder in apart:
        decoder.close()
        decoder.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_they_end_when_the_first_process_is_killed(model: Model) -> None:
    """A kill leaves it no time to tell anybody."""
    told, theirs = os.pipe()
    if (first := os.fork()) == 0:
        apart = decoders(model.mimi, CPU, 1, 2, 0, apart=True)
        os.write(theirs, " ".join(map(str, processes(apart))).encode())
        signal.pause()
    pids = list(map(int, os.read(told, 100).split()))
    endings = [os.pidfd_open(pid) for pid in pids]
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    for ending in endings:
        assert select.select([ending], [], [], 30)[0], "it lives on"
    for descriptor in (*endings, told, theirs):
        os.close(descriptor)


def test_without_apart_all_decode_here_over_one_memory(model: Model) -> None:
    here = decoders(model.mimi, CPU, 2, 3, 0, apart=False)
    assert len(here) == 3
    assert len(set(map(id, here))) == 1


def test_nobody_forks_where_it_cannot_work(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not can_fork(torch.device("cuda"))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert not can_fork(CPU)
    monkeypatch.setattr("sys.platform", "darwin")
    assert not can_fork(CPU)


def test_memory_that_is_shared_costs_nothing_until_it_is_used(model: Model) -> None:
    before = shared_kb()
    state = MimiState(model.mimi, CPU, 4096, shared=True)
    assert shared_kb() - before < 1000
    state.reset(0)


def shared_kb() -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssShmem:"))
