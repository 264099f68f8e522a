"""The programs in the README are run as printed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sayline_tts.server.app import make_app
from sayline_tts.server.settings import Settings
from tests.clients.scripted import ScriptedServer
from tests.clients.test_readme import FRAMES, run
from tests.server.fakes import FRAME_SAMPLES, FakeEngine
from tests.server.stream_client import serving

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def program(imports: str) -> str:
    found: list[str] = [code for code in PROGRAMS if f"import {imports}" in code]
    [only] = found
    return only


async def test_client_program_prints_frames(tmp_path: Path) -> None:
    async with ScriptedServer() as server:
        code = program("sayline\n").replace("ws://127.0.0.1:8000", server.url)
        result = await run(sys.executable, "-", text=code, folder=tmp_path)
    assert result == (0, FRAMES)


async def test_conversation_of_the_protocol_s_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAYLINE_DATA", str(tmp_path))
    page = (Path(__file__).parents[1] / "docs" / "protocol.md").read_text("utf-8")
    [code] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    engine = FakeEngine()
    async with serving(await make_app(Settings(), engine.model, engine)) as address:
        result, out = await run(sys.executable, "-", text=code.replace("127.0.0.1:8000", address), folder=tmp_path)
    lines = out.splitlines()
    assert (result, len([line for line in lines if line == f"< audio: {FRAME_SAMPLES} samples"])) == (0, 8), out
    assert '"type":"done"' in lines[-1]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_http_and_shell_commands_speak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAYLINE_DATA", str(tmp_path))
    [over_http] = [block for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) if "/stream" in block]
    [in_the_shell] = re.findall(r"^\$ (printf .*)$", README, re.MULTILINE)
    (tmp_path / "sayline").write_text(f"""exec {sys.executable} -c 'from sayline.cli import main; main()' "$@"\n""")
    (tmp_path / "sayline").chmod(0o700)
    engine = FakeEngine()
    async with serving(await make_app(Settings(), engine.model, engine)) as address:
        commands = over_http.replace("http://127.0.0.1:8000", f"http://{address}") + in_the_shell
        environment = {"SAYLINE_URL": f"ws://{address}", "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
        code, out = await run("sh", "-e", text=commands, folder=tmp_path, **environment)
    assert code == 0, out
    assert re.search(r"s of speech, first audio after \d+ ms, all of it in", out)
    assert (tmp_path / "hello.mp3").read_bytes()[0] == 0xFF  # a frame of MPEG audio
    assert (tmp_path / "out.wav").read_bytes()[:4] == b"RIFF"


def test_program_without_a_server_speaks_and_exports_a_voice(tmp_path: Path) -> None:
    code = program("TTSModel") + "\nprint(len(audio) % 1920, len(frame), audio.abs().max() > 0.01)"
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout.split()) == (0, ["0", "1920", "tensor(True)"]), done.stderr
    assert (tmp_path / "me.safetensors").stat().st_size > 100_000


@pytest.mark.parametrize("command", ["run", "test", "test-slow"])
def test_make_targets_exist(command: str) -> None:
    makefile = (Path(__file__).parents[1] / "Makefile").read_text("utf-8")
    assert f"make {command} " in README
    assert f"\n{command}: " in makefile
