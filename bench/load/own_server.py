"""Start a server in a process of its own, and stop it again: Sayline's, or another one."""

import asyncio
import os
import re
import signal
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
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
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    ready: str = READY,
    on_line: Callable[[str], None] = lambda line: None,
) -> AsyncIterator[OwnServer]:
    """Run a server. It is ready when it prints a line that matches `ready`; group 1 is its address.

    `on_line` gets each line that it prints from then on. Raises `ServerFailed`.
    """
    started_s = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
        start_new_session=True,  # Ctrl-C goes to the benchmark, which then stops the server
    )
    output_tail: deque[str] = deque(maxlen=6)
    try:
        address = await _address(process, output_tail, ready)
        draining = asyncio.create_task(_drain(process, output_tail, on_line))
        yield OwnServer(process.pid, address, started_s)
        if process.returncode is not None:
            raise ServerFailed(_exit_message(command, output_tail))
    finally:
        await _stop(process)
    await draining


async def _address(process: asyncio.subprocess.Process, output_tail: deque[str], ready: str) -> str:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_S):
            async for line in process.stdout:
                output_tail.append(line.decode(errors="replace").rstrip())
                if found := re.search(ready, output_tail[-1]):
                    return found[1]
    except TimeoutError:
        output_tail.append(f"(not ready after {START_S:.0f} s)")
    raise ServerFailed(_exit_message([], output_tail))


async def _drain(process: asyncio.subprocess.Process, output_tail: deque[str], on_line: Callable[[str], None]) -> None:
    """Read the server's output, or its pipe would fill up and block it."""
    assert process.stdout is not None
    async for line in process.stdout:
        output_tail.append(line.decode(errors="replace").rstrip())
        on_line(output_tail[-1])


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):  # it has exited, and the child watcher is about to report it
            os.kill(process.pid, signal.SIGTERM)  # send_signal would reap it before the child watcher does
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()


def _exit_message(command: Sequence[str], output_tail: deque[str]) -> str:
    return "\n".join([f"the server exited early {' '.join(command)}".rstrip() + "; its last output:", *output_tail])
