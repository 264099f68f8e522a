"""What this machine gives to this process: memory and cores, also where a container is given less than there is."""

import os
from pathlib import Path

from sayline_tts.engine.execution.model_runner import cores

CGROUP = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")


def granted_cores() -> float:
    """That it may use, or the share of them that its container is granted."""
    try:
        quota, period = (CGROUP / "cpu.max").read_text().split()
        return min(float(cores()), int(quota) / int(period))
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return float(cores())


def free_memory_bytes() -> int | None:
    """That it may still take. None: nobody knows."""
    left = [each for each in (_left_to_the_machine(), _left_to_the_container()) if each is not None]
    return min(left, default=None)


def _left_to_the_machine() -> int | None:
    try:
        lines = MEMINFO.read_text().splitlines()
    except OSError:  # not Linux: all of it, then
        pages = "SC_PHYS_PAGES"
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf(pages) if pages in getattr(os, "sysconf_names", {}) else None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)


def _left_to_the_container() -> int | None:
    try:
        limit, used = ((CGROUP / f"memory.{name}").read_text() for name in ("max", "current"))
        return max(0, int(limit) - int(used))
    except (OSError, ValueError):
        return None
