"""The machine the engine runs on: kind of device, step clock, available cores, thread priority."""

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # load generators count cores without loading torch
    import torch


def uses_static_shapes(device: "torch.device") -> bool:
    """Return whether the engine works in static shapes on `device`. On a CPU, rows are compacted instead."""
    return device.type != "cpu"


def step_clock_ns(device: "torch.device") -> Callable[[], int]:
    """Return the clock that steps are measured with: CPU time of the thread, or wall time on an accelerator.

    On an accelerator the thread only waits, so its CPU time says nothing about the step.
    """
    return time.thread_time_ns if device.type == "cpu" else time.perf_counter_ns


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_niceness(niceness: int) -> None:
    """Set the niceness of the calling thread: 0 is normal, 19 yields to every other thread.

    Does nothing outside Linux, where the call would apply to the whole process.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
