"""The server's routes, its start and its end. Knows nothing of what is said on a stream."""

import asyncio
import errno
import logging
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from importlib import metadata
from pathlib import Path

import torch
from aiohttp import WSCloseCode, web

from engine.engine import Engine
from engine.errors import InputError
from engine.model import Model
from engine.weights import find_checkpoint
from server import auth, protocol
from server.opus import OpusEncoder
from server.session import Session
from server.settings import Settings
from server.upgrade import open_stream
from server.worker import Worker

SETTINGS = web.AppKey("settings", Settings)
WORKER = web.AppKey("worker", Worker)
READY = web.AppKey("ready", protocol.Ready)
SESSIONS = web.AppKey("sessions", set[Session])
ROOT = web.AppKey("root", Path)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


# A step is hundreds of small operations, and each may have to wait for the loop to give up the interpreter. At Python's
# own 5 ms a step takes 13 times as long beside a thread that never rests.
GIL_TURN_S = 0.0005


class PortInUse(InputError):
    code = "port_in_use"


async def make_app(settings: Settings, model: Model, engine: Engine | None = None) -> web.Application:
    """Raises `SettingsError` where the settings would let strangers in."""
    settings.check_exposure()
    app = web.Application(middlewares=[_guard])
    app[SETTINGS] = settings
    app[WORKER] = Worker(engine or _engine(settings, model))
    app[READY] = _ready(model)
    app[SESSIONS] = set()
    app.add_routes([web.get("/v1/stream", _stream), web.get("/healthz", _healthz), web.get("/", _page)])
    if root := page_root():
        app[ROOT] = root
        for folder in ("web", "clients/js"):
            if (root / folder).is_dir():
                app.router.add_static(f"/{folder}", root / folder)
    app.on_response_prepare.append(_set_headers)
    app.on_startup.append(_start)
    app.on_shutdown.append(_say_goodbye)
    app.on_cleanup.append(_stop)
    return app


def page_root() -> Path | None:
    """The folder that holds `web/` and `clients/js/`: the installed package, or the checkout around it."""
    package = Path(__file__).parent
    return next((root for root in (package, package.parent) if (root / "web" / "index.html").is_file()), None)


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises `InputError` for what the user can mend."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    settings.check_exposure()
    with bind(settings) as listener:  # before the model, which takes long
        torch.set_num_threads(settings.threads)
        sys.setswitchinterval(GIL_TURN_S)
        checkpoint = find_checkpoint(settings.variant, settings.config)
        print(f"Loading the model {checkpoint.name} ...", flush=True)
        asyncio.run(_serve(settings, Model.load(checkpoint, settings.device, settings.precision), listener))


def bind(settings: Settings) -> socket.socket:
    """Take the port. Raises `PortInUse`, or `InputError` for an address that this machine does not have."""
    host, port = settings.host, settings.port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        listener = socket.socket(found[0][0], socket.SOCK_STREAM)
    except OSError as error:
        raise InputError(f"{host} is no address to listen on ({error.strerror}); 127.0.0.1 always is") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(found[0][4])
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"port {port} on {host} is in use by another program; choose another, "
                f"for example --port {port + 1 if port < 65535 else port - 1}"
            ) from None
        told = f"cannot listen on {host} port {port} ({error.strerror}); try another --port, or --host 127.0.0.1"
        raise InputError(told) from None
    return listener


async def _serve(settings: Settings, model: Model, listener: socket.socket) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    app = await make_app(settings, model)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)
    await runner.setup()
    try:
        await app[WORKER].warm_up()
        await web.SockSite(runner, listener).start()
        print(_banner(settings, app, listener.getsockname()[1]), flush=True)
        await stop.wait()
    finally:
        await runner.cleanup()


def _banner(settings: Settings, app: web.Application, port: int) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = f"http://{host}:{port}"
    model, capacity = app[WORKER].model, app[WORKER].capacity
    checkpoint = model.checkpoint
    elsewhere = "" if port == 8000 and settings.on_loopback else f" --url ws://{host}:{port}"
    lines = [
        f"Sayline is ready at {url} (programs connect to ws://{host}:{port}/v1/stream).",
        f"  page      {url}/" if ROOT in app else "  page      not installed",
        f"  weights   {checkpoint.name}: {checkpoint.reason}; in {model.precision.value}",
        f"  voices    {', '.join(checkpoint.voices())}",
        f"  capacity  up to {capacity} {'listener' if capacity == 1 else 'listeners'} at once",
        f"  try       printf 'Hello there. ' | sayline pipe{elsewhere} -o hello.wav",
        "  stop      Ctrl+C",
    ]
    return "\n".join(lines)


def _engine(settings: Settings, model: Model) -> Engine:
    return Engine(model, settings.slots, settings.max_waiting, settings.capacity or None, apart=True)


def _ready(model: Model) -> protocol.Ready:
    checkpoint = model.checkpoint
    return protocol.Ready(
        protocol=protocol.VERSION,
        server=f"sayline/{_version()}",
        model=checkpoint.name,
        voices=checkpoint.voices(),
        default_voice=checkpoint.default_voice,
        sample_rate_hz=model.sample_rate_hz,
        frame_ms=model.frame_ms,
        opus_pre_skip=OpusEncoder(model.sample_rate_hz).pre_skip_samples,
    )


def _version() -> str:
    try:
        return metadata.version("sayline")
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return "0"


async def _start(app: web.Application) -> None:
    app[WORKER].start()


async def _say_goodbye(app: web.Application) -> None:
    """aiohttp itself would drop its WebSockets without a word."""
    goodbyes = (session.go_away(WSCloseCode.SERVICE_RESTART, "the server restarts") for session in app[SESSIONS])
    await asyncio.gather(*goodbyes)


async def _stop(app: web.Application) -> None:
    await app[WORKER].stop()


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    auth.check_host(request, request.app[SETTINGS])
    return await handler(request)


async def _set_headers(request: web.Request, response: web.StreamResponse) -> None:
    """The page and the server change together, so a browser must ask each time whether it has the right one."""
    response.headers.setdefault("Cache-Control", "no-cache")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")


async def _stream(request: web.Request) -> web.StreamResponse:
    app = request.app
    return await open_stream(request, app[SETTINGS], app[WORKER], app[READY], app[SESSIONS])


async def _healthz(request: web.Request) -> web.Response:
    app = request.app
    worker = app[WORKER]
    report = {
        "status": "ok" if worker.alive else "failed",
        "model": app[READY].model,
        "sessions": len(app[SESSIONS]),
        "contexts": worker.listeners,
        "speaking": worker.speaking,
        "waiting": worker.waiting,
        "capacity": worker.capacity,
    }
    return web.json_response(report, status=200 if worker.alive else 503)


async def _page(request: web.Request) -> web.StreamResponse:
    root = request.app.get(ROOT)
    if root is None:
        raise web.HTTPNotFound(text="The page is not installed here; the stream is at /v1/stream.\n")
    return web.FileResponse(root / "web" / "index.html", headers={"Content-Security-Policy": "default-src 'self'"})
