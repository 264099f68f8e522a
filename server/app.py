"""The server's routes, its start and its end. Knows nothing of what is said on a stream."""

import asyncio
import errno
import gc
import logging
import multiprocessing
import os
import re
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import NoReturn

import torch
from aiohttp import web

from sayline_tts.engine.checkpoint.checkpoint import find_checkpoint
from sayline_tts.engine.engine import Engine
from sayline_tts.engine.errors import InputError
from sayline_tts.engine.models.model import Model
from sayline_tts.server import logs
from sayline_tts.server.access import middleware
from sayline_tts.server.access.tls import make_context
from sayline_tts.server.app_state import Shared
from sayline_tts.server.audio.opus import OpusEncoder
from sayline_tts.server.http import api, docs, errors, health, voices
from sayline_tts.server.http import metrics as http_metrics
from sayline_tts.server.http.health import Health
from sayline_tts.server.http.openapi import document
from sayline_tts.server.http.operations import OPERATIONS
from sayline_tts.server.metrics import Metrics
from sayline_tts.server.settings import Settings
from sayline_tts.server.shutdown import Ending
from sayline_tts.server.synthesis.engine_loop import Worker
from sayline_tts.server.synthesis.watchdog import Watchdog
from sayline_tts.server.voices.store import VoiceStore
from sayline_tts.server.websocket import asyncapi, protocol
from sayline_tts.server.websocket.handshake import open_stream
from sayline_tts.server.websocket.protocol import CloseCode
from sayline_tts.server.websocket.sessions import STOPPING, Sessions

log = logging.getLogger(__name__)

SETTINGS = web.AppKey("settings", Settings)
WORKER = web.AppKey("worker", Worker)
READY = web.AppKey("ready", protocol.Ready)
SESSIONS = web.AppKey("sessions", Sessions)
ROOT = web.AppKey("root", Path)

# A step is hundreds of small operations, and each may have to wait for the loop to give up the interpreter. At Python's
# own 5 ms a step takes 13 times as long beside a thread that never rests.
GIL_TURN_S = 0.0005
_HOST = re.compile(r"[\w.:\[\]-]+")


class PortInUse(InputError):
    code = "port_in_use"


