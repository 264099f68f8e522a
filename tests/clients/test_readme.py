"""The programs in the clients' READMEs are run as printed."""

import asyncio
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.clients.scripted import ScriptedServer

CLIENTS = Path(__file__).parents[2] / "clients"


def program(readme: Path, language: str, url: str) -> str:
    match = re.search(rf"```{language}\n(.*?)```", readme.read_text("utf-8"), re.DOTALL)
    assert match is not None
    return match[1].replace("ws://127.0.0.1:8000", url)


async def run(*command: str, text: str = "", folder: Path) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=-1, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=folder
    )
    out, _ = await asyncio.wait_for(process.communicate(text.encode()), 30)
    return process.returncode, out.decode()


async def test_the_python_program_in_the_readme_speaks(tmp_path: Path) -> None:
    async with ScriptedServer() as server:
        code = program(CLIENTS / "python" / "README.md", "python", server.url)
        result = await run(sys.executable, "-", text=code, folder=tmp_path)
    assert result == (0, "".join(f"{n * 80.0} 3840\n" for n in range(6)))


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
async def test_the_javascript_program_in_the_readme_speaks() -> None:
    async with ScriptedServer() as server:
        code = program(CLIENTS / "js" / "README.md", "js", server.url)
        options = ("--experimental-websocket", "--no-warnings", "--input-type=module")
        result = await run("node", *options, text=code, folder=CLIENTS / "js")  # a package may import itself
    assert result == (0, "".join(f"{n * 80} 1920\n" for n in range(6)))


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
async def test_the_javascript_client_passes_its_own_tests() -> None:
    options = ("--experimental-websocket", "--no-warnings", "--test", "--test-timeout=30000")
    code, out = await run("node", *options, "test/", folder=CLIENTS / "js")
    assert code == 0, out
