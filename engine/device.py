"""What depends on the device that a model runs on."""

import time
from collections.abc import Callable

import torch


def wants_static(device: torch.device) -> bool:
    """Is the engine to work in static shapes here? On a processor rows are compacted instead."""
    return device.type != "cpu"


def clock_ns(device: torch.device) -> Callable[[], int]:
    """What steps are measured by: the work of a thread, or, where that only waits for an accelerator, the wait."""
    return time.thread_time_ns if device.type == "cpu" else time.perf_counter_ns
