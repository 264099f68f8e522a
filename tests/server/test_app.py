import asyncio
import contextlib
import gc
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from websockets.exceptions import ConnectionClosed

from sayline_tts.engine.errors import InputError
from sayline_tts.engine.models.model import Model
from sayline_tts.server import app as app_module
from sayline_tts.server.app import PortInUse, bind, make_app, page_root, serve
from sayline_tts.server.settings import Settings, SettingsError
from tests.server.fakes import FakeEngine
from tests.server.stream_client import StreamClient, connected_client, serving

SERVE = [sys.executable, "-c", "from sayline.cli import main; main()", "serve", "--variant", "embedded"]


async def get(url: str) -> tuple[int, str, str]:
    async with aiohttp.ClientSession() as client, client.get(url) as response:
        return response.status, await response.text(), response.headers.get("Cache-Control", "")


async def test_health_reports_the_load(address: str, engine: FakeEngine) -> None:
    engine.runner.may_step.clear()
    async with connected_client(address) as one:
        await one.speak("Hello there.")
        await engine.wait_scheduled()
        async with aiohttp.ClientSession() as client, client.get(f"http://{address}/healthz") as response:
            assert response.status == 200
            assert await response.json() == {
                "status": "ok",
                "model": "fake",
                "sessions": 1,
                "contexts": 1,
                "speaking": 1,
                "waiting": 0,
                "capacity": 32,
            }
        engine.runner.may_step.set()
        await one.receive_until_final()


async def test_health_fails_when_the_engine_has_failed(
    address: str, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise AssertionError("broken")

    monkeypatch.setattr(engine, "schedule", broken)
    async with connected_client(address) as one:
        await one.speak("Hello there.")
        assert (await one.receive_until("error"))["code"] == "internal"
        async with aiohttp.ClientSession() as client, client.get(f"http://{address}/healthz") as response:
            assert (response.status, (await response.json())["status"]) == (503, "failed")


async def test_page_and_client_are_served(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, text in (("web/index.html", "<p>page"), ("web/page.js", "1"), ("clients/js/sayline.js", "2")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "secret").write_text("secret")
    monkeypatch.setattr(app_module, "page_root", lambda: tmp_path)
    async with serving(await make_app(Settings(), engine.model, engine)) as address:
        assert await get(f"http://{address}/") == (200, "<p>page", "no-cache")
        assert await get(f"http://{address}/web/page.js") == (200, "1", "no-cache")
        assert await get(f"http://{address}/clients/js/sayline.js") == (200, "2", "no-cache")
        assert (await get(f"http://{address}/web/%2e%2e/secret"))[0] in (403, 404)
        assert (await get(f"http://{address}/nothing"))[0] == 404


@pytest.mark.parametrize(
    ("host", "streams"),
    [
        ("localhost:8000", " ws://localhost:8000 wss://localhost:8000"),
        ("[::1]:80", " ws://[::1]:80 wss://[::1]:80"),
        ("a; x", ""),
    ],
)
def test_page_policy_allows_this_server_only(host: str, streams: str) -> None:
    policy = app_module._policy(host)
    assert policy.startswith(f"default-src 'self'; connect-src 'self'{streams}; object-src")
    assert "unsafe" not in policy


async def test_missing_page_is_explained(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "page_root", lambda: None)
    async with serving(await make_app(Settings(), engine.model, engine)) as address:
        status, text, _ = await get(f"http://{address}/")
    assert (status, "/v1/stream" in text) == (404, True)


def test_page_root_is_the_package_with_the_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(app_module, "__file__", str(tmp_path / "server" / "app.py"))
    assert page_root() is None
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "index.html").touch()
    assert page_root() == tmp_path


async def test_exposure_without_key_is_rejected_at_startup(engine: FakeEngine) -> None:
    with pytest.raises(SettingsError, match="insecure twice"):
        await make_app(Settings.load(host="0.0.0.0"), engine.model, engine)
    with pytest.raises(SettingsError, match="insecure twice"):
        serve(Settings.load(host="0.0.0.0", insecure=1))


@asynccontextmanager
async def stoppable(engine: FakeEngine) -> AsyncIterator[TestServer]:
    server = TestServer(await make_app(Settings(), engine.model, engine))
    await server.start_server()
    try:
        yield server
    finally:
        await server.close()


async def closing(one: StreamClient) -> tuple[int | None, str | None]:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await one.receive()
    return one.socket.close_code, one.socket.close_reason


async def test_shutdown_ends_every_context_and_closes(engine: FakeEngine) -> None:
    async with stoppable(engine) as server, connected_client(f"{server.host}:{server.port}") as one:
        await one.send("start", "idle")
        await one.speak("word " * 10_000, "busy", max_lead_ms=400)
        await one.receive_until("audio")
        _, closed = await asyncio.gather(server.close(), closing(one))
    assert closed == (1012, "the server restarts")
    last = [message for message in one.received if message["type"] == "error"]
    assert {message["context_id"]: message["code"] for message in last} == {
        "idle": "shutting_down",
        "busy": "shutting_down",
    }
    assert len(last) == 2
    assert engine.running == 0


async def test_shutdown_does_not_wait_for_stalled_clients(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sayline_tts.server.websocket.connection.CLOSE_TIMEOUT_S", 0.1)
    stuck = asyncio.Event()

    async def never(socket: object, data: object) -> None:
        stuck.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("aiohttp.web.WebSocketResponse.send_bytes", never)
    async with stoppable(engine) as server, connected_client(f"{server.host}:{server.port}", close_timeout=0.1) as deaf:
        await deaf.speak("Hello there.")
        await stuck.wait()
        await server.close()


async def test_internal_error_closes_only_its_session_with_1011(
    address: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected_client(address) as one, connected_client(address) as other:
        await other.send("start", "healthy")
        await other.send("text", "healthy", text="Hello. ")
        await other.receive_until("segment")
        monkeypatch.setattr("sayline_tts.server.websocket.session.Session._open", lambda *_: 1 / 0)
        await one.send("start")
        assert await closing(one) == (1011, "internal error")
        await other.send("text", "healthy", text="All is well.")
        await other.send("end", "healthy")
        await other.receive_until_final("healthy")
    assert "ZeroDivisionError" in caplog.text


def test_loading_local_weights_imports_no_optional_modules() -> None:
    # Of scipy only the module in question, because Numba imports others to find a BLAS.
    code = (
        "import sys; from sayline_tts.server.app import Model, find_checkpoint;Model.load(find_checkpoint('embedded')); "
        "print(sorted({'sayline_tts.engine.checkpoint.hub', 'huggingface_hub.file_download', 'nupunkt', 'rich',"
        " 'scipy.signal', 'typer'} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_loaded_objects_are_frozen_from_garbage_collection(monkeypatch: pytest.MonkeyPatch, model: Model) -> None:
    async def look(*_: object) -> None:
        looked.append((gc.isenabled(), gc.get_freeze_count() > 0))

    looked: list[tuple[bool, bool]] = []
    monkeypatch.setattr(app_module, "_serve", look)
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


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


def test_port_in_use_suggests_another(taken_port: int) -> None:
    with pytest.raises(PortInUse, match=f"port {taken_port} on 127.0.0.1 is in use.*--port"):
        bind(Settings.load(port=taken_port))


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
    assert re.search(r"capacity  up to \d+ listeners? at once", banner)
    assert "printf 'Hello there. ' | sayline pipe --url ws://127.0.0.1:" in banner
    assert process.returncode == 0
    assert "Traceback" not in errors
