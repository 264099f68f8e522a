"""Latents of some slots to PCM, in this process or in one of its own, over the same memory.

A pass is hundreds of small operations, and Python lets one thread of a process begin one at a time: beside FlowLM and
an event loop each of them may have to wait. A process of its own waits for nobody. It is forked, so that it has the
weights without loading them, and the codec's memory is shared: any process decodes any slot.
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

from sayline_tts.engine.cache.kv_cache import zeros
from sayline_tts.engine.cuda.static_mimi import StaticMimi
from sayline_tts.engine.device import clock_ns, wants_static
from sayline_tts.engine.execution.priority import step_aside
from sayline_tts.engine.models.mimi import Mimi, MimiState

log = logging.getLogger(__name__)


class Decoder(Protocol):
    """For one thread at a time."""

    def decode(self, fresh: list[int], slots: list[int], latents: Tensor) -> tuple[np.ndarray, float]:
        """One frame of each slot, those in `fresh` from silence on: latents `[rows, dim]` to PCM `[rows, samples]`.

        And what it cost: ms of CPU time, or on an accelerator of waiting.
        """

    def close(self) -> None: ...


class LocalDecoder:
    """In this process. Several threads may decode at once, for slots that are not the same."""

    def __init__(self, mimi: Mimi, device: torch.device, slots: int, shared: bool = False) -> None:
        self._clock_ns = clock_ns(device)
        self._mimi: Mimi | StaticMimi = mimi
        if wants_static(device):
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
    """In a process of its own. Should that die, what it was at fails, and all that follows is decoded here."""

    def __init__(self, local: LocalDecoder, slots: int, samples: int, niceness: int) -> None:
        """`samples` of a frame."""
        context = multiprocessing.get_context("fork")
        self._local, (self._pipe, theirs) = local, context.Pipe()
        ends = self._pipe, theirs
        self._pcm = zeros((slots, samples), torch.float32, torch.device("cpu"), shared=True).numpy()
        work = (local, self._pcm, ends, niceness)
        self._process = context.Process(target=_serve, args=work, name="codec", daemon=True)
        with warnings.catch_warnings():  # Python warns of the locks that other threads hold: it takes none of theirs
            warnings.simplefilter("ignore", DeprecationWarning)
            self._process.start()
        atexit.register(self._process.kill)  # where nobody closes us: it would be asked politely, and waited for
        theirs.close()
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
            log.error("a process of the codec died (exit code %s); its part is done here", self._process.exitcode)
            raise RuntimeError("a process of the codec died") from None
        if isinstance(answer, Exception):
            raise answer
        return self._pcm[slots], answer

    def close(self) -> None:
        with contextlib.suppress(OSError):  # it has died
            self._pipe.send(None)
        self._process.join()
        self._pipe.close()
        atexit.unregister(self._process.kill)


def decoders(mimi: Mimi, device: torch.device, slots: int, count: int, niceness: int, apart: bool) -> list[Decoder]:
    """So many, over one memory. `apart`: in processes of their own, where that is possible."""
    apart = apart and can_fork(device)
    local = LocalDecoder(mimi, device, slots, shared=apart)
    samples = mimi.config.frame_samples
    return [ProcessDecoder(local, slots, samples, niceness) if apart else local for _ in range(count)]


def can_fork(device: torch.device) -> bool:
    """On Linux, for a processor, with one thread a pass: OpenMP's threads do not survive a fork."""
    return sys.platform == "linux" and device.type == "cpu" and torch.get_num_threads() == 1


def _serve(local: LocalDecoder, pcm: np.ndarray, ends: tuple[Connection, Connection], niceness: int) -> None:
    """The other process: frames in, sound out, until it is told to end, or the first one has ended in any way."""
    first, pipe = ends
    first.close()  # else it would never hear that nobody else has it any more
    for number in (signal.SIGINT, signal.SIGTERM):  # these may reach all; the first process decides what is still said
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)
    step_aside(niceness)
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
            log.exception("a pass of the codec failed")
            answer = RuntimeError(f"a pass of the codec failed: {error}")
        pipe.send(answer)
