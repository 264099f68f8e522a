"""The programs in the README are run as printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.scripted import ScriptedServer
from tests.clients.test_readme import run

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


async def test_the_client_program_speaks(tmp_path: Path) -> None:
    async with ScriptedServer() as server:
        code = PROGRAMS[0].replace("ws://127.0.0.1:8000", server.url)
        result = await run(sys.executable, "-", text=code, folder=tmp_path)
    assert result == (0, "".join(f"{n * 80.0} 3840\n" for n in range(6)))


def test_the_program_without_a_server_speaks_and_leaves_a_voice(tmp_path: Path) -> None:
    code = PROGRAMS[1] + "\nprint(len(audio) % 1920, len(frame), audio.abs().max() > 0.01)"
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout.split()) == (0, ["0", "1920", "tensor(True)"]), done.stderr
    assert (tmp_path / "me.safetensors").stat().st_size > 100_000


@pytest.mark.parametrize("command", ["run", "test"])
def test_the_two_commands_exist(command: str) -> None:
    makefile = (Path(__file__).parents[1] / "Makefile").read_text("utf-8")
    assert f"make {command} " in README
    assert f"\n{command}: " in makefile
