"""Answer HAProxy's agent checks, which ask each server for its weight and state over a port of its own.

Facts: HAProxy's configuration manual, `agent-check`. It connects, reads one line and closes the connection.
"""

import asyncio
import logging
import socket
from collections.abc import Callable

log = logging.getLogger(__name__)

WRITE_S = 5.0


def agent_line(alive: bool, obstacle: str | None, capacity: int, load: int) -> str:
    """What a load balancer should do with this server.

    `obstacle`: why it takes no new sessions. `capacity` and `load`: utterances that may speak at once, and those that
    have something to speak, queued ones included. A server without free capacity keeps the least weight: it can still
    queue, and so can all others.
    """
    if not alive:
        return "down\n"
    if obstacle is not None:
        return "up drain\n"
    free_percent = round(100 * (capacity - load) / max(capacity, 1))
    return f"up ready {max(1, min(free_percent, 100))}%\n"


class Agent:
    """`line` is called for each check."""

    def __init__(self, line: Callable[[], str]) -> None:
        self._line = line
        self._server: asyncio.Server

    async def start(self, listener: socket.socket) -> None:
        self._server = await asyncio.start_server(self._answer, sock=listener)

    async def stop(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(WRITE_S):
                writer.write(self._line().encode())
                await writer.drain()
        except (ConnectionError, TimeoutError):
            log.debug("a load balancer did not wait for its answer")
        finally:
            writer.close()
