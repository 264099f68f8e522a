"""The machine the engine runs on: kind of device, step clock, available cores, thread priority."""

import math
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
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
    """Return the number of cores that this process can keep busy."""
    return math.ceil(usable_cpus())


def usable_cpus() -> float:
    """Return how many processors' time this process gets: its cores, or less if a quota limits them."""
    quota = cpu_quota()
    return float(len(allowed_cores())) if quota is None else min(len(allowed_cores()), quota)


def allowed_cores() -> list[int]:
    """Return the numbers of the cores that this process may run on."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Return the processor time that the control groups of this process allow, in processors; None: no limit.

    Version 2 of control groups has it in `cpu.max`, version 1 in two files; the strictest group on the way up counts.
    `root`: of the file system, for tests.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    quotas = []
    for _, controllers, path in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        if not controllers:
            mounts = [root / "sys/fs/cgroup"]
        elif "cpu" in controllers.split(","):
            mounts = [root / "sys/fs/cgroup" / name for name in (controllers, "cpu")]
        else:
            continue
        for mount in mounts:
            group = PurePosixPath(path.lstrip("/"))
            quotas += [quota for each in (group, *group.parents) if (quota := _group_quota(mount / each)) is not None]
    return min(quotas, default=None)


def _group_quota(group: Path) -> float | None:
    """Return the quota of one control group, in processors; None: it has none."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            quota_us, period_us = " ".join((group / name).read_text().strip() for name in names).split()
            if float(quota_us) > 0:
                return float(quota_us) / float(period_us)
        except (OSError, ValueError):  # there is no such file, or it says `max`
            continue
    return None


def set_niceness(niceness: int) -> None:
    """Set the niceness of the calling thread: 0 is normal, 19 yields to every other thread.

    Does nothing outside Linux, where the call would apply to the whole process.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
