"""Decode latents of some slots to PCM, in this process or in worker processes that share the codec's state.

A decode pass is hundreds of small operations, and Python's global lock lets one thread of a process start one at a
time: beside FlowLM and an event loop, each of them may have to wait. A process of its own never does. Workers are
forked, so that they have the weights without loading them, and the state of the codec lies in shared memory, so that
any process can decode any slot.

A process may die at any instant, for example when the system runs out of memory. It may have written a part of its pass
by then, so the main process keeps a copy of the state from before, restores it, forks another process and has the same
frames decoded again: no listener notices.
"""

import atexit
import contextlib
import gc
import logging
import multiprocessing
import os
import signal
import sys
import warnings
from multiprocessing.connection import Connection
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from sayline_tts.engine.cache.kv_cache import mapped_zeros
from sayline_tts.engine.cuda.static_mimi import StaticMimi
from sayline_tts.engine.device import set_niceness, step_clock_ns, uses_static_shapes
from sayline_tts.engine.models.mimi import Mimi, MimiState

log = logging.getLogger(__name__)

MAX_TRIES = 3  # of a pass whose process dies: probably it is the pass that kills it
STANDARD_STREAMS = 3  # descriptors 0 to 2


class Decoder(Protocol):
    """Used by one thread at a time."""

    def decode(self, fresh: dict[int, int], slots: list[int], latents: Tensor) -> tuple[np.ndarray, float]:
        """Decode one frame of each slot: latents `[rows, dim]` to PCM `[rows, samples]`.

        The state of the slots in `fresh` is reset first, to so many frames. Also returns the cost in ms: CPU time, or
        on an accelerator wall time.
        """

    @property
    def alive(self) -> bool:
        """Whether it has a process of its own, if it needs one, and that lives."""

    @property
    def restarts(self) -> int:
        """Processes that have died and were replaced."""

    def revive(self) -> None:
        """Replace a process that has died. Like `decode`, on one thread at a time."""

    def close(self) -> None: ...


class LocalDecoder:
    """Decodes in this process. Several threads may decode at once, for different slots."""

    alive, restarts = True, 0

    def __init__(self, mimi: Mimi, device: torch.device, slots: int, shared: bool = False) -> None:
        self._clock_ns = step_clock_ns(device)
        self._mimi: Mimi | StaticMimi = mimi
        if uses_static_shapes(device):
            self._mimi = StaticMimi(mimi, device, slots)
            self.state: MimiState = self._mimi.state
        else:
            self.state = MimiState(mimi, device, slots, shared)

    @torch.inference_mode()
    def decode(self, fresh: dict[int, int], slots: list[int], latents: Tensor) -> tuple[np.ndarray, float]:
        start_ns = self._clock_ns()
        for slot, frames in fresh.items():
            self.state.reset(slot, frames)
        pcm = self._mimi.decode(latents, self.state, torch.tensor(slots)).cpu().numpy()  # [rows, samples]
        return pcm, (self._clock_ns() - start_ns) / 1e6

    def revive(self) -> None:
        pass

    def close(self) -> None:
        pass


class ProcessDecoder:
    """Decodes in a worker process. If that dies, another one takes its place and makes the frames again.

    If no process can be forked, it decodes in this process until `revive` succeeds.
    """

    def __init__(self, local: LocalDecoder, slots: int, frame_samples: int, niceness: int) -> None:
        self._local, self._niceness = local, niceness
        self._pcm = mapped_zeros((slots, frame_samples), torch.float32, torch.device("cpu"), shared=True).numpy()
        self.restarts = 0
        self._worker: _Worker | None = None
        self._start()

    @property
    def alive(self) -> bool:
        return self._worker is not None and self._worker.process.is_alive()

    @torch.inference_mode()
    def decode(self, fresh: dict[int, int], slots: list[int], latents: Tensor) -> tuple[np.ndarray, float]:
        rows = torch.tensor(slots)
        before = self._local.state.snapshot(rows)
        for _ in range(MAX_TRIES):
            if self._worker is None:
                return self._local.decode(fresh, slots, latents)
            try:
                answer = self._worker.request((fresh, slots, latents.numpy()))
            except (EOFError, OSError):
                self._local.state.restore(rows, before)
                self._replace()
                continue
            if isinstance(answer, Exception):
                raise answer
            return self._pcm[slots], answer
        raise RuntimeError(f"{MAX_TRIES} codec processes died while they decoded the same frames")

    def revive(self) -> None:
        if not self.alive:
            self._replace()

    def close(self) -> None:
        if self._worker is not None:
            self._worker.close()

    def _replace(self) -> None:
        """Fork another process. If there is one, it has died."""
        if self._worker is not None:
            code = self._worker.close()
            log.error("a codec process died (exit code %s); another one takes its place and repeats its frames", code)
            self.restarts += 1
        self._start()

    def _start(self) -> None:
        try:
            self._worker = _Worker(self._local, self._pcm, self._niceness)
        except OSError as error:
            log.error("cannot start a codec process (%s); its share is decoded in the main process", error.strerror)
            self._worker = None


