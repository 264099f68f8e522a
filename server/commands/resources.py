"""Cores and memory available to this process, including container limits."""

import os
from pathlib import Path

from sayline_tts.engine.device import usable_cores

CGROUP = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")


def available_cores() -> float:
    """Cores that this process may use; fractional if its container has a CPU quota."""
    try:
        quota, period = (CGROUP / "cpu.max").read_text().split()
        return min(float(usable_cores()), int(quota) / int(period))
    except (OSError, ValueError):  # no cgroup, or no limit ("max")
        return float(usable_cores())


def free_memory_bytes() -> int | None:
    """Memory that this process can still allocate; None if unknown."""
    free = [size for size in (_machine_free_bytes(), _container_free_bytes()) if size is not None]
    return min(free, default=None)


def _machine_free_bytes() -> int | None:
    try:
        lines = MEMINFO.read_text().splitlines()
    except OSError:  # not Linux: report all physical memory
        pages = "SC_PHYS_PAGES"
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf(pages) if pages in getattr(os, "sysconf_names", {}) else None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)


def _container_free_bytes() -> int | None:
    try:
        limit, used = ((CGROUP / f"memory.{name}").read_text() for name in ("max", "current"))
        return max(0, int(limit) - int(used))
    except (OSError, ValueError):
        return None
