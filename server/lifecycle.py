"""Start the server process, serve until a signal, and shut down."""

import asyncio
import errno
import gc
import logging
import multiprocessing
import os
import signal
import socket
import ssl
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import NoReturn

import torch
from aiohttp import web

from sayline_tts.engine.checkpoint.checkpoint import Checkpoint, find_checkpoint
from sayline_tts.engine.errors import InputError
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.models.model_description import ModelDescription
from sayline_tts.server import logs
from sayline_tts.server.access.middleware import AUTHENTICATOR
from sayline_tts.server.access.tls import make_context
from sayline_tts.server.app import ENGINE_LOOP, SESSIONS, SETTINGS, end_sessions, make_app
from sayline_tts.server.compat.services import SERVICES
from sayline_tts.server.compat.wyoming.server import WyomingServer
from sayline_tts.server.data_folder import DataFolder
from sayline_tts.server.http import page
from sayline_tts.server.http.monitoring import HEALTH
from sayline_tts.server.network import descriptors
from sayline_tts.server.network.acceptor import Acceptor, ConnectionLimits
from sayline_tts.server.network.agent import Agent, agent_line
from sayline_tts.server.reload import Reload
from sayline_tts.server.settings import Settings
from sayline_tts.server.shutdown import Shutdown
from sayline_tts.server.synthesis.calibration import BackgroundCalibration
from sayline_tts.server.synthesis.watchdog import Watchdog
from sayline_tts.server.systemd import Notifier
from sayline_tts.server.websocket.protocol import CloseCode

log = logging.getLogger(__name__)

# A step makes hundreds of short calls, and each may wait for the event loop to release the GIL. At Python's default of
# 5 ms, a step takes 13 times as long next to a busy thread.
GIL_SWITCH_INTERVAL_S = 0.0005
# Connections besides those of sessions, for health checks and HTTP requests.
SPARE_CONNECTIONS = 16


@dataclass(frozen=True)
class Listeners:
    """Listening sockets; None: not wanted."""

    http: socket.socket
    wyoming: socket.socket | None = None
    agent: socket.socket | None = None


