"""Decode latents of some slots to PCM, in this process or in worker processes that share the codec's state.

A decode pass is hundreds of small operations, and Python's global lock lets one thread of a process start one at a
time: beside FlowLM and an event loop, each of them may have to wait. A process of its own never does. Workers are
forked, so that they have the weights without loading them, and the state of the codec lies in shared memory, so that
any process can decode any slot.
"""

import atexit
import contextlib
import logging
import multiprocessing
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


class Decoder(Protocol):
    """Used by one thread at a time."""

    def decode(self, fresh: list[int], slots: list[int], latents: Tensor) -> tuple[np.ndarray, float]:
        """Decode one frame of each slot: latents `[rows, dim]` to PCM `[rows, samples]`.

        The state of the slots in `fresh` is reset first. Also returns the cost in ms: CPU time, or on an accelerator
        wall time.
        """

    def close(self) -> None: ...


class LocalDecoder:
    """Decodes in this process. Several threads may decode at once, for different slots."""

    def __init__(self, mimi: Mimi, device: torch.device, slots: int, shared: bool = False) -> None:
        self._clock_ns = step_clock_ns(device)
        self._mimi: Mimi | StaticMimi = mimi
        if uses_static_shapes(device):
            self._mimi = StaticMimi(mimi, device, slots)
            self._state: MimiState = self._mimi.state
        else:
            self._state = MimiState(mimi, device, slots, shared)

    @torch.inference_mode()
    def decode(self, fresh: list[int], slots: list[int], latents: Tensor) -> tuple[np.ndarray, float]:
        start_ns = self._clock_ns()
        for slot in fresh:
            self._state.reset(slot)
        pcm = self._mimi.decode(latents, self._state, torch.tensor(slots)).cpu().numpy()  # [rows, samples]
        return pcm, (self._clock_ns() - start_ns) / 1e6

    def close(self) -> None:
        pass


class ProcessDecoder:
    """Decodes in a worker process. If that dies, the pass under way fails and later ones run in this process."""

    def __init__(self, local: LocalDecoder, slots: int, frame_samples: int, niceness: int) -> None:
        context = multiprocessing.get_context("fork")
        self._local, (self._pipe, worker_pipe) = local, context.Pipe()
        pipes = self._pipe, worker_pipe
        self._pcm = mapped_zeros((slots, frame_samples), torch.float32, torch.device("cpu"), shared=True).numpy()
        args = (local, self._pcm, pipes, niceness)
        self._process = context.Process(target=_serve, args=args, name="codec", daemon=True)
        with warnings.catch_warnings():  # of locks that other threads hold at the fork: the worker takes none of them
            warnings.simplefilter("ignore", DeprecationWarning)
            self._process.start()
        # Without `close`, multiprocessing would send SIGTERM at exit, which the worker ignores, and wait for it.
        atexit.register(self._process.kill)
        worker_pipe.close()
        self._dead = False

    def decode(self, fresh: list[int], slots: list[int], latents: Tensor) -> tuple[np.ndarray, float]:
        if self._dead:
            return self._local.decode(fresh, slots, latents)
        try:
            self._pipe.send((fresh, slots, latents.numpy()))
            answer = self._pipe.recv()
        except (EOFError, OSError):
            self._dead = True
            self._process.join()
            log.error(
                "a codec process died (exit code %s); its share is decoded in the main process from now on",
                self._process.exitcode,
            )
            raise RuntimeError("a codec process died") from None
        if isinstance(answer, Exception):
            raise answer
        return self._pcm[slots], answer

    def close(self) -> None:
        with contextlib.suppress(OSError):  # the process has died
            self._pipe.send(None)
        self._process.join()
        self._pipe.close()
        atexit.unregister(self._process.kill)


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


def _serve(local: LocalDecoder, pcm: np.ndarray, pipes: tuple[Connection, Connection], niceness: int) -> None:
    """Run the worker process: decode until told to end or until the parent has gone."""
    parent_pipe, pipe = pipes
    parent_pipe.close()  # else this process itself would keep the pipe open when the parent has gone
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
