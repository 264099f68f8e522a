"""The names and ports of a front's engines: listed, or asked of a Ray cluster.

Ray is asked by a process of its own (`sayline_tts.server.cluster.watch`), which is started again when it ends. Its last
answer stands meanwhile, so engines speak on while Ray is away.
"""

import asyncio
import json
import logging
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress

log = logging.getLogger(__name__)

SCHEME = "ray://"
COMMAND = (sys.executable, "-m", "sayline_tts.server.cluster.watch")
FIRST_ANSWER_S = 20.0
RETRY_S = 3.0
CLOSE_S = 5.0


class EngineDirectory:
    """`listed`: host and port each, or an address that begins with `ray://`, whose port does not matter."""

    def __init__(self, listed: Sequence[tuple[str, int]], command: Sequence[str] = COMMAND) -> None:
        self._listed = [each for each in listed if not each[0].startswith(SCHEME)]
        self._watches = [RegistryWatch(host, command) for host, _ in listed if host.startswith(SCHEME)]

    async def engines(self) -> list[tuple[str, int]]:
        """Those known now. The first call waits a moment for Ray's answer."""
        found = list(self._listed)
        for watch in self._watches:
            found += await watch.engines()
        return found

    async def close(self) -> None:
        for watch in self._watches:
            await watch.close()


class RegistryWatch:
    """The engines that one cluster's registry tells."""

    def __init__(self, address: str, command: Sequence[str]) -> None:
        self._address, self._command = address, command
        self._engines: list[tuple[str, int]] = []
        self._answered = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def engines(self) -> list[tuple[str, int]]:
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"engines of {self._address}")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._answered.wait(), FIRST_ANSWER_S)
        return list(self._engines)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            process = await asyncio.create_subprocess_exec(
                *self._command, self._address, stdin=PIPE, stdout=PIPE, stderr=PIPE
            )
            try:
                reason = await self._follow(process)
            finally:
                await _end(process)
            log.warning("the engines of %s are not known any more: %s; those of before stand", self._address, reason)
            self._answered.set()
            await asyncio.sleep(RETRY_S)

    async def _follow(self, process: Process) -> str:
        """Take in what it says. Returns why it has ended."""
        assert process.stdout is not None
        assert process.stderr is not None
        errors = asyncio.create_task(process.stderr.read())
        try:
            async for line in process.stdout:
                self._engines = [(str(host), int(port)) for host, port in json.loads(line)]
                self._answered.set()
            return (await errors).decode(errors="replace").strip().rpartition("\n")[2] or "it has ended"
        finally:
            errors.cancel()


async def _end(process: Process) -> None:
    """Its standard input ends, and so should it."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), CLOSE_S)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
