"""A real server with the embedded voice, in the environment of the server, for the clients of other vendors."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
KEY = "a-key-of-the-test"
START_S = 120


@dataclass(frozen=True)
class EmbeddedServer:
    port: int
    wyoming_port: int

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}"


def command() -> str | None:
    """The `sayline` of the server's environment, which `make test` sets up beside this one."""
    own = Path(sys.executable).parent
    places = (ROOT / ".venv/bin", *(Path(each) for each in os.environ.get("PATH", "").split(":") if each))
    return shutil.which("sayline", path=":".join(str(place) for place in places if place != own))


@contextmanager
def embedded_server(folder: Path) -> Iterator[EmbeddedServer]:
    program = command()
    assert program is not None
    server = EmbeddedServer(free_port(), free_port())
    arguments = (
        f"--port={server.port}",
        "--variant=embedded",
        f"--data={folder}",
        f"--api-key={KEY}",
        f"--wyoming-port={server.wyoming_port}",
    )
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen([program, "serve", *arguments], stdout=output, stderr=output)
    try:
        wait_until_ready(server, process, log)
        yield server
    finally:
        process.terminate()
        process.wait(30)


def wait_until_ready(server: EmbeddedServer, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end_s = time.monotonic() + START_S
    while time.monotonic() < end_s:
        try:
            with urllib.request.urlopen(f"{server.http}/readyz", timeout=1):
                return
        except OSError:
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
    raise TimeoutError(log.read_text())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
