"""What a server holds at one moment, to see that all of it is given back: from its `/metrics`, and from /proc."""

import asyncio
import os
from dataclasses import dataclass, fields, replace
from pathlib import Path

from sayline_tts.bench.load.process import PROC, resident_mb

# A pool of threads grows by chance until it is full; memory has holes, and is mapped when first used.
THREADS_ABOVE, MEMORY_MB_ABOVE, MEMORY_SHARE_ABOVE = 8, 64.0, 0.10


@dataclass(frozen=True, slots=True)
class Residue:
    sessions: float
    contexts: float
    slots_used: float
    waiting: float
    codec_backlog_frames: float
    tasks: float
    descriptors: float
    threads: float
    memory_mb: float

    @classmethod
    async def read(cls, pid: int, address: str) -> "Residue":
        """Asking takes a task and a descriptor itself: always the same."""
        told = parse(await ask(address, "/metrics"))
        counted = {name: told[f"sayline_{name}"] for name in COUNTED}
        return cls(**counted, descriptors=_descriptors(pid), threads=_threads(pid), memory_mb=resident_mb(pid) or 0.0)

    @property
    def without_memory(self) -> "Residue":
        """Memory is never quite still."""
        return replace(self, memory_mb=0.0)

    def above(self, start: "Residue") -> list[str]:
        """What was not given back."""
        return [each.name for each in fields(self) if getattr(self, each.name) > start.most(each.name)]

    def most(self, name: str) -> float:
        """That may be left of it, where this is what there was."""
        value: float = getattr(self, name)
        match name:
            case "threads":
                return value + THREADS_ABOVE
            case "memory_mb":
                return value + max(MEMORY_MB_ABOVE, MEMORY_SHARE_ABOVE * value)
            case _:
                return value


COUNTED = ("sessions", "contexts", "slots_used", "waiting", "codec_backlog_frames", "tasks")


async def ask(address: str, path: str) -> str:
    """The body of a page."""
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
        raise RuntimeError(f"{path} was answered with {head.partition(chr(13))[0]}")
    return body


def parse(metrics: str) -> dict[str, float]:
    """Those that have no labels."""
    lines = (line.split() for line in metrics.splitlines() if not line.startswith("#") and "{" not in line)
    return {name: float(value) for name, value in lines}


def _descriptors(pid: int) -> int:
    return len(os.listdir(PROC / str(pid) / "fd"))


def _threads(pid: int) -> int:
    return len(os.listdir(Path(PROC) / str(pid) / "task"))
