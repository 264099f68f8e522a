"""A server process with few file descriptors, and with none: it serves on, tells the truth, and recovers."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.server.raw_http import RawClient, raw_client
from tests.server.stream_client import connected_client

LIMIT = 160
# SIGUSR1 takes every descriptor that is left, SIGUSR2 gives them back.
SERVER = f"""
import asyncio, os, resource, signal
from sayline_tts.server import app, lifecycle, logs
from sayline_tts.server.settings import Settings
from tests.server.fakes import FakeEngine

resource.setrlimit(resource.RLIMIT_NOFILE, ({LIMIT}, {LIMIT}))
taken = []

def take(*_):
    try:
        while True:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        print("taken", flush=True)

def give_back(*_):
    while taken:
        os.close(taken.pop())
    print("given back", flush=True)

signal.signal(signal.SIGUSR1, take)
signal.signal(signal.SIGUSR2, give_back)
logs.configure("json")
engine = FakeEngine()
app.Engine = lambda *args, **kwargs: engine
lifecycle._banner = lambda settings, made, port: f"port {{port}}"
settings = Settings.load(port=0)
with lifecycle.bind(settings) as listener:
    asyncio.run(lifecycle._serve(settings, engine.model, lifecycle.Listeners(listener), None))
"""


@dataclass
class Server:
    process: subprocess.Popen[str]
    address: str
    log: Path

    async def signal(self, number: signal.Signals, answer: str) -> None:
        self.process.send_signal(number)
        assert self.process.stdout is not None
        assert (await asyncio.to_thread(self.process.stdout.readline)).strip() == answer


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Server]:
    log = folder / "log"
    with (
        log.open("w") as errors,
        subprocess.Popen(  # noqa: ASYNC220
            [sys.executable, "-c", SERVER], stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith("port"))
        try:
            yield Server(process, f"127.0.0.1:{line.split()[1]}", log)
        finally:
            process.kill()


async def ask(one: RawClient, path: str) -> tuple[int, str]:
    """Over a connection that stays open."""
    await one.request(f"GET {path}")
    status = await one.status()
    length = int(one.head.lower().split("content-length: ")[1].split()[0])
    return status, (await one.reader.readexactly(length)).decode()


async def test_idle_connections_beyond_the_limit_disturb_nobody(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, connected_client(server.address) as listener, AsyncExitStack() as idle:
        for _ in range(2 * LIMIT):
            await idle.enter_async_context(raw_client(server.address))
        async with raw_client(server.address) as one:
            assert (await ask(one, "/voices"))[0] == 200  # not 401: there is no key
            assert await ask(one, "/readyz") == (200, '{"status": "ready"}')
        await listener.speak("Hello there.")
        await listener.receive_until_final()
        assert listener.messages_of("done")
    text = server.log.read_text()
    assert text.count("\n") == 1, text
    assert "file descriptors allow" in text


async def test_server_without_any_descriptor_serves_on_and_recovers(tmp_path: Path) -> None:
    async with (
        serving(tmp_path) as server,
        connected_client(server.address) as listener,
        raw_client(server.address) as one,
    ):
        assert (await ask(one, "/voices"))[0] == 200
        await server.signal(signal.SIGUSR1, "taken")
        assert (await ask(one, "/voices"))[0] == 200  # not 401: that no key file can be opened means nothing
        status, text = await ask(one, "/readyz")
        assert (status, "no file descriptor is left" in text) == (503, True)
        assert (await ask(one, "/health"))[0] == 200
        await listener.speak("Hello there.")
        await listener.receive_until_final()
        async with raw_client(server.address) as late:  # the operating system takes it; the server cannot yet
            await late.request("GET /voices")
            await asyncio.sleep(2)
            await server.signal(signal.SIGUSR2, "given back")
            assert await late.status() == 200
        async with raw_client(server.address) as new:
            assert await ask(new, "/readyz") == (200, '{"status": "ready"}')
        lines = [line for line in server.log.read_text().splitlines() if "cannot accept connections" in line]
    assert 1 <= len(lines) <= 4  # one a second
