"""The lines of docs/clients.md, as printed, on a real server with the embedded voice."""

import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("elevenlabs", reason="clients are in an environment of their own: tests/agents/constraints.txt")

from tests.agents.embedded_server import KEY, ROOT, EmbeddedServer, command

BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs/clients.md").read_text("utf-8"), re.DOTALL)
pytestmark = pytest.mark.skipif(command() is None, reason="the server is not installed: make .venv/ready")


def run(program: str, server: EmbeddedServer, **names: Any) -> dict[str, Any]:
    """Run the block with this import, at the test's server."""
    [code] = [block for block in BLOCKS if program in block]
    code = code.replace("localhost:8000", f"127.0.0.1:{server.port}").replace('"any"', f'"{KEY}"')
    exec(compile(code, program, "exec"), names)
    return names


def test_openai_s_sdk(server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    client = run("from openai import OpenAI", server)["client"]
    assert (tmp_path / "hello.mp3").read_bytes()[:1] == b"\xff"
    assert client.models.retrieve("tts-1").id == "tts-1"
    assert [model.id for model in client.models.list()] == ["embedded"]
    client.close()


def test_openai_program_of_the_readme(server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    readme = (ROOT / "README.md").read_text("utf-8")
    [code] = [block for block in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "OpenAI(" in block]
    names: dict[str, Any] = {}
    exec(
        compile(
            code.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}").replace('"none"', f'"{KEY}"'), "README", "exec"
        ),
        names,
    )
    assert (tmp_path / "hello.mp3").read_bytes()[:1] == b"\xff"
    names["client"].close()


def test_elevenlabs_sdk(server: EmbeddedServer) -> None:
    names = run("import ElevenLabs", server)
    assert names["audio"][:1] == b"\xff"
    names["client"]._client_wrapper.httpx_client.httpx_client.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the SDK's own imports
def test_deepgram_sdk(server: EmbeddedServer) -> None:
    client = run("import DeepgramClient", server)["client"]
    assert b"".join(client.speak.v1.audio.generate(text="Hello there."))[:1] == b"\xff"  # MP3
    client._client_wrapper.httpx_client.httpx_client.close()


async def test_gradium_sdk(server: EmbeddedServer) -> None:
    pytest.importorskip("gradium")
    client = run("import gradium", server)["client"]
    assert (await client.tts({"voice_id": "clara", "output_format": "pcm"}, "Hello there.")).sample_rate == 48_000


async def test_openai_realtime(server: EmbeddedServer) -> None:
    client = run("import AsyncOpenAI", server)["client"]
    async with client.realtime.connect(model="gpt-realtime") as connection:
        assert (await connection.recv()).type == "session.created"
    await client.close()


def test_lines_of_livekit_and_pipecat(server: EmbeddedServer) -> None:
    """The lines for Deepgram and LiveKit Inference make what they say; the clients' own tests speak with it."""
    inference = pytest.importorskip("livekit.agents").inference
    deepgram = pytest.importorskip("livekit.plugins.deepgram")
    flux = pytest.importorskip("pipecat.services.deepgram.flux.tts")
    services = pytest.importorskip("pipecat.services.deepgram.tts")
    names = {
        "deepgram": deepgram,
        "DeepgramTTSService": services.DeepgramTTSService,
        "DeepgramFluxTTSService": flux.DeepgramFluxTTSService,
    }
    assert isinstance(run("= deepgram.TTS(", server, **names)["tts"], flux.DeepgramFluxTTSService)
    assert run("inference.TTS(", server, inference=inference)["tts"].model == "cartesia/sonic-3"
