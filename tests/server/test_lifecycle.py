import gc
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sayline_tts.engine.errors import InputError
from sayline_tts.engine.models.model import Model
from sayline_tts.server import lifecycle
from sayline_tts.server.app import make_app
from sayline_tts.server.lifecycle import PortInUse, bind, bind_wyoming, serve
from sayline_tts.server.settings import Settings
from tests.server.fakes import FakeEngine

SERVE = [sys.executable, "-c", "from sayline.cli import main; main()", "serve", "--variant", "embedded"]


def test_loading_local_weights_imports_no_optional_modules() -> None:
    # Of scipy only the module in question, because Numba imports others to find a BLAS.
    code = (
        "import sys; from sayline_tts.server.lifecycle import Model, find_checkpoint;"
        "Model.load(find_checkpoint('embedded')); "
        "print(sorted({'sayline_tts.engine.checkpoint.hub', 'huggingface_hub.file_download', 'nupunkt', 'rich',"
        " 'scipy.signal', 'typer'} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_loaded_objects_are_frozen_from_garbage_collection(monkeypatch: pytest.MonkeyPatch, model: Model) -> None:
    async def look(*_: object) -> None:
        looked.append((gc.isenabled(), gc.get_freeze_count() > 0))

    looked: list[tuple[bool, bool]] = []
    monkeypatch.setattr(lifecycle, "_serve", look)
    monkeypatch.setattr("sayline_tts.server.logs.configure", lambda *_: None)
    monkeypatch.setattr(Model, "load", lambda *_: model)
    interval_s = sys.getswitchinterval()
    gc.disable()
    try:
        serve(Settings.load(port=0, variant="embedded", threads=1))
    finally:
        gc.enable()
        gc.unfreeze()
        sys.setswitchinterval(interval_s)
    assert looked == [(True, True)]


@pytest.mark.parametrize("key", [None, "a-key-of-some-length"])
async def test_banner_says_whether_a_key_is_needed(engine: FakeEngine, key: str | None) -> None:
    settings = Settings.load(api_key=key) if key else Settings()
    banner = lifecycle._banner(settings, await make_app(settings, engine.model, engine), 8000)
    assert "OpenAI, LiveKit Inference, OpenAI Realtime: http://127.0.0.1:8000/v1; " in banner
    assert "; ElevenLabs, Cartesia, Deepgram, Kokoro-FastAPI, Kyutai: http://127.0.0.1:8000; Gradium: " in banner
    assert "; jambonz: http://127.0.0.1:8000/jambonz/speech; Vapi: http://127.0.0.1:8000/vapi/speech\n" in banner
    assert ("  key       required" in banner) is (key is not None)
    assert f"| {'SAYLINE_API_KEY=KEY ' if key else ''}sayline pipe -o hello.wav" in banner


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


def test_port_in_use_suggests_another(taken_port: int) -> None:
    with pytest.raises(PortInUse, match=f"port {taken_port} on 127.0.0.1 is in use.*--port"):
        bind(Settings.load(port=taken_port))


def test_wyoming_s_port_in_use_is_named(taken_port: int) -> None:
    with pytest.raises(PortInUse, match=f"port {taken_port} on 127.0.0.1 is in use.*--wyoming-port"):
        bind_wyoming(Settings.load(wyoming_port=taken_port))


def test_unusable_host_is_named() -> None:
    with pytest.raises(InputError, match=r"cannot listen on --host no\.such\.host\.invalid.*127\.0\.0\.1"):
        bind(Settings.load(host="no.such.host.invalid"))
    with pytest.raises(InputError, match=r"cannot listen on 192\.0\.2\.1.*--host 127\.0\.0\.1"):
        bind(Settings.load(host="192.0.2.1"))


def test_port_in_use_is_a_one_line_error(taken_port: int) -> None:
    done = subprocess.run([*SERVE, "--port", str(taken_port)], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 2
    assert f"port {taken_port} on 127.0.0.1 is in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_procfile_requires_a_key() -> None:
    command = (Path(__file__).parents[2] / "Procfile").read_text().removeprefix("web: ").strip()
    assert command.startswith("sayline serve ")
    arguments = command.removeprefix("sayline serve ").replace("$PORT", "0").split()
    done = subprocess.run([*SERVE, *arguments], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 2
    assert "set SAYLINE_API_KEY" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_banner_and_shutdown_by_signal(number: signal.Signals) -> None:
    with subprocess.Popen(
        [*SERVE, "--port", "0", "--threads", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "Ctrl+C" in line:
                break
        banner = "".join(lines)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert "Sayline is ready at http://127.0.0.1:" in banner
    assert "embedded: the small voice that comes with Sayline" in banner
    assert "--variant english" in banner
    assert re.search(r"capacity  about \d+ listeners? at once \(estimated\)", banner)
    assert "printf 'Hello there. ' | sayline pipe --url ws://127.0.0.1:" in banner
    assert process.returncode == 0
    assert "Traceback" not in errors
