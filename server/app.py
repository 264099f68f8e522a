"""Assemble the web application, serve it, and shut it down."""

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
from sayline_tts.server.app_state import AppState
from sayline_tts.server.audio.opus import OpusEncoder
from sayline_tts.server.http import api, docs, errors, health, voices
from sayline_tts.server.http import metrics as http_metrics
from sayline_tts.server.http.health import Health
from sayline_tts.server.http.openapi import document
from sayline_tts.server.http.operations import OPERATIONS
from sayline_tts.server.metrics import Metrics
from sayline_tts.server.settings import Settings
from sayline_tts.server.shutdown import Shutdown
from sayline_tts.server.synthesis.engine_loop import EngineLoop
from sayline_tts.server.synthesis.watchdog import Watchdog
from sayline_tts.server.voices.store import VoiceStore
from sayline_tts.server.websocket import asyncapi, messages, protocol
from sayline_tts.server.websocket.handshake import open_stream
from sayline_tts.server.websocket.protocol import CloseCode
from sayline_tts.server.websocket.sessions import STOPPING, Sessions

log = logging.getLogger(__name__)

SETTINGS = web.AppKey("settings", Settings)
ENGINE_LOOP = web.AppKey("engine_loop", EngineLoop)
READY = web.AppKey("ready", messages.Ready)
SESSIONS = web.AppKey("sessions", Sessions)
ROOT = web.AppKey("root", Path)

# A step makes hundreds of short calls, and each may wait for the event loop to release the GIL. At Python's default of
# 5 ms, a step takes 13 times as long next to a busy thread.
GIL_SWITCH_INTERVAL_S = 0.0005
_HOST = re.compile(r"[\w.:\[\]-]+")


class PortInUse(InputError):
    code = "port_in_use"


async def make_app(settings: Settings, model: Model, engine: Engine | None = None) -> web.Application:
    """Build the application. Raises `SettingsError` if exposed without a key, `KeyFileError` for a bad key file."""
    app = web.Application(middlewares=[errors.error_middleware])
    metrics = Metrics()
    middleware.install(app, settings, metrics.on_reject)
    app[SETTINGS] = settings
    engine_loop = app[ENGINE_LOOP] = EngineLoop(
        engine or _engine(settings, model), metrics, VoiceStore(settings.voices_path)
    )
    app[READY] = _ready(model)
    state = AppState(engine_loop, settings, app[middleware.QUOTAS], metrics)
    sessions = app[SESSIONS] = Sessions(state)
    app.add_routes([web.get("/v1/stream", _stream), web.get("/", _page)])
    app.add_routes(api.routes(state, lambda: sessions.accepting))
    app.add_routes(voices.routes(engine_loop.voices, settings))
    docs.add_routes(app, document(OPERATIONS, _version()))
    health.add_routes(app, Health(lambda: engine_loop.alive, lambda: sessions.accepting, lambda: _report(app)))
    http_metrics.add_routes(app, metrics, _gauge_sources(engine_loop, sessions))
    asyncapi.add_routes(app, _version())
    if root := page_root():
        app[ROOT] = root
        for folder in ("web", "clients/js"):
            if (root / folder).is_dir():
                app.router.add_static(f"/{folder}", root / folder)
    app.on_response_prepare.append(_set_headers)
    app.on_startup.append(_start)
    app.on_shutdown.append(_end_sessions)
    app.on_cleanup.append(_stop)
    return app


