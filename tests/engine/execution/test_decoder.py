"""Worker processes decode the same audio as the main process, from the same shared state."""

import errno
import multiprocessing.context
import os
import select
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sayline_tts.engine.cache.kv_cache import mapped_zeros
from sayline_tts.engine.execution.decoder import (
    MAX_TRIES,
    Decoder,
    LocalDecoder,
    ProcessDecoder,
    can_fork,
    make_decoders,
)
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
    found = [
        decoder._worker.process.pid for decoder in workers if isinstance(decoder, ProcessDecoder) and decoder._worker
    ]
    return [pid for pid in found if pid is not None]


class DyingDecoder(LocalDecoder):
    """Kills its process at the end of each of the first `deaths` passes that run in a worker, its answer unsent."""

    def __init__(self, model: Model, deaths: int) -> None:
        super().__init__(model.mimi, CPU, SLOTS, shared=True)
        self._parent, self._left = os.getpid(), mapped_zeros((1,), torch.long, CPU, shared=True)
        self._left[0] = deaths

    def decode(self, fresh: dict[int, int], slots: list[int], latents: Tensor) -> tuple[np.ndarray, float]:
        made = super().decode(fresh, slots, latents)
        if os.getpid() != self._parent and self._left[0] > 0:
            self._left[0] -= 1
            os.kill(os.getpid(), signal.SIGKILL)
        return made


def test_alternating_processes_equal_one_local_decoder(model: Model, workers: list[Decoder]) -> None:
    """They share their state: one process continues what another began."""
    local, slots = LocalDecoder(model.mimi, CPU, SLOTS), [0, 3, 39]
    for turn in range(6):
        fresh = {3: 0} if turn == 3 else dict.fromkeys(slots, 0) if turn == 0 else {}
        expected, _ = local.decode(fresh, slots, latents(3, turn))
        pcm, cost_ms = workers[turn % 2].decode(fresh, slots, latents(3, turn))
        np.testing.assert_allclose(pcm, expected, atol=1e-6)
        assert cost_ms > 0
    assert len({os.getpid(), *process_ids(workers)}) == 3


def test_failed_pass_raises_and_the_process_continues(workers: list[Decoder], caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(RuntimeError, match="codec failed"):
        workers[0].decode({}, [0], torch.zeros(1, 7))
    pcm, _ = workers[0].decode({0: 0}, [0], latents(1, 0))
    assert np.abs(pcm).max() > 0


def test_killed_idle_process_is_replaced_and_decodes_the_same(
    model: Model, workers: list[Decoder], caplog: pytest.LogCaptureFixture
) -> None:
    local, killed = LocalDecoder(model.mimi, CPU, SLOTS), process_ids(workers)[0]
    for turn in range(3):
        if turn == 1:
            os.kill(killed, signal.SIGKILL)
        expected, _ = local.decode({5: 0} if turn == 0 else {}, [5], latents(1, turn))
        pcm, _ = workers[0].decode({5: 0} if turn == 0 else {}, [5], latents(1, turn))
        np.testing.assert_allclose(pcm, expected, atol=1e-6)
    assert "exit code -9" in caplog.text
    assert killed not in process_ids(workers)
    assert (workers[0].alive, workers[0].restarts, workers[1].restarts) == (True, 1, 0)


@pytest.mark.parametrize("deaths", [1, MAX_TRIES - 1])
def test_pass_that_was_killed_after_it_changed_the_state_is_made_again_to_the_bit(model: Model, deaths: int) -> None:
    """The process dies when all its state is written: decoding the frame once more must not start from that."""
    local, dying, slots = LocalDecoder(model.mimi, CPU, SLOTS), DyingDecoder(model, 0), [2, 3, 38]
    decoder = ProcessDecoder(dying, SLOTS, model.frame_samples, 0)
    for turn in range(6):
        dying._left[0] = deaths if turn in (0, 3, 4) else 0
        fresh = dict.fromkeys(slots, 0) if turn == 0 else {3: 0} if turn == 4 else {}
        expected, _ = local.decode(fresh, slots, latents(3, turn))
        assert np.array_equal(decoder.decode(fresh, slots, latents(3, turn))[0], expected), turn
    assert decoder.restarts == 3 * deaths
    decoder.close()


def test_frames_that_kill_every_process_fail_and_the_next_ones_do_not(model: Model) -> None:
    dying = DyingDecoder(model, MAX_TRIES)
    decoder = ProcessDecoder(dying, SLOTS, model.frame_samples, 0)
    with pytest.raises(RuntimeError, match="died while they decoded the same frames"):
        decoder.decode({0: 0}, [0], latents(1, 0))
    expected, _ = LocalDecoder(model.mimi, CPU, SLOTS).decode({1: 0}, [1], latents(1, 1))
    assert np.array_equal(decoder.decode({1: 0}, [1], latents(1, 1))[0], expected)
    decoder.close()


def test_without_a_process_the_main_process_decodes_until_one_can_be_forked(
    model: Model, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(worker: Any) -> None:
        raise OSError(errno.EAGAIN, "no more processes")

    decoder = make_decoders(model.mimi, CPU, SLOTS, 1, 0, in_processes=True)[0]
    local = LocalDecoder(model.mimi, CPU, SLOTS)
    os.kill(process_ids([decoder])[0], signal.SIGKILL)
    with monkeypatch.context() as patch:
        patch.setattr(multiprocessing.context.ForkProcess, "start", refuse)
        for turn in range(2):
            expected, _ = local.decode({} if turn else {4: 0}, [4], latents(1, turn))
            assert np.array_equal(decoder.decode({} if turn else {4: 0}, [4], latents(1, turn))[0], expected)
        decoder.revive()
    assert "no more processes" in caplog.text
    assert not decoder.alive
    decoder.revive()
    assert decoder.alive
    expected, _ = local.decode({}, [4], latents(1, 9))
    assert np.array_equal(decoder.decode({}, [4], latents(1, 9))[0], expected)
    decoder.close()


def test_worker_that_was_forked_later_holds_no_socket_of_the_server(workers: list[Decoder]) -> None:
    """Else a client whose connection the server closes would stay connected."""
    ours, theirs = socket.socketpair()
    os.kill(process_ids(workers)[0], signal.SIGKILL)
    workers[0].decode({0: 0}, [0], latents(1, 0))
    ours.close()
    theirs.settimeout(10)
    assert theirs.recv(1) == b""
    theirs.close()


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