async def make_app(settings: Settings, model: Model, engine: Engine | None = None) -> web.Application:
    """Raises `SettingsError` where the settings would let strangers in, `KeyFileError` for keys that cannot be read."""
    app = web.Application(middlewares=[errors.tell_errors])
    metrics = Metrics()
    middleware.install(app, settings, metrics.on_reject)
    app[SETTINGS] = settings
    worker = app[WORKER] = Worker(engine or _engine(settings, model), metrics, VoiceStore(settings.voices_path))
    app[READY] = _ready(model)
    shared = Shared(worker, settings, app[middleware.LEDGER], metrics)
    sessions = app[SESSIONS] = Sessions(shared)
    app.add_routes([web.get("/v1/stream", _stream), web.get("/", _page)])
    app.add_routes(api.routes(shared, lambda: sessions.accepting))
    app.add_routes(voices.routes(worker.voices, settings))
    docs.add_routes(app, document(OPERATIONS, _version()))
    health.add_routes(app, Health(lambda: worker.alive, lambda: sessions.accepting, lambda: _report(app)))
    http_metrics.add_routes(app, metrics, _watched(worker, sessions))
    asyncapi.add_routes(app, _version())
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
    """The folder that holds `web/` and `clients/js/`: the installed package, or its links in a checkout."""
    root = Path(__file__).parents[1]
    return root if (root / "web" / "index.html").is_file() else None


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises `InputError` for what the user can mend."""
    logs.set_up(settings.log_format, settings.log_level)
    settings.check_exposure()
    context = make_context(settings)
    with bind(settings) as listener:  # before the model, which takes long
        torch.set_num_threads(settings.threads)
        sys.setswitchinterval(GIL_TURN_S)
        checkpoint = find_checkpoint(settings.variant, settings.config)
        print(f"Loading the model {checkpoint.name} ...", flush=True)
        model = Model.load(checkpoint, settings.device, settings.precision)
        gc.freeze()  # looking for garbage in all that holds up everybody for 0.1 s, here and in the codec's processes
        gc.enable()
        asyncio.run(_serve(settings, model, listener, context))


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


async def _serve(settings: Settings, model: Model, listener: socket.socket, context: ssl.SSLContext | None) -> None:
    ending, loop = Ending(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ending.ask)
    loop.add_signal_handler(signal.SIGINT, ending.hurry)
    app = await make_app(settings, model)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)
    await runner.setup()
    try:
        await app[WORKER].warm_up()
        watchdog = Watchdog(app[WORKER], settings.watchdog_s, ending.break_down)
        await web.SockSite(runner, listener, ssl_context=context).start()
        print(_banner(settings, app, listener.getsockname()[1]), flush=True)
        await end(app, ending)
        watchdog.stop()
    finally:
        await runner.cleanup()


async def end(app: web.Application, ending: Ending) -> None:
    """Returns when the server may stop. Does not return where the engine is broken."""
    await ending.until_asked()
    sessions = app[SESSIONS]
    if not ending.hurried:
        log.info("asked to stop: who speaks may go on for %g s", app[SETTINGS].drain_s)
        await ending.unless_hurried(sessions.drain(), app[WORKER].until_silent(), within_s=app[SETTINGS].drain_s)
    if ending.broken:
        await sessions.end_all("internal", "internal error; connect again", CloseCode.INTERNAL, "internal error")
        exit_broken()
    await _say_goodbye(app)  # now: later aiohttp hears nothing any more, not even who closes with us


def exit_broken() -> NoReturn:
    """At once: threads that hang would be waited for. A process that hangs would keep the port."""
    logging.shutdown()
    for child in multiprocessing.active_children():
        child.kill()
    sys.stdout.flush()
    os._exit(os.EX_SOFTWARE)


def _banner(settings: Settings, app: web.Application, port: int) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    secure = "s" if settings.tls_cert else ""
    url, stream = f"http{secure}://{host}:{port}", f"ws{secure}://{host}:{port}"
    model, capacity = app[WORKER].model, app[WORKER].capacity
    checkpoint = model.checkpoint
    elsewhere = "" if port == 8000 and settings.on_loopback and not secure else f" --url {stream}"
    lines = [
        f"Sayline is ready at {url} (programs connect to {stream}/v1/stream).",
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
    told = f"{STOPPING}; connect again"
    await app[SESSIONS].end_all("shutting_down", told, CloseCode.RESTART, "the server restarts")


async def _stop(app: web.Application) -> None:
    await app[WORKER].stop()


async def _set_headers(request: web.Request, response: web.StreamResponse) -> None:
    """The page and the server change together, so a browser must ask each time whether it has the right one."""
    response.headers.setdefault("Cache-Control", "no-cache")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")


async def _stream(request: web.Request) -> web.StreamResponse:
    app = request.app
    return await open_stream(request, app[SETTINGS], app[READY], app[SESSIONS])


def _report(app: web.Application) -> dict[str, object]:
    worker = app[WORKER]
    return {
        "model": app[READY].model,
        "sessions": len(app[SESSIONS]),
        "contexts": worker.listeners,
        "speaking": worker.speaking,
        "waiting": worker.waiting,
        "capacity": worker.capacity,
    }


def _watched(worker: Worker, sessions: Sessions) -> dict[str, Callable[[], float]]:
    return {
        "slots": lambda: worker.slots,
        "slots_used": lambda: worker.slots_used,
        "capacity": lambda: worker.capacity,
        "speaking": lambda: worker.speaking,
        "waiting": lambda: worker.waiting,
        "contexts": lambda: worker.listeners,
        "sessions": lambda: len(sessions),
        "codec_backlog_frames": lambda: worker.codec_backlog,
    }


@middleware.public
async def _page(request: web.Request) -> web.StreamResponse:
    root = request.app.get(ROOT)
    if root is None:
        raise web.HTTPNotFound(text="The page is not installed here; the stream is at /v1/stream.\n")
    return web.FileResponse(root / "web" / "index.html", headers={"Content-Security-Policy": _policy(request.host)})


def _policy(host: str) -> str:
    """What the page may load, and from where: only from here. Some browsers do not count WebSockets as that."""
    streams = f" ws://{host} wss://{host}" if _HOST.fullmatch(host) else ""
    return f"default-src 'self'; connect-src 'self'{streams}; object-src 'none'; base-uri 'none'"
