"""The service manager's notification protocol (sd_notify): ready, stopping, and signs of life.

A message is one datagram to the socket in `NOTIFY_SOCKET`. Without that variable, nothing is sent.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)

SIGNS_PER_LIMIT = 3


class Notifier:
    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        path = environment.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the null byte of Linux' abstract namespace.
        self._address = f"\0{path[1:]}" if path.startswith("@") else path
        self._limit_s = _watchdog_s(environment)
        self._timer: asyncio.TimerHandle | None = None

    def ready(self, status: str) -> None:
        self._send("READY=1", f"STATUS={status}")

    def stopping(self) -> None:
        """Signs of life go on, because open contexts may take longer than the limit to finish."""
        self._send("STOPPING=1", "STATUS=open contexts finish")

    def send_signs_of_life(self, alive: Callable[[], bool]) -> None:
        """From now on, as often as the service manager asks for it, from the event loop and while `alive()`."""
        if self._limit_s is None:
            return
        if alive():
            self._send("WATCHDOG=1")
        delay_s = self._limit_s / SIGNS_PER_LIMIT
        self._timer = asyncio.get_running_loop().call_later(delay_s, self.send_signs_of_life, alive)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            log.warning("cannot notify the service manager (%s)", error.strerror)


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """The longest time between two signs of life; None if the service manager wants none of this process."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    limit = environment.get("WATCHDOG_USEC", "")
    return int(limit) / 1e6 if limit.isdecimal() and int(limit) else None
