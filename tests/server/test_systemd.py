"""Notifications to the service manager, received on a real socket."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sayline_tts.server.systemd import Notifier


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(30)
        yield receiver


def environment(receiver: socket.socket, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": receiver.getsockname(), **more}


def test_state_is_sent(receiver: socket.socket) -> None:
    notifier = Notifier(environment(receiver))
    notifier.ready("at http://127.0.0.1:8000")
    assert receiver.recv(200) == b"READY=1\nSTATUS=at http://127.0.0.1:8000"
    notifier.stopping()
    assert receiver.recv(200).startswith(b"STOPPING=1\n")


def test_abstract_socket_is_supported() -> None:
    name = f"sayline-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0{name}")
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).ready("here")
        assert receiver.recv(200) == b"READY=1\nSTATUS=here"


async def test_signs_of_life_are_sent_while_the_engine_lives(receiver: socket.socket) -> None:
    states = iter([True, False, True])
    asked = asyncio.Event()

    def alive() -> bool:
        state = next(states, None)
        if state is None:
            asked.set()
        return bool(state)

    notifier = Notifier(environment(receiver, WATCHDOG_USEC="3000", WATCHDOG_PID=str(os.getpid())))
    notifier.send_signs_of_life(alive)
    await asyncio.wait_for(asked.wait(), 30)
    notifier.close()
    receiver.setblocking(False)
    assert [receiver.recv(200), receiver.recv(200)] == [b"WATCHDOG=1"] * 2
    with pytest.raises(BlockingIOError):
        receiver.recv(200)


@pytest.mark.parametrize(
    "more", [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}]
)
async def test_no_signs_of_life_unless_asked(receiver: socket.socket, more: dict[str, str]) -> None:
    notifier = Notifier(environment(receiver, **more))
    notifier.send_signs_of_life(lambda: True)
    notifier.close()
    receiver.setblocking(False)
    with pytest.raises(BlockingIOError):
        receiver.recv(200)


def test_nothing_is_sent_without_a_service_manager() -> None:
    Notifier({}).ready("here")


def test_service_manager_that_is_gone_is_no_failure(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "none")}).ready("here")
    assert "cannot notify the service manager" in caplog.text
