"""Worker processes decode the same audio as the main process, from the same shared state."""

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

from sayline_tts.engine.execution.decoder import Decoder, LocalDecoder, ProcessDecoder, can_fork, make_decoders
from sayline_tts.engine.models.mimi import MimiState
from sayline_tts.engine.models.model import Model

CPU = torch.device("cpu")
SLOTS = 40  # more than one page of the cache

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")


def latents(rows: int, seed: int) -> Tensor:
    return torch.randn(rows, 32, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def workers(model: Model) -> Iterator[list[Decoder]]:
    """Two worker processes."""
    both = make_decoders(model.mimi, CPU, SLOTS, 2, 0, in_processes=True)
    yield both
    for decoder in both:
        decoder.close()


def process_ids(workers: list[Decoder]) -> list[int]:
    found = [decoder._process.pid for decoder in workers if isinstance(decoder, ProcessDecoder)]
    return [pid for pid in found if pid is not None]


def test_alternating_processes_equal_one_local_decoder(model: Model, workers: list[Decoder]) -> None:
    """They share their state: one process continues what another began."""
    local, slots = LocalDecoder(model.mimi, CPU, SLOTS), [0, 3, 39]
    for turn in range(6):
        fresh = [3] if turn == 3 else slots if turn == 0 else []
        expected, _ = local.decode(fresh, slots, latents(3, turn))
        pcm, cost_ms = workers[turn % 2].decode(fresh, slots, latents(3, turn))
        np.testing.assert_allclose(pcm, expected, atol=1e-6)
        assert cost_ms > 0
    assert len({os.getpid(), *process_ids(workers)}) == 3


def test_failed_pass_raises_and_the_process_continues(workers: list[Decoder], caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(RuntimeError, match="codec failed"):
        workers[0].decode([], [0], torch.zeros(1, 7))
    pcm, _ = workers[0].decode([0], [0], latents(1, 0))
    assert np.abs(pcm).max() > 0


def test_dead_process_fails_one_pass_and_the_main_process_takes_over(
    model: Model, workers: list[Decoder], caplog: pytest.LogCaptureFixture
) -> None:
    before, _ = workers[0].decode([5], [5], latents(1, 0))
    os.kill(process_ids(workers)[0], signal.SIGKILL)
    with caplog.at_level(logging.ERROR), pytest.raises(RuntimeError, match="died"):
        workers[0].decode([], [6], latents(1, 1))
    assert "exit code -9" in caplog.text
    local = LocalDecoder(model.mimi, CPU, SLOTS)
    assert np.array_equal(local.decode([5], [5], latents(1, 0))[0], before)
    for decoder in workers:  # the first is dead and replaced, the second is alive
        expected, _ = local.decode([], [5], latents(1, 2))
        np.testing.assert_allclose(decoder.decode([], [5], latents(1, 2))[0], expected, atol=1e-6)


def test_processes_end_on_close(workers: list[Decoder]) -> None:
    pids = process_ids(workers)
    for decoder in workers:
        decoder.close()
        decoder.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_processes_end_when_their_parent_is_killed(model: Model) -> None:
    """SIGKILL leaves the parent no time to close them."""
    receiver, sender = os.pipe()
    if (parent := os.fork()) == 0:
        workers = make_decoders(model.mimi, CPU, 1, 2, 0, in_processes=True)
        os.write(sender, " ".join(map(str, process_ids(workers))).encode())
        signal.pause()
    pids = list(map(int, os.read(receiver, 100).split()))
    pidfds = [os.pidfd_open(pid) for pid in pids]
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    for pidfd in pidfds:
        assert select.select([pidfd], [], [], 30)[0], "the process is still running"
    for descriptor in (*pidfds, receiver, sender):
        os.close(descriptor)


def test_local_decoders_share_one_state(model: Model) -> None:
    local = make_decoders(model.mimi, CPU, 2, 3, 0, in_processes=False)
    assert len(local) == 3
    assert len(set(map(id, local))) == 1


def test_no_fork_on_accelerators_with_threads_or_outside_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not can_fork(torch.device("cuda"))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert not can_fork(CPU)
    monkeypatch.setattr("sys.platform", "darwin")
    assert not can_fork(CPU)


def test_shared_memory_is_not_resident_until_it_is_used(model: Model) -> None:
    before = shared_kb()
    state = MimiState(model.mimi, CPU, 4096, shared=True)
    assert shared_kb() - before < 1000
    state.reset(0)


def shared_kb() -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssShmem:"))
