"""Resources that a server holds at one moment, from `/metrics` and /proc, to detect leaks."""

import asyncio
import os
from dataclasses import dataclass, fields, replace
from pathlib import Path

from sayline_tts.bench.load.process import PROC, private_mb

# Thread pools grow until they are full; memory fragments, and is mapped when first used.
THREADS_TOLERANCE, MEMORY_MB_TOLERANCE, MEMORY_SHARE_TOLERANCE = 8, 64.0, 0.10


@dataclass(frozen=True, slots=True)
class ResourceSnapshot:
    sessions: float
    contexts: float
    slots_used: float
    waiting: float
    codec_backlog_frames: float
    tasks: float
    descriptors: float
    threads: float
    memory_mb: float  # private to the processes of the server

    @classmethod
    async def read(cls, pid: int, address: str) -> "ResourceSnapshot":
        """Read all values. The request itself always takes one task and one descriptor."""
        metrics = parse(await ask(address, "/metrics"))
        counted = {name: metrics[f"sayline_{name}"] for name in COUNTED}
        return cls(**counted, descriptors=_descriptors(pid), threads=_threads(pid), memory_mb=private_mb(pid) or 0.0)

    @property
    def without_memory(self) -> "ResourceSnapshot":
        """The same without memory, which always fluctuates."""
        return replace(self, memory_mb=0.0)

    def leaked_since(self, start: "ResourceSnapshot") -> list[str]:
        """Return the names of resources that exceed `start` by more than their tolerance."""
        return [each.name for each in fields(self) if getattr(self, each.name) > start.most(each.name)]

    def most(self, name: str) -> float:
        """Return the largest acceptable value after starting from this snapshot."""
        value: float = getattr(self, name)
        match name:
            case "threads":
                return value + THREADS_TOLERANCE
            case "memory_mb":
                return value + max(MEMORY_MB_TOLERANCE, MEMORY_SHARE_TOLERANCE * value)
            case _:
                return value


COUNTED = ("sessions", "contexts", "slots_used", "waiting", "codec_backlog_frames", "tasks")


async def ask(address: str, path: str) -> str:
    """GET a page and return its body. Raises `RuntimeError` unless the status is 200."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n".encode())
        answer = (await reader.read()).decode()
    finally:
        writer.close()
        await writer.wait_closed()
    head, _, body = answer.partition("\r\n\r\n")
    if " 200 " not in head.partition("\r\n")[0]:
        raise RuntimeError(f"GET {path} returned {head.partition(chr(13))[0]}")
    return body


def parse(metrics: str) -> dict[str, float]:
    """Parse Prometheus metrics without labels."""
    lines = (line.split() for line in metrics.splitlines() if not line.startswith("#") and "{" not in line)
    return {name: float(value) for name, value in lines}


def _descriptors(pid: int) -> int:
    return len(os.listdir(PROC / str(pid) / "fd"))


def _threads(pid: int) -> int:
    return len(os.listdir(Path(PROC) / str(pid) / "task"))
