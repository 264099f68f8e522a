"""The page's modules that need no browser, in Node; and its code samples, run as they are copied."""

import asyncio
import json
import shutil
import subprocess
import sys
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.clients.scripted import ScriptedServer
from tests.clients.test_readme import run

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent
TSC = ROOT / "clients/js/node_modules/.bin/tsc"
TEXT = "It's \"five\" o'clock, 5 \\ 3 🙂."
WORDS = 7
pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


@pytest.mark.parametrize("file", sorted(each.name for each in FOLDER.glob("*.test.js")))
def test_pure_modules(file: str) -> None:
    done = subprocess.run(["node", "--test", FOLDER / file], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(not TSC.exists(), reason="typescript is not installed: npm ci in clients/js")
def test_types_are_correct() -> None:
    done = subprocess.run([TSC, "-p", FOLDER], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


@pytest_asyncio.fixture(loop_scope="session")
async def scripted() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


def code_sample(language: str, url: str) -> str:
    """The code sample that the page generates."""
    request = {
        "url": url.replace("ws:", "http:"),
        "text": TEXT,
        "voice": "angus",
        "options": {"seed": 7},
        "needsKey": False,
    }
    code = f"""
import {{ {language} }} from {json.dumps((ROOT / "web/view/code_samples.js").as_uri())};
process.stdout.write({language}({json.dumps(request)}));
"""
    done = subprocess.run(["node", "--input-type=module", "-e", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_python_sample_writes_the_requested_audio(scripted: ScriptedServer, tmp_path: Path) -> None:
    code = await asyncio.to_thread(code_sample, "python", scripted.url)
    exit_code, output = await run(sys.executable, "-", text=code, folder=tmp_path)
    assert (exit_code, output) == (0, "")
    with wave.open(str(tmp_path / "speech.wav")) as file:
        assert (file.getframerate(), file.getnframes()) == (24_000, WORDS * 1_920)
    assert scripted.texts() == TEXT
    assert {"voice": "angus", "seed": 7}.items() <= scripted.received[0].items()


async def test_javascript_sample_prints_the_requested_frames(scripted: ScriptedServer) -> None:
    code = await asyncio.to_thread(code_sample, "javascript", scripted.url)
    options = ("--experimental-websocket", "--no-warnings", "--input-type=module", "-")
    exit_code, output = await run(
        "node", *options, text=code, folder=ROOT / "clients/js"
    )  # a package can import itself
    assert (exit_code, output) == (0, "".join(f"{80 * n} 1920\n" for n in range(WORDS)))
    assert scripted.texts() == TEXT
    assert {"voice": "angus", "seed": 7}.items() <= scripted.received[0].items()