class _Worker:
    """A process that decodes, and our end of the pipe to it. Raises `OSError` if it cannot be forked."""

    def __init__(self, local: LocalDecoder, pcm: np.ndarray, niceness: int) -> None:
        context = multiprocessing.get_context("fork")
        self._pipe, worker_pipe = context.Pipe()
        self.process = context.Process(
            target=_serve, args=(local, pcm, worker_pipe, niceness), name="codec", daemon=True
        )
        try:
            with (
                warnings.catch_warnings()
            ):  # of locks that other threads hold at the fork: the worker takes none of them
                warnings.simplefilter("ignore", DeprecationWarning)
                self.process.start()
        except OSError:
            self._pipe.close()
            raise
        finally:
            worker_pipe.close()
        # Without `close`, multiprocessing would send SIGTERM at exit, which the worker ignores, and wait for it.
        atexit.register(self.process.kill)

    def request(self, work: tuple[dict[int, int], list[int], np.ndarray]) -> float | Exception:
        """Decode: see `_serve`. Raises `EOFError` or `OSError` if the process dies."""
        self._pipe.send(work)
        answer: float | Exception = self._pipe.recv()
        return answer

    def close(self) -> int | None:
        """End the process and return its exit code. Idempotent."""
        with contextlib.suppress(OSError):  # the process has died
            self._pipe.send(None)
        self.process.join()
        self._pipe.close()
        atexit.unregister(self.process.kill)
        return self.process.exitcode


def make_decoders(
    mimi: Mimi, device: torch.device, slots: int, count: int, niceness: int, in_processes: bool
) -> list[Decoder]:
    """Return `count` decoders that share one state. `in_processes`: in a process each, if `can_fork`."""
    in_processes = in_processes and can_fork(device)
    local = LocalDecoder(mimi, device, slots, shared=in_processes)
    samples = mimi.config.frame_samples
    return [ProcessDecoder(local, slots, samples, niceness) if in_processes else local for _ in range(count)]


def can_fork(device: torch.device) -> bool:
    """Return whether workers can be forked: on Linux, on a CPU, and without OpenMP threads, which a fork loses."""
    return sys.platform == "linux" and device.type == "cpu" and torch.get_num_threads() == 1


def _serve(local: LocalDecoder, pcm: np.ndarray, pipe: Connection, niceness: int) -> None:
    """Run the worker process: decode until told to end or until the parent has gone."""
    gc.freeze()  # what the parent left is never collected here: a destructor could close a descriptor of ours
    _close_descriptors_except(pipe.fileno())
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM):  # may be sent to the whole group; the parent decides when to end
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)
    set_niceness(niceness)
    while True:
        try:
            work = pipe.recv()
        except (EOFError, OSError):
            return
        if work is None:
            return
        fresh, slots, latents = work
        answer: float | Exception
        try:
            pcm[slots], answer = local.decode(fresh, slots, torch.from_numpy(latents))
        except Exception as error:
            log.exception("a decode pass of the codec failed")
            answer = RuntimeError(f"a decode pass of the codec failed: {error}")
        pipe.send(answer)


def _close_descriptors_except(kept: int) -> None:
    """Close all inherited descriptors but the standard streams and `kept`.

    A socket that a worker kept open would stay connected after the parent has closed it, and the parent's end of a
    pipe would hide from the worker that the parent has gone.
    """
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        if descriptor >= STANDARD_STREAMS and descriptor != kept:
            with contextlib.suppress(OSError):  # that of the listing itself
                os.close(descriptor)
