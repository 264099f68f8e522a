"""A server that the bench starts for itself, in a process of its own, and stops again. Sayline's, or another one."""

import asyncio
import os
import re
import signal
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from sayline_tts.engine.errors import InputError

SAYLINE = (sys.executable, "-c", "from sayline.cli import main; main()", "serve", "--port", "0")
READY = r"ready at http://([\w.\[\]:]+)"
START_S = 300.0  # weights may have to be downloaded
STOP_S = 15.0


class ServerFailed(InputError):
    code = "server_failed"


@dataclass(frozen=True, slots=True)
class OwnServer:
    pid: int
    address: str  # host:port
    started_s: float  # by time.perf_counter

    @property
    def url(self) -> str:
        return f"ws://{self.address}"


@asynccontextmanager
async def own_server(
    command: Sequence[str], environment: Mapping[str, str] | None = None, ready: str = READY
) -> AsyncIterator[OwnServer]:
    """It is ready when it prints a line that matches; the match names its address. Raises `ServerFailed`."""
    started_s = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
        start_new_session=True,  # Ctrl-C is for the bench, which then stops the server
    )
    said: deque[str] = deque(maxlen=6)
    try:
        address = await _address(process, said, ready)
        draining = asyncio.create_task(_drain(process, said))
        yield OwnServer(process.pid, address, started_s)
        if process.returncode is not None:
            raise ServerFailed(_obituary(command, said))
    finally:
        await _stop(process)
    await draining


async def _address(process: asyncio.subprocess.Process, said: deque[str], ready: str) -> str:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_S):
            async for line in process.stdout:
                said.append(line.decode(errors="replace").rstrip())
                if found := re.search(ready, said[-1]):
                    return found[1]
    except TimeoutError:
        said.append(f"(it was not ready after {START_S:.0f} s)")
    raise ServerFailed(_obituary([], said))


async def _drain(process: asyncio.subprocess.Process, said: deque[str]) -> None:
    """Or it would wait for somebody to read what it logs."""
    assert process.stdout is not None
    async for line in process.stdout:
        said.append(line.decode(errors="replace").rstrip())


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):  # it has died by itself, and its watcher is about to say so
            os.kill(process.pid, signal.SIGTERM)  # send_signal would reap it before its watcher does
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()


def _obituary(command: Sequence[str], said: deque[str]) -> str:
    return "\n".join([f"the server ended too soon {' '.join(command)}".rstrip() + "; it said:", *said])
