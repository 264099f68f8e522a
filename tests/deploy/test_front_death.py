"""Fronts behind HAProxy are killed while both SDKs speak: no word is lost, and at most the one that was cut twice.

Real processes: an engine with the embedded voice, two fronts, HAProxy with the configuration in `deploy/`.
"""

import asyncio
import contextlib
import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sayline
from sayline import client as client_module

from tests.clients.conformance.node_client import NodeClient
from tests.clients.conformance.python_client import PythonClient

CONFIG = Path(__file__).parents[2] / "deploy" / "haproxy" / "haproxy.cfg"
HOST = "127.0.0.1"
KILLS = int(os.environ.get("SAYLINE_KILLS", "2"))
START_S, SPEECH_S = 180, 120
TEXT = "The keys are on the table. Please call me back when you have found them. Good bye, and thank you. "
pytestmark = [
    pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed (a Debian package)"),
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
]


def free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        return int(listener.getsockname()[1])


def start(command: str, *options: str) -> tuple[subprocess.Popen[str], str]:
    """Start `sayline`; return when it is ready, with the line that says so."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from sayline.cli import main; main()", command, "--variant", "embedded", *options],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    return process, next(line for line in process.stdout if "ready at" in line)


def kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    process.wait(60)
    if process.stdout is not None:
        process.stdout.close()


@dataclass
class Fronts:
    ports: list[int]
    engine_port: int
    data: Path
    processes: list[subprocess.Popen[str]]
    url: str

    def start(self, number: int) -> None:
        self.processes[number] = start(
            "serve", "--engines", f"{HOST}:{self.engine_port}", "--port", str(self.ports[number]),
            "--trusted-proxies", HOST, "--host-names", "speech.example.com", "--insecure", "--insecure",
            "--data", str(self.data),
        )[0]  # fmt: skip


@pytest.fixture
def fronts(tmp_path: Path) -> Iterator[Fronts]:
    engine, line = start("engine", "--engine-port", "0", "--capacity", "16", "--precision", "int8")
    port = free_port()
    engine_port = int(line.split("ready at ")[1].split(": ")[0].rpartition(":")[2])
    fronts = Fronts([free_port(), free_port()], engine_port, tmp_path / "data", [engine, engine], f"ws://{HOST}:{port}")
    for number in (0, 1):
        fronts.start(number)
    config = CONFIG.read_text("utf-8")
    replaced = {
        "bind :443 ssl crt /etc/haproxy/certs/speech.pem alpn http/1.1": f"bind {HOST}:{port}",
        "check inter 2s": "check inter 200ms",
        " agent-check agent-port 8100 agent-inter 1s": "",
        "maxconn 20000": "maxconn 200",  # the machine may allow few descriptors
        "server one 10.0.0.11:8000": f"server one {HOST}:{fronts.ports[0]}",
        "server two 10.0.0.12:8000": f"server two {HOST}:{fronts.ports[1]}",
    }
    for old, new in replaced.items():
        assert config.count(old) == 1, old
        config = config.replace(old, new)
    (tmp_path / "haproxy.cfg").write_text(config)
    haproxy = subprocess.Popen(["haproxy", "-db", "-f", str(tmp_path / "haproxy.cfg")], text=True)
    try:
        yield fronts
    finally:
        for process in (haproxy, engine, *fronts.processes):
            kill(process)


async def speak(client: NodeClient | PythonClient, url: str, reconnected: list[bool]) -> list[dict[str, Any]]:
    """Speak the text word by word, as it would be written."""
    while (refused := await client.do("client", "connect", {"url": url})) is not None:
        assert refused["error"]["kind"] == "Refused"  # HAProxy has not noticed yet that a front is back
        await asyncio.sleep(0.2)
    first = (await client.do("client", "ready", None))["ready"]["session_id"]
    await client.do("a", "start", {"format": "pcm", "seed": 1})
    for word in TEXT.split(" ")[:-1]:
        await client.do("a", "push", word + " ")
    await client.do("a", "end", None)
    told = await client.do("a", "read", None)
    reconnected.append((await client.do("client", "ready", None))["ready"]["session_id"] != first)
    await client.do("client", "close", None)
    assert "error" not in told, told["error"]
    return list(told["events"])


def count_repeats(events: list[dict[str, Any]]) -> int:
    """Words that were told twice. All are told, in order, and the audio has no gap."""
    frames = [event["start_ms"] for event in events if event["type"] == "frame"]
    assert frames == [80 * number for number in range(len(frames))]
    assert [event["seq"] for event in events] == list(range(len(events)))
    assert events[-1]["type"] == "done"
    words = [event for event in events if event["type"] == "word"]
    assert all(one["start_ms"] <= other["start_ms"] for one, other in pairwise(words))
    told = [TEXT[word["start_char"] : word["end_char"]] for word in words]
    once = [one for one, following in zip(told, [*told[1:], ""], strict=True) if one != following]
    assert once == TEXT.split()
    return len(told) - len(once)


@pytest.mark.slow
async def test_killed_fronts_lose_no_word(fronts: Fronts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "FIRST_RETRY_S", 0.05)
    draw, repeats, reconnected = random.Random(3), [0, 0], list[bool]()
    async with NodeClient() as node:
        clients: list[NodeClient | PythonClient] = [PythonClient(sayline.Encoding.MSGPACK), node]
        for _ in range(KILLS):
            speeches = [asyncio.create_task(speak(client, fronts.url, reconnected)) for client in clients]
            await asyncio.sleep(draw.uniform(0.3, 5.0))
            victim = draw.randrange(2)
            kill(fronts.processes[victim])
            for number, speech in enumerate(speeches):
                said_again = count_repeats(await asyncio.wait_for(speech, SPEECH_S))
                assert said_again <= 1
                repeats[number] += said_again
            await asyncio.to_thread(fronts.start, victim)
            await asyncio.sleep(0.5)  # HAProxy notices
    print(f"{KILLS} kills, {sum(reconnected)} speeches of {len(reconnected)} went on, words told twice: {repeats}")
    assert any(reconnected)
