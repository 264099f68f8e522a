"""Shutdown and reload of a server process with a fake engine and real signals, sockets and exit codes."""

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.server.stream_client import StreamClient, connected_client

# Seed 13 hangs in its step, seed 14 fails the engine's commit; other steps take 50 ms.
SERVER = """
import asyncio, sys, threading, time
from sayline_tts.server import app, lifecycle
from sayline_tts.server.settings import Settings
from tests.server.fakes import FakeEngine

engine = FakeEngine()
run, commit = engine.run, engine.commit

def slow(batch):
    time.sleep(0.05)
    if any(row.sampling.seed == 13 for row in batch.rows):
        threading.Event().wait()
    return run(batch)

def breaking(batch, output):
    assert not any(row.sampling.seed == 14 for row in batch.rows)
    return commit(batch, output)

engine.run, engine.commit = slow, breaking
app.Engine = lambda *args, **kwargs: engine
lifecycle._banner = lambda settings, made, port: f"port {port}"
settings = Settings.load(settings_file=sys.argv[2] or None, port=0, watchdog_s=0.5, drain_s=float(sys.argv[1]))
with lifecycle.bind(settings) as listener:
    asyncio.run(lifecycle._serve(settings, engine.model, lifecycle.Listeners(listener), None))
"""


@dataclass
class Server:
    process: subprocess.Popen[str]
    address: str

    def ends_with(self) -> int:
        return self.process.wait(timeout=60)


@asynccontextmanager
async def serving(drain_s: float = 60, settings_file: str = "") -> AsyncIterator[Server]:
    command = [sys.executable, "-c", SERVER, str(drain_s), settings_file]
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE}
    if settings_file:  # only its tests read the log: an unread pipe would fill
        pipes["stderr"] = subprocess.PIPE
    with subprocess.Popen(command, **pipes, text=True) as process:  # noqa: ASYNC220
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith("port"))
        try:
            yield Server(process, f"127.0.0.1:{line.split()[1]}")
        finally:
            process.kill()


async def closed(one: StreamClient) -> tuple[int | None, str | None]:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await one.receive()
    return one.socket.close_code, one.socket.close_reason


async def test_sigterm_lets_open_contexts_finish() -> None:
    async with serving() as server, connected_client(server.address) as one:
        await one.speak("Hello there. How are you?")
        await one.receive_until("audio")
        server.process.send_signal(signal.SIGTERM)
        assert await closed(one) == (1012, "the server restarts")
        assert len(one.messages_of("audio")) == 10
        assert len(one.messages_of("done")) == 1
        assert server.ends_with() == 0


async def test_contexts_end_at_the_drain_deadline() -> None:
    async with serving(drain_s=0.3) as server, connected_client(server.address) as one:
        await one.speak("word " * 1_000)
        await one.receive_until("audio")
        server.process.send_signal(signal.SIGTERM)
        assert await closed(one) == (1012, "the server restarts")
        assert one.received[-1]["code"] == "shutting_down"
        assert server.ends_with() == 0


async def test_second_sigterm_stops_at_once() -> None:
    async with serving() as server, connected_client(server.address) as one:
        await one.send("start")
        await one.send("text", text="Hello there. ")
        await one.receive_until("segment")
        server.process.send_signal(signal.SIGTERM)
        async with connected_client(server.address, expect_ready=False) as late:
            assert (await closed(late))[0] == 1013
        server.process.send_signal(signal.SIGTERM)
        assert await closed(one) == (1012, "the server restarts")
        assert one.received[-1]["code"] == "shutting_down"
        assert server.ends_with() == 0


async def test_hanging_step_ends_sessions_and_exits_with_an_error() -> None:
    async with serving() as server, connected_client(server.address) as one:
        await one.speak("Hello there.", seed=13)
        await one.send("start", "silent")
        assert await closed(one) == (1011, "internal error")
        assert {error["context_id"]: error["code"] for error in one.received if error["type"] == "error"} == {
            "a": "internal",
            "silent": "internal",
        }
        assert server.ends_with() == 70


async def test_failed_engine_exits_with_an_error() -> None:
    async with serving() as server, connected_client(server.address) as one:
        await one.speak("Hello there.", seed=14)
        assert await closed(one) == (1011, "internal error")
        assert one.received[-1]["code"] == "internal"
        assert server.ends_with() == 70


async def test_service_manager_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "60000000")
        async with serving() as server:
            port = server.address.rpartition(":")[2]
            assert receiver.recv(200) == f"READY=1\nSTATUS=listening on port {port}".encode()
            assert receiver.recv(200) == b"WATCHDOG=1"
            server.process.send_signal(signal.SIGTERM)
            assert receiver.recv(200).startswith(b"STOPPING=1")
            assert server.ends_with() == 0


async def test_sighup_reads_the_settings_again_and_ends_nothing(tmp_path: Path) -> None:
    file = tmp_path / "sayline.env"
    file.write_text("SAYLINE_LOG_LEVEL=warning\n")
    async with serving(settings_file=str(file)) as server, connected_client(server.address) as one:
        await one.send("start")
        await one.send("text", text="Hello there. ")
        await one.receive_until("segment")
        file.write_text("SAYLINE_LOG_LEVEL=debug\nSAYLINE_CAPACITY=5\n")
        server.process.send_signal(signal.SIGHUP)
        assert server.process.stderr is not None
        line = next(line for line in server.process.stderr if "need a restart" in line)
        assert line.strip().endswith("need a restart: capacity")
        await one.send("text", text="Good bye. ")
        await one.receive_until("segment")
        server.process.send_signal(signal.SIGINT)
        assert await closed(one) == (1012, "the server restarts")
        assert server.ends_with() == 0
