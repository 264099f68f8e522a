"""The programs in the clients' READMEs are run as printed."""

import ast
import asyncio
import os
import re
import shutil
import stat
import sys
import wave
from pathlib import Path

import pytest
from sayline.opus import load_libopus

from tests.clients.scripted import READY, ScriptedServer

CLIENTS = Path(__file__).parents[2] / "clients"
PYTHON = (CLIENTS / "python" / "README.md").read_text("utf-8")
JAVASCRIPT = (CLIENTS / "js" / "README.md").read_text("utf-8")
WORDS = 6
SKIPPED = 2 * READY["opus_pre_skip"] if load_libopus() else 0  # bytes, of the first frame
FRAMES = "".join(f"{n * 80.0} {3840 - (0 if n else SKIPPED)}\n" for n in range(WORDS))
# Plays all it is given as fast as it can.
SOUNDDEVICE = """
import threading

PortAudioError = RuntimeError


def query_devices(device, kind):
    pass


class RawOutputStream:
    latency = 0.0

    def __init__(self, callback, **_):
        self.callback, self.over = callback, threading.Event()

    def start(self):
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while not self.over.wait(0.01):
            self.callback(bytearray(2 * 480), 480, None, None)

    def abort(self):
        self.over.set()

    def close(self):
        pass
"""


def programs(readme: str, language: str, url: str = "") -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", readme, re.DOTALL)
    return [program.replace("ws://127.0.0.1:8000", url) if url else program for program in found]


async def run(*command: str, text: str = "", folder: Path, **environment: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=-1, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=folder,
        env=os.environ | environment,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(text.encode()), 120)
    return process.returncode, out.decode()


def with_stand_in(folder: Path) -> str:
    """A `PYTHONPATH` on which there is sound."""
    (folder / "sounddevice.py").write_text(SOUNDDEVICE)
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


@pytest.mark.parametrize("number", [0, 2])
async def test_python_programs_print_the_frames(number: int, tmp_path: Path) -> None:
    async with ScriptedServer() as server:
        code = programs(PYTHON, "python", server.url)[number]
        assert await run(sys.executable, "-", text=code, folder=tmp_path) == (0, FRAMES)


async def test_playing_program_prints_the_heard_text(tmp_path: Path) -> None:
    async with ScriptedServer() as server:
        code = programs(PYTHON, "python", server.url)[1]
        result = await run(sys.executable, "-", text=code, folder=tmp_path, PYTHONPATH=with_stand_in(tmp_path))
        assert result == (0, "Hello there. How are you today?\n")
        assert [message["type"] for message in server.received][:3] == ["start", "text", "end"]


def test_every_python_program_is_run() -> None:
    whole = [code for code in programs(PYTHON, "python") if "connect(" in code]
    assert whole == programs(PYTHON, "python")[:3]
    for fragment in programs(PYTHON, "python")[3:]:
        compile(fragment, "README.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


async def test_readme_commands_speak_and_write(tmp_path: Path) -> None:
    """With stand-ins for what is not ours."""
    stand_ins = {
        "pip": "",
        "my-llm": "printf 'Once upon a time. '",
        "sayline": f"""exec {sys.executable} -c 'from sayline.cli import main; main()' "$@" """,
    }
    for name, code in stand_ins.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{code}\n")
        (tmp_path / name).chmod(stat.S_IRWXU)
    async with ScriptedServer() as server:
        environment = {
            "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": with_stand_in(tmp_path),
            "SAYLINE_URL": server.url,
        }
        commands = programs(PYTHON, "sh")[-1]
        status, out = await run("sh", "-e", text=commands, folder=tmp_path, **environment)
    assert status == 0, out
    assert server.texts() == "Hello there." + "Once upon a time. " + "Hello there.\n"
    with wave.open(str(tmp_path / "hello.wav")) as file:
        assert file.getnframes() == 2 * 1920


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
async def test_javascript_program_prints_the_frames(tmp_path: Path) -> None:
    async with ScriptedServer() as server:
        code, *fragments = programs(JAVASCRIPT, "js", server.url)
        options = ("--experimental-websocket", "--no-warnings", "--input-type=module")
        result = await run("node", *options, text=code, folder=CLIENTS / "js")  # a package may import itself
    assert result == (0, "".join(f"{n * 80} 1920\n" for n in range(WORDS)))
    for fragment in fragments:
        (tmp_path / "fragment.mjs").write_text(fragment)
        assert await run("node", "--check", "fragment.mjs", folder=tmp_path) == (0, "")