class PortInUse(InputError):
    code = "port_in_use"


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises `InputError` for errors that the user can fix."""
    logs.configure(settings.log_format, settings.log_level)
    settings.check_exposure()
    settings.check_fleet()
    DataFolder(settings.data_path).check_version()
    descriptors.raise_limit()  # before processes are forked that inherit it
    context = make_context(settings)
    with (
        bind(settings) as listener,
        bind_wyoming(settings) as wyoming,
        bind_agent(settings) as agent,
    ):  # before loading the model, so that a port in use is reported at once
        torch.set_num_threads(settings.threads)
        sys.setswitchinterval(GIL_SWITCH_INTERVAL_S)
        checkpoint = find_served_checkpoint(settings)
        model: ModelDescription
        if settings.engines:
            model = ModelDescription.read(checkpoint)
        else:
            print(f"Loading the model {checkpoint.name} ...", flush=True)
            model = Model.load(checkpoint, settings.device, settings.precision)
        gc.freeze()  # a collection over the loaded model stops all threads for 0.1 s, here and in the codec's processes
        gc.enable()
        asyncio.run(_serve(settings, model, Listeners(listener, wyoming, agent), context))


def find_served_checkpoint(settings: Settings) -> Checkpoint:
    """The checkpoint of the settings, with what `sayline calibrate` has found for it. Raises as `find_checkpoint`."""
    return replace(find_checkpoint(settings.variant, settings.config), calibrations=settings.calibrations_path)


def bind(settings: Settings) -> socket.socket:
    """Open the listening socket. Raises `PortInUse`, or `InputError` for an unusable address."""
    return bind_socket(settings.host, settings.port)


def bind_wyoming(settings: Settings) -> AbstractContextManager[socket.socket | None]:
    """Open the socket of the Wyoming protocol, if it is wanted. Raises as `bind`."""
    if not settings.wyoming_port or "wyoming" not in settings.protocols:
        return nullcontext()
    return bind_socket(settings.wyoming_host, settings.wyoming_port, "wyoming-")


def bind_agent(settings: Settings) -> AbstractContextManager[socket.socket | None]:
    """Open the socket for agent checks, if it is wanted. Raises as `bind`."""
    return bind_socket(settings.host, settings.agent_port, "agent-") if settings.agent_port else nullcontext()


def bind_socket(host: str, port: int, prefix: str = "", host_prefix: str | None = None) -> socket.socket:
    """`prefix`: of the names of the options; `host_prefix`: of that of the host, if it is another."""
    host_prefix = prefix if host_prefix is None else host_prefix
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        listener = socket.socket(found[0][0], socket.SOCK_STREAM)
    except OSError as error:
        raise InputError(
            f"cannot listen on --{host_prefix}host {host} ({error.strerror}); try --{host_prefix}host 127.0.0.1"
        ) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(found[0][4])
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"port {port} on {host} is in use by another program; choose another one, "
                f"for example --{prefix}port {port + 1 if port < 65535 else port - 1}"
            ) from None
        message = f"cannot listen on {host} port {port} ({error.strerror}); try another --{prefix}port"
        raise InputError(f"{message}, or --{host_prefix}host 127.0.0.1") from None
    return listener


async def _serve(
    settings: Settings,
    model: ModelDescription,
    listeners: Listeners,
    context: ssl.SSLContext | None,
) -> None:
    shutdown, reload, loop = Shutdown(), Reload(settings), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, shutdown.request)
    loop.add_signal_handler(signal.SIGINT, shutdown.force)
    if not os.isatty(0):  # the end of a terminal ends a server that was started in it
        loop.add_signal_handler(signal.SIGHUP, reload.run)
    app = await make_app(settings, model)
    reload.appliers["voice_aliases"] = app[SERVICES].aliases.replace
    runner, notifier = web.AppRunner(app, access_log=None, shutdown_timeout=5), Notifier()
    await runner.setup()
    try:
        await app[ENGINE_LOOP].warm_up()
        watchdog = Watchdog(app[ENGINE_LOOP], settings.watchdog_s, shutdown.fail)
        assert runner.server is not None
        acceptor = Acceptor(runner.server, listeners.http, limit_connections(app), context)
        app[HEALTH].obstacles.append(lambda: acceptor.obstacle)
        acceptor.start()
        wyoming = WyomingServer(app[SERVICES]) if listeners.wyoming else None
        if wyoming and listeners.wyoming:
            await wyoming.start(listeners.wyoming)
        agent = Agent(lambda: describe_load(app)) if listeners.agent else None
        if agent and listeners.agent:
            await agent.start(listeners.agent)
        port = listeners.http.getsockname()[1]
        print(_banner(settings, app, port), flush=True)
        notifier.ready(f"listening on port {port}")
        notifier.send_signs_of_life(lambda: app[ENGINE_LOOP].alive)
        calibration = BackgroundCalibration(settings, app[ENGINE_LOOP])
        calibration.start()
        await shutdown.wait_requested()
        await calibration.stop()
        notifier.stopping()
        await drain(app, shutdown)
        watchdog.stop()
        await acceptor.stop()
        if wyoming:
            await wyoming.stop()
        if agent:
            await agent.stop()
    finally:
        notifier.close()
        await runner.cleanup()


def describe_load(app: web.Application) -> str:
    """For HAProxy: whether new sessions should come here, and how many compared with other servers."""
    engine_loop = app[ENGINE_LOOP]
    obstacle = app[HEALTH].obstacle_now()
    return agent_line(engine_loop.alive, obstacle, engine_loop.capacity, engine_loop.speaking + engine_loop.waiting)


def limit_connections(app: web.Application) -> ConnectionLimits:
    """What the descriptors allow and sessions need. Lowers the number of sessions if descriptors allow fewer."""
    settings, sessions = app[SETTINGS], app[SESSIONS]
    wanted = 2 * settings.max_sessions + 256  # each session may be resumed over a second connection
    total = min(wanted, descriptors.free_for_connections(descriptors.limit()))
    most = max(1, total - SPARE_CONNECTIONS)
    if most < sessions.limit:
        sessions.limit = most
        log.warning(
            "file descriptors allow %d sessions, fewer than --max-sessions %d; raise their limit (ulimit, LimitNOFILE)",
            most,
            settings.max_sessions,
        )
    per_address = settings.max_connections_per_address or max(1, total // 2)
    return ConnectionLimits(total, per_address, settings.trusted_proxies)


async def drain(app: web.Application, shutdown: Shutdown) -> None:
    """Wait for a shutdown request, then let open contexts finish. Exits the process if the engine has failed."""
    await shutdown.wait_requested()
    sessions = app[SESSIONS]
    if not shutdown.forced:
        log.info("shutdown requested; open contexts have %g s to finish", app[SETTINGS].drain_s)
        await shutdown.wait_unless_forced(
            sessions.drain(), app[ENGINE_LOOP].streams.wait_until_idle(), timeout_s=app[SETTINGS].drain_s
        )
    if shutdown.failed:
        await sessions.end_all("internal", "internal error; connect again", CloseCode.INTERNAL, "internal error")
        exit_failed()
    await end_sessions(app)  # while aiohttp still reads: closing handshakes need the clients' answers


def exit_failed() -> NoReturn:
    """Exit without waiting for threads: one that hangs would block the exit, and the process would keep the port."""
    logging.shutdown()
    for child in multiprocessing.active_children():
        child.kill()
    sys.stdout.flush()
    os._exit(os.EX_SOFTWARE)


def _place(model: ModelDescription) -> str:
    return f"in {model.precision.value}" if isinstance(model, Model) else "on engines of their own"


def _banner(settings: Settings, app: web.Application, port: int) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    secure = "s" if settings.tls_cert else ""
    url, stream = f"http{secure}://{host}:{port}", f"ws{secure}://{host}:{port}"
    model, capacity = app[ENGINE_LOOP].model, app[ENGINE_LOOP].capacity
    checkpoint = model.checkpoint
    url_option = "" if port == 8000 and settings.on_loopback and not secure else f" --url {stream}"
    needs_key = app[AUTHENTICATOR].requires_key
    key = "SAYLINE_API_KEY=KEY " if needs_key else ""
    lines = [
        f"Sayline is ready at {url} (programs connect to {stream}/v1/stream).",
        f"  page      {url}/" if page.ROOT in app else "  page      not installed",
        f"  weights   {checkpoint.name}: {checkpoint.reason}; {_place(model)}",
        f"  voices    {', '.join(checkpoint.voices())}",
        f"  capacity  about {capacity} {'listener' if capacity == 1 else 'listeners'} at once (estimated)",
        f"  try       printf 'Hello there. ' | {key}sayline pipe{url_option} -o hello.wav",
        "  stop      Ctrl+C",
    ]
    by_url: dict[str, list[str]] = {}
    for vendor, base_url in page.base_urls(app, url).items():
        by_url.setdefault(base_url, []).append(vendor)
    told = "; ".join(f"{', '.join(vendors)}: {base_url}" for base_url, vendors in by_url.items())
    lines.insert(-2, f"  clients   base URL of {told}")
    if "wyoming" in settings.protocols and settings.wyoming_port:
        lines.insert(-1, f"  Wyoming   {settings.wyoming_host}, port {settings.wyoming_port}, for Home Assistant")
    if needs_key:
        lines.insert(1, "  key       required: make one with `sayline keys add NAME`")
    return "\n".join(lines)
