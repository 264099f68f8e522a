"""The example program as a process, and its parts."""

import asyncio
import importlib.util
import json
import os
import sys
import threading
import wave
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import sayline

from tests.clients.devices import FakeDevice
from tests.clients.scripted import FRAME_SAMPLES, ScriptedServer

PROGRAM = Path(__file__).parents[2] / "clients/examples/llm_speaks.py"
ANSWER = ["The sky", " is blue.", " That", " is all."]


class Llm(BaseHTTPRequestHandler):
    """Streams as OpenAI does."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        question = asked["messages"][-1]["content"]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for token in [question + " ", *ANSWER]:
            choice = {"index": 0, "delta": {"role": "assistant", "content": token}, "finish_reason": None}
            piece = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": asked["model"]}
            self.wfile.write(f"data: {json.dumps(piece | {'choices': [choice]})}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def llm() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Llm) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


async def run(*arguments: str, **environment: str) -> tuple[int | None, str, str]:
    """Exit code, standard output, standard error."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    program = await asyncio.create_subprocess_exec(
        sys.executable, str(PROGRAM), *arguments, env=kept | environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(program.communicate(), 60)
    return program.returncode, out.decode(), err.decode()


async def test_stand_in_text_is_spoken_without_an_llm(scripted: ScriptedServer, tmp_path: Path) -> None:
    path = tmp_path / "answer.wav"
    code, out, err = await run("Why?", "--server", scripted.url, "--voice", "angus", "-o", str(path))
    assert (code, err) == (0, "")
    text = scripted.texts()
    assert text.startswith("There is no language model here")
    assert out.split() == text.split()
    assert sum(message["type"] == "text" for message in scripted.received) == len(text.split())
    assert scripted.received[0]["voice"] == "angus"
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    frames = len(text.split())
    assert (frames - 1) * FRAME_SAMPLES < len(samples) <= frames * FRAME_SAMPLES  # of Opus the first is shorter
    assert np.abs(samples).max() > 5000


@pytest.mark.skipif(not importlib.util.find_spec("openai"), reason="openai is where the agents are: tests/agents")
async def test_llm_answer_is_spoken(scripted: ScriptedServer, llm: str, tmp_path: Path) -> None:
    path = tmp_path / "answer.wav"
    code, out, err = await run("Why?", "--server", scripted.url, "-o", str(path), OPENAI_BASE_URL=llm)
    assert (code, err) == (0, "")
    assert scripted.texts() == "Why? The sky is blue. That is all."
    assert out.split() == scripted.texts().split()


async def test_missing_server_is_reported_in_one_line(tmp_path: Path) -> None:
    code, _, err = await run("--server", "ws://127.0.0.1:9", "-o", str(tmp_path / "answer.wav"))
    assert code == 1
    assert err.startswith("llm_speaks: no server at ws://127.0.0.1:9")
    assert len(err.splitlines()) == 1


async def test_ctrl_c_prints_the_heard_text(
    scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    device = FakeDevice(latency_ms=0.0)
    monkeypatch.setattr(sayline, "Player", partial(sayline.Player, device))
    async with sayline.connect(scripted.url) as server, server.context(format="pcm") as speech:
        speech.feed("One two three four.")
        playing = asyncio.create_task(load().play(speech))
        while not (device.sample_rate_hz and any(device.play(50))):  # noqa: ASYNC110 - it plays silence until then
            await asyncio.sleep(0)
        device.play(100)
        playing.cancel()
        await playing
    assert capsys.readouterr().out == "\nYou heard: One two\nNot said:  three four.\n"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("llm_speaks", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
