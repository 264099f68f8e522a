"""Start an engine of a fleet, serve fronts until a signal, and shut down."""

import asyncio
import gc
import logging
import signal
import socket
import sys
from contextlib import nullcontext

import torch

from sayline_tts.engine.models.model import Model
from sayline_tts.server import logs
from sayline_tts.server.access.tls import make_context
from sayline_tts.server.app import make_engine
from sayline_tts.server.engine_monitor import EngineMonitor
from sayline_tts.server.fleet.engine_server import EngineServer
from sayline_tts.server.lifecycle import GIL_SWITCH_INTERVAL_S, bind_socket, exit_failed, find_served_checkpoint
from sayline_tts.server.metrics import Metrics
from sayline_tts.server.network import descriptors
from sayline_tts.server.settings import Settings
from sayline_tts.server.shutdown import Shutdown
from sayline_tts.server.synthesis.engine_loop import EngineLoop
from sayline_tts.server.synthesis.watchdog import Watchdog
from sayline_tts.server.systemd import Notifier

log = logging.getLogger(__name__)


def serve_engine(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises `InputError` for errors that the user can fix."""
    logs.configure(settings.log_format, settings.log_level)
    settings.check_engine_exposure()
    descriptors.raise_limit()
    port = settings.metrics_port
    with (
        bind_socket(settings.host, settings.engine_port, "engine-", "") as listener,
        nullcontext() if port is None else bind_socket(settings.host, port, "metrics-", "") as monitor_listener,
    ):
        torch.set_num_threads(settings.threads)
        sys.setswitchinterval(GIL_SWITCH_INTERVAL_S)
        checkpoint = find_served_checkpoint(settings)
        print(f"Loading the model {checkpoint.name} ...", flush=True)
        model = Model.load(checkpoint, settings.device, settings.precision)
        gc.freeze()  # as in `lifecycle.serve`
        gc.enable()
        asyncio.run(_serve(settings, model, listener, monitor_listener))


async def _serve(
    settings: Settings, model: Model, listener: socket.socket, monitor_listener: socket.socket | None
) -> None:
    shutdown, loop, notifier, metrics = Shutdown(), asyncio.get_running_loop(), Notifier(), Metrics("engine")
    loop.add_signal_handler(signal.SIGTERM, shutdown.request)
    loop.add_signal_handler(signal.SIGINT, shutdown.force)
    engine_loop = EngineLoop(make_engine(settings, model), metrics)
    engine_loop.start()
    server = EngineServer(engine_loop, model, settings.secret)
    monitor = EngineMonitor(server, metrics)
    try:
        await engine_loop.warm_up()
        watchdog = Watchdog(engine_loop, settings.watchdog_s, shutdown.fail)
        await server.start(listener, make_context(settings))
        if monitor_listener is not None:
            await monitor.start(monitor_listener)
            print(f"Metrics and health are at {address(monitor_listener)}.")
        port = listener.getsockname()[1]
        print(f"Sayline's engine is ready at {address(listener)}: {server.describe()}.", flush=True)
        notifier.ready(f"listening on port {port}")
        notifier.send_signs_of_life(lambda: engine_loop.alive)
        await shutdown.wait_requested()
        notifier.stopping()
        if not shutdown.forced:
            log.info("shutdown requested; utterances move to other engines within %g s", settings.drain_s)
            await shutdown.wait_unless_forced(server.drain(), timeout_s=settings.drain_s)
        watchdog.stop()
        if shutdown.failed:
            exit_failed()
    finally:
        notifier.close()
        await server.stop()
        await monitor.stop()
        await engine_loop.stop()


def address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
