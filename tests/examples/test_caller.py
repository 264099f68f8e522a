"""Both ends of a call, started as programs; a scripted server on a real socket."""

import asyncio
import socket
import sys
import wave
from pathlib import Path

import mu_law
import numpy as np

from tests.clients.scripted import ScriptedServer

FOLDER = Path(__file__).parents[2] / "clients/examples"


async def test_caller_receives_speech_and_interrupts_it(scripted: ScriptedServer, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    answering = await start("telephone.py", "--server", scripted.url, "--port", str(port))
    assert answering.stdout is not None
    assert b"Waiting for calls" in await asyncio.wait_for(answering.stdout.readline(), 60)
    seconds = ["--interrupt-after-s", "0.4", "--hang-up-after-s", "0.8"]
    calling = await start("caller.py", str(tmp_path / "heard.wav"), "--url", f"ws://127.0.0.1:{port}", *seconds)
    assert await asyncio.wait_for(calling.wait(), 60) == 0
    answering.terminate()
    await answering.communicate()
    with wave.open(str(tmp_path / "heard.wav")) as file:
        assert file.getframerate() == mu_law.RATE_HZ
        heard = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    assert np.abs(heard).max() > 5000
    assert scripted.texts("speech-2").startswith("You heard me say")


async def start(program: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-u", str(FOLDER / program), *arguments, stdout=asyncio.subprocess.PIPE
    )