def page_root() -> Path | None:
    """The folder with `web/` and `clients/js/`: the installed package, or its links in a checkout."""
    root = Path(__file__).parents[1]
    return root if (root / "web" / "index.html").is_file() else None


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises `InputError` for errors that the user can fix."""
    logs.configure(settings.log_format, settings.log_level)
    settings.check_exposure()
    context = make_context(settings)
    with bind(settings) as listener:  # before loading the model, so that a port in use is reported at once
        torch.set_num_threads(settings.threads)
        sys.setswitchinterval(GIL_SWITCH_INTERVAL_S)
        checkpoint = find_checkpoint(settings.variant, settings.config)
        print(f"Loading the model {checkpoint.name} ...", flush=True)
        model = Model.load(checkpoint, settings.device, settings.precision)
        gc.freeze()  # a collection over the loaded model stops all threads for 0.1 s, here and in the codec's processes
        gc.enable()
        asyncio.run(_serve(settings, model, listener, context))


def bind(settings: Settings) -> socket.socket:
    """Open the listening socket. Raises `PortInUse`, or `InputError` for an unusable address."""
    host, port = settings.host, settings.port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        listener = socket.socket(found[0][0], socket.SOCK_STREAM)
    except OSError as error:
        raise InputError(f"cannot listen on --host {host} ({error.strerror}); try --host 127.0.0.1") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(found[0][4])
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"port {port} on {host} is in use by another program; choose another one, "
                f"for example --port {port + 1 if port < 65535 else port - 1}"
            ) from None
        message = f"cannot listen on {host} port {port} ({error.strerror}); try another --port, or --host 127.0.0.1"
        raise InputError(message) from None
    return listener


async def _serve(settings: Settings, model: Model, listener: socket.socket, context: ssl.SSLContext | None) -> None:
    shutdown, loop = Shutdown(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, shutdown.request)
    loop.add_signal_handler(signal.SIGINT, shutdown.force)
    app = await make_app(settings, model)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)
    await runner.setup()
    try:
        await app[ENGINE_LOOP].warm_up()
        watchdog = Watchdog(app[ENGINE_LOOP], settings.watchdog_s, shutdown.fail)
        await web.SockSite(runner, listener, ssl_context=context).start()
        print(_banner(settings, app, listener.getsockname()[1]), flush=True)
        await drain(app, shutdown)
        watchdog.stop()
    finally:
        await runner.cleanup()


async def drain(app: web.Application, shutdown: Shutdown) -> None:
    """Wait for a shutdown request, then let open contexts finish. Exits the process if the engine has failed."""
    await shutdown.wait_requested()
    sessions = app[SESSIONS]
    if not shutdown.forced:
        log.info("shutdown requested; open contexts have %g s to finish", app[SETTINGS].drain_s)
        await shutdown.wait_unless_forced(
            sessions.drain(), app[ENGINE_LOOP].wait_until_idle(), timeout_s=app[SETTINGS].drain_s
        )
    if shutdown.failed:
        await sessions.end_all("internal", "internal error; connect again", CloseCode.INTERNAL, "internal error")
        exit_failed()
    await _end_sessions(app)  # while aiohttp still reads: closing handshakes need the clients' answers


def exit_failed() -> NoReturn:
    """Exit without waiting for threads: one that hangs would block the exit, and the process would keep the port."""
    logging.shutdown()
    for child in multiprocessing.active_children():
        child.kill()
    sys.stdout.flush()
    os._exit(os.EX_SOFTWARE)


def _banner(settings: Settings, app: web.Application, port: int) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    secure = "s" if settings.tls_cert else ""
    url, stream = f"http{secure}://{host}:{port}", f"ws{secure}://{host}:{port}"
    model, capacity = app[ENGINE_LOOP].model, app[ENGINE_LOOP].capacity
    checkpoint = model.checkpoint
    url_option = "" if port == 8000 and settings.on_loopback and not secure else f" --url {stream}"
    lines = [
        f"Sayline is ready at {url} (programs connect to {stream}/v1/stream).",
        f"  page      {url}/" if ROOT in app else "  page      not installed",
        f"  weights   {checkpoint.name}: {checkpoint.reason}; in {model.precision.value}",
        f"  voices    {', '.join(checkpoint.voices())}",
        f"  capacity  up to {capacity} {'listener' if capacity == 1 else 'listeners'} at once",
        f"  try       printf 'Hello there. ' | sayline pipe{url_option} -o hello.wav",
        "  stop      Ctrl+C",
    ]
    return "\n".join(lines)


def _engine(settings: Settings, model: Model) -> Engine:
    return Engine(model, settings.slots, settings.max_waiting, settings.capacity or None, decode_in_processes=True)


def _ready(model: Model) -> messages.Ready:
    checkpoint = model.checkpoint
    return messages.Ready(
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
    app[ENGINE_LOOP].start()


async def _end_sessions(app: web.Application) -> None:
    """Tell every client that the server restarts; aiohttp alone would drop the connections without a message."""
    message = f"{STOPPING}; connect again"
    await app[SESSIONS].end_all("shutting_down", message, CloseCode.RESTART, "the server restarts")


async def _stop(app: web.Application) -> None:
    await app[ENGINE_LOOP].stop()


async def _set_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Make browsers revalidate files on each load, because the page must match the server's version."""
    response.headers.setdefault("Cache-Control", "no-cache")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")


async def _stream(request: web.Request) -> web.StreamResponse:
    app = request.app
    return await open_stream(request, app[SETTINGS], app[READY], app[SESSIONS])


def _report(app: web.Application) -> dict[str, object]:
    engine_loop = app[ENGINE_LOOP]
    return {
        "model": app[READY].model,
        "sessions": len(app[SESSIONS]),
        "contexts": engine_loop.listeners,
        "speaking": engine_loop.speaking,
        "waiting": engine_loop.waiting,
        "capacity": engine_loop.capacity,
    }


def _gauge_sources(engine_loop: EngineLoop, sessions: Sessions) -> dict[str, Callable[[], float]]:
    return {
        "slots": lambda: engine_loop.slots,
        "slots_used": lambda: engine_loop.slots_used,
        "capacity": lambda: engine_loop.capacity,
        "speaking": lambda: engine_loop.speaking,
        "waiting": lambda: engine_loop.waiting,
        "contexts": lambda: engine_loop.listeners,
        "sessions": lambda: len(sessions),
        "codec_backlog_frames": lambda: engine_loop.codec_backlog,
    }


@middleware.public
async def _page(request: web.Request) -> web.StreamResponse:
    root = request.app.get(ROOT)
    if root is None:
        raise web.HTTPNotFound(text="The web page is not installed; clients connect to /v1/stream.\n")
    return web.FileResponse(root / "web" / "index.html", headers={"Content-Security-Policy": _policy(request.host)})


def _policy(host: str) -> str:
    """Content security policy of the page: this server only. Some browsers need its WebSocket named explicitly."""
    streams = f" ws://{host} wss://{host}" if _HOST.fullmatch(host) else ""
    return f"default-src 'self'; connect-src 'self'{streams}; object-src 'none'; base-uri 'none'"
