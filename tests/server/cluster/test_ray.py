"""A real Ray cluster on this machine: engines are placed, found by a front, restarted, and stopped."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None,
        reason="Ray is not installed: pip install -c constraints.txt -e '.[cluster]'",
    ),
]

WAIT_S = 600.0
SAYLINE = (sys.executable, "-c", "from sayline.cli import main; main()")
HOST = "127.0.0.1"


class Cluster:
    """Of one machine, at an address of its own, so that others on this machine are left alone."""

    def __init__(self, folder: Path, address: str) -> None:
        self.environment = {
            **os.environ,
            "RAY_ADDRESS": address,
            "RAY_USAGE_STATS_ENABLED": "0",
            "SAYLINE_DATA": str(folder),
            "SAYLINE_ENGINE_SECRET": "a-long-random-word",
        }

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT_S,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def sayline(self, *arguments: str) -> str:
        return self.run(*SAYLINE, *arguments)

    def engines(self) -> list[dict[str, Any]]:
        return [each for each in json.loads(self.sayline("cluster", "status", "--json")) if each["state"] == "ready"]

    def wait_for(self, count: int, without: int = 0) -> list[dict[str, Any]]:
        """Until so many engines are ready, none of which has the process `without`."""
        deadline_s = time.monotonic() + WAIT_S
        while len(found := [each for each in self.engines() if each["pid"] != without]) < count:
            assert time.monotonic() < deadline_s, found
            time.sleep(1)
        return found


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    cluster = Cluster(tmp_path, f"{HOST}:{port}")
    options = ("--num-cpus=2", f"--port={port}", f"--node-ip-address={HOST}", "--include-dashboard=false", "--block")
    environment = {name: value for name, value in cluster.environment.items() if name != "RAY_ADDRESS"}
    environment["PYTHONUNBUFFERED"] = "1"
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", *options]
    head = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    assert head.stdout is not None
    assert any("--block" in line for line in head.stdout)  # its last words, once it works
    yield cluster
    head.terminate()
    head.communicate(timeout=WAIT_S)


def speaks(cluster: Cluster, url: str, file: Path) -> None:
    command = [*SAYLINE, "pipe", "--url", url, "-o", str(file)]
    subprocess.run(command, env=cluster.environment, input="Hello there. ", text=True, check=True, timeout=WAIT_S)
    with wave.open(str(file)) as audio:
        assert audio.getnframes() > audio.getframerate() / 4


def test_engines_are_placed_found_restarted_and_stopped(cluster: Cluster, tmp_path: Path) -> None:
    told = cluster.sayline(
        "cluster", "up", "--variant", "embedded", "--min-engines", "2", "--cpus-per-engine", "1", "--wait-s", "500"
    )
    assert told.count("is ready at") == 2
    front = subprocess.Popen(
        [*SAYLINE, "serve", "--variant", "embedded", "--engines", "ray://", "--port", "0"],
        env=cluster.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert front.stdout is not None
    try:
        url = next(line for line in front.stdout if "is ready at" in line).split("connect to ")[1].split("/v1")[0]
        speaks(cluster, url, tmp_path / "one.wav")
        victim = cluster.engines()[0]
        os.kill(victim["pid"], signal.SIGKILL)
        speaks(cluster, url, tmp_path / "two.wav")
        restarted = cluster.wait_for(2, without=victim["pid"])
        assert {each["name"] for each in restarted} == {"sayline-engine-1", "sayline-engine-2"}
        speaks(cluster, url, tmp_path / "three.wav")
        assert "2 engines are stopped" in cluster.sayline("cluster", "down")
        for each in restarted:
            assert not Path(f"/proc/{each['pid']}").exists()
    finally:
        front.terminate()
        front.communicate(timeout=WAIT_S)
