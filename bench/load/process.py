"""CPU time and memory of the server and of this process, from /proc. Not available outside Linux."""

import ipaddress
import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

PROC = Path("/proc")
LISTENING = "0A"


@dataclass(frozen=True, slots=True)
class CpuUsage:
    server_cpu_s: float | None
    own_cpu_s: float

    def __sub__(self, other: "CpuUsage") -> "CpuUsage":
        known = self.server_cpu_s is not None and other.server_cpu_s is not None
        server_cpu_s = self.server_cpu_s - other.server_cpu_s if known else None  # type: ignore[operator]
        return CpuUsage(server_cpu_s, self.own_cpu_s - other.own_cpu_s)


@dataclass(frozen=True, slots=True)
class CpuMeter:
    """Reads the server's usage; `pid` None: it runs on another machine."""

    pid: int | None = None

    def read(self) -> CpuUsage:
        own = resource.getrusage(resource.RUSAGE_SELF)
        return CpuUsage(cpu_s(self.pid) if self.pid is not None else None, own.ru_utime + own.ru_stime)

    def resident_mb(self) -> float | None:
        return resident_mb(self.pid) if self.pid is not None else None


def cpu_s(pid: int) -> float | None:
    """Return the CPU seconds (user and system) of a process and its descendants, or None."""
    try:
        return sum(map(_cpu_s, _family(pid)))
    except OSError:
        return None


def resident_mb(pid: int) -> float | None:
    """Return the memory of a process and its descendants, shared pages counted once, or None."""
    try:
        return sum(map(_resident_mb, _family(pid)))
    except OSError:
        return None


def private_mb(pid: int) -> float | None:
    """Return the memory that only a process or only one of its descendants has, or None.

    Unlike the share of shared pages, it does not change with what other processes map.
    """
    try:
        return sum(_smaps_mb(each, "Private_Clean:", "Private_Dirty:") for each in _family(pid))
    except OSError:
        return None


def _family(pid: int) -> list[int]:
    children = " ".join(path.read_text() for path in PROC.glob(f"{pid}/task/*/children"))
    return [pid, *(one for child in children.split() for one in _family(int(child)))]


def _cpu_s(pid: int) -> float:
    after_name = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    user, system = after_name[11:13]  # fields 14 and 15 of proc(5)
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _resident_mb(pid: int) -> float:
    return _smaps_mb(pid, "Pss:")


def _smaps_mb(pid: int, *fields: str) -> float:
    lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith(fields))


def pid_of_server(url: str) -> int | None:
    """Return the process listening at this address, if it is on this machine and visible to us."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme in ("wss", "https") else 80)
    if not _is_here(parts.hostname or ""):
        return None
    sockets = {f"socket:[{inode}]" for inode in _listening(port)}
    for descriptor in PROC.glob("[0-9]*/fd/*"):
        with suppress(OSError):  # exited meanwhile, or not visible to us
            if os.readlink(descriptor) in sockets:
                return int(descriptor.parts[2])
    return None


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listening(port: int) -> Iterator[str]:
    """Yield the inodes of the sockets listening on a port."""
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (PROC / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]
