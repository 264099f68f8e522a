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
from tests.server.peer import Peer, peer, running

SERVE = [sys.executable, "-c", "from sayline.cli import main; main()", "serve", "--variant", "embedded"]


async def get(url: str) -> tuple[int, str, str]:
    async with aiohttp.ClientSession() as client, client.get(url) as response:
        return response.status, await response.text(), response.headers.get("Cache-Control", "")


async def test_health_says_what_goes_on(address: str, engine: FakeEngine) -> None:
    engine.runner.may_step.clear()
    async with peer(address) as one:
        await one.say("Hello there.")
        await engine.until_scheduled()
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
        await one.hear_all()


async def test_health_says_when_nothing_is_spoken_any_more(
    address: str, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise AssertionError("broken")

    monkeypatch.setattr(engine, "schedule", broken)
    async with peer(address) as one:
        await one.say("Hello there.")
        assert (await one.hear_until("error"))["code"] == "internal"
        async with aiohttp.ClientSession() as client, client.get(f"http://{address}/healthz") as response:
            assert (response.status, (await response.json())["status"]) == (503, "failed")


async def test_the_page_and_the_client_are_served(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, text in (("web/index.html", "<p>page"), ("web/page.js", "1"), ("clients/js/sayline.js", "2")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "secret").write_text("secret")
    monkeypatch.setattr(app_module, "page_root", lambda: tmp_path)
    async with running(await make_app(Settings(), engine.model, engine)) as address:
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
def test_the_page_may_load_from_here_alone(host: str, streams: str) -> None:
    policy = app_module._policy(host)
    assert policy.startswith(f"default-src 'self'; connect-src 'self'{streams}; object-src")
    assert "unsafe" not in policy


async def test_without_a_page_that_is_said(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "page_root", lambda: None)
    async with running(await make_app(Settings(), engine.model, engine)) as address:
        status, text, _ = await get(f"http://{address}/")
    assert (status, "/v1/stream" in text) == (404, True)


def test_page_root_is_the_package_that_holds_the_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(app_module, "__file__", str(tmp_path / "server" / "app.py"))
    assert page_root() is None
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "index.html").touch()
    assert page_root() == tmp_path


async def test_strangers_are_kept_out_before_anything_is_made(engine: FakeEngine) -> None:
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


async def closing(one: Peer) -> tuple[int | None, str | None]:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await one.hear()
    return one.socket.close_code, one.socket.close_reason


async def test_a_server_that_stops_says_so_to_every_context_and_closes(engine: FakeEngine) -> None:
    async with stoppable(engine) as server, peer(f"{server.host}:{server.port}") as one:
        await one.send("start", "idle")
        await one.say("word " * 10_000, "busy", max_lead_ms=400)
        await one.hear_until("audio")
        _, closed = await asyncio.gather(server.close(), closing(one))
    assert closed == (1012, "the server restarts")
    last = [message for message in one.heard if message["type"] == "error"]
    assert {message["context_id"]: message["code"] for message in last} == {
        "idle": "shutting_down",
        "busy": "shutting_down",
    }
    assert len(last) == 2
    assert engine.running == 0


async def test_a_server_stops_although_somebody_does_not_read(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sayline_tts.server.websocket.connection.PATIENCE_S", 0.1)
    stuck = asyncio.Event()

    async def never(socket: object, data: object) -> None:
        stuck.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("aiohttp.web.WebSocketResponse.send_bytes", never)
    async with stoppable(engine) as server, peer(f"{server.host}:{server.port}", close_timeout=0.1) as deaf:
        await deaf.say("Hello there.")
        await stuck.wait()
        await server.close()


async def test_our_own_fault_closes_one_session_with_1011(
    address: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with peer(address) as one, peer(address) as other:
        await other.send("start", "healthy")
        await other.send("text", "healthy", text="Hello. ")
        await other.hear_until("segment")
        monkeypatch.setattr("sayline_tts.server.websocket.session.Session._open", lambda *_: 1 / 0)
        await one.send("start")
        assert await closing(one) == (1011, "internal error")
        await other.send("text", "healthy", text="All is well.")
        await other.send("end", "healthy")
        await other.hear_all("healthy")
    assert "ZeroDivisionError" in caplog.text


def test_a_server_of_weights_on_this_machine_loads_nothing_that_it_does_not_need() -> None:
    # Of scipy, what we use: Numba looks for a BLAS in it by itself.
    code = (
        "import sys; from sayline_tts.server.app import Model, find_checkpoint; Model.load(find_checkpoint('embedded'));"
        "print(sorted({'sayline_tts.engine.checkpoint.hub', 'huggingface_hub.file_download', 'nupunkt', 'rich', 'scipy.signal', 'typer'}"
        " & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_what_was_loaded_is_never_looked_through_for_garbage(monkeypatch: pytest.MonkeyPatch, model: Model) -> None:
    async def look(*_: object) -> None:
        looked.append((gc.isenabled(), gc.get_freeze_count() > 0))

    looked: list[tuple[bool, bool]] = []
    monkeypatch.setattr(app_module, "_serve", look)
    monkeypatch.setattr("sayline_tts.server.logs.set_up", lambda *_: None)
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


def test_a_port_in_use_is_named_with_a_way_out(taken_port: int) -> None:
    with pytest.raises(PortInUse, match=f"port {taken_port} on 127.0.0.1 is in use.*--port"):
        bind(Settings.load(port=taken_port))


def test_an_address_that_is_none_of_ours_is_named() -> None:
    with pytest.raises(InputError, match=r"no\.such\.host\.invalid is no address.*127\.0\.0\.1"):
        bind(Settings.load(host="no.such.host.invalid"))
    with pytest.raises(InputError, match=r"cannot listen on 192\.0\.2\.1.*--host 127\.0\.0\.1"):
        bind(Settings.load(host="192.0.2.1"))


def test_a_port_in_use_ends_the_command_in_one_line(taken_port: int) -> None:
    done = subprocess.run([*SERVE, "--port", str(taken_port)], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 2
    assert f"port {taken_port} on 127.0.0.1 is in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_procfile_needs_a_key() -> None:
    command = (Path(__file__).parents[2] / "Procfile").read_text().removeprefix("web: ").strip()
    assert command.startswith("sayline serve ")
    arguments = command.removeprefix("sayline serve ").replace("$PORT", "0").split()
    done = subprocess.run([*SERVE, *arguments], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 2
    assert "set SAYLINE_API_KEY" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_server_says_how_to_use_it_and_stops_when_told(number: signal.Signals) -> None:
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
