"""Assemble the web application: services, routes and hooks."""

from collections.abc import Callable
from importlib import metadata
from typing import cast

from aiohttp import web

from sayline_tts.engine.engine import Engine
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.models.model_description import ModelDescription
from sayline_tts.server.access import middleware
from sayline_tts.server.access.tls import make_client_context
from sayline_tts.server.accounting.ledger import Ledger, UsageFile
from sayline_tts.server.app_state import AppState
from sayline_tts.server.audio.opus import OpusEncoder
from sayline_tts.server.compat import vendors
from sayline_tts.server.compat.services import SERVICES, Services
from sayline_tts.server.fleet.fleet import Fleet, FleetOptions
from sayline_tts.server.http import api, docs, errors, lexicons, monitoring, page, tokens, usage, voices
from sayline_tts.server.http.monitoring import Health
from sayline_tts.server.http.openapi import document
from sayline_tts.server.http.operations import OPERATIONS
from sayline_tts.server.lexicons.store import LexiconStore
from sayline_tts.server.metrics import Metrics
from sayline_tts.server.network import descriptors
from sayline_tts.server.network.http_connection import HANDLER_ARGS
from sayline_tts.server.settings import Settings
from sayline_tts.server.synthesis.engine_loop import EngineLoop
from sayline_tts.server.synthesis.repeat_cache import RepeatCache
from sayline_tts.server.synthesis.speech_engine import SpeechEngine
from sayline_tts.server.tracing import Tracing
from sayline_tts.server.voices.store import VoiceStore
from sayline_tts.server.websocket import asyncapi, messages, protocol
from sayline_tts.server.websocket.handshake import open_stream
from sayline_tts.server.websocket.protocol import CloseCode
from sayline_tts.server.websocket.sessions import STOPPING, Sessions

SETTINGS = web.AppKey("settings", Settings)
ENGINE_LOOP = web.AppKey[SpeechEngine]("engine_loop")
READY = web.AppKey("ready", messages.Ready)
SESSIONS = web.AppKey("sessions", Sessions)
LEDGER = web.AppKey("ledger", Ledger)
TRACING = web.AppKey("tracing", Tracing)


async def make_app(settings: Settings, model: ModelDescription, engine: Engine | None = None) -> web.Application:
    """Build the application. Raises `SettingsError` if exposed without a key, `KeyFileError` for a bad key file."""
    app = web.Application(middlewares=[errors.error_middleware], handler_args=dict(HANDLER_ARGS))
    metrics = Metrics("front" if settings.engines else "server")
    middleware.install(app, settings, metrics.on_reject)
    app[SETTINGS] = settings
    engine_loop = app[ENGINE_LOOP] = _speech_engine(settings, model, metrics, engine)
    app[READY] = _ready(model)
    ledger = app[LEDGER] = Ledger(UsageFile(settings.usage_path))
    tracing = app[TRACING] = Tracing.to_endpoint(settings.otlp_endpoint, _version())
    lexicon_store = LexiconStore(settings.lexicons_path)
    state = AppState(engine_loop, settings, app[middleware.QUOTAS], metrics, ledger, tracing, lexicon_store)
    sessions = app[SESSIONS] = Sessions(state)
    app.add_routes([web.get("/v1/stream", _stream)])
    speech = api.SpeechHandlers(state, lambda: sessions.accepting)
    app.add_routes(api.routes(speech))
    services = app[SERVICES] = Services(state, sessions, speech)
    vendors.add_routes(app, services)
    app.add_routes(voices.routes(engine_loop.voices, settings))
    app.add_routes(lexicons.routes(lexicon_store, settings))
    app.add_routes(usage.routes(ledger))
    app.add_routes([web.post("/v1/tokens", tokens.create)])
    docs.add_routes(app, document(OPERATIONS, _version()))
    health = Health(
        lambda: engine_loop.alive, lambda: sessions.accepting, lambda: _report(app), lambda: sessions.obstacle
    )
    health.obstacles.append(_out_of_descriptors)
    if isinstance(engine_loop, Fleet):
        health.obstacles.append(lambda: engine_loop.obstacle)
    monitoring.add_routes(app, health, metrics, _gauge_sources(engine_loop, sessions))
    asyncapi.add_routes(app, _version())
    page.add_routes(app)
    app.on_response_prepare.append(_set_headers)
    app.on_startup.append(_start)
    app.on_shutdown.append(end_sessions)
    app.on_cleanup.append(_stop)
    return app


def _speech_engine(
    settings: Settings, model: ModelDescription, metrics: Metrics, engine: Engine | None
) -> SpeechEngine:
    store, repeats = VoiceStore(settings.voices_path), RepeatCache(round(settings.cache_mb * 1024 * 1024))
    if settings.engines:
        tls = make_client_context(settings.engine_ca) if settings.engine_ca else None
        silence_s = settings.engine_silence_ms / 1000
        options = FleetOptions(settings.engines, settings.secret, tls, settings.max_waiting, silence_s)
        return Fleet(model, options, metrics, store, repeats)
    return EngineLoop(engine or make_engine(settings, model), metrics, store, repeats, settings.loudness_lufs)


def make_engine(settings: Settings, model: ModelDescription) -> Engine:
    """`model`: with its weights."""
    return Engine(
        cast(Model, model), settings.slots, settings.max_waiting, settings.capacity or None, decode_in_processes=True
    )


def _ready(model: ModelDescription) -> messages.Ready:
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


async def end_sessions(app: web.Application) -> None:
    """Tell every client that the server restarts; aiohttp alone would drop the connections without a message."""
    message = f"{STOPPING}; connect again"
    await app[SESSIONS].end_all("shutting_down", message, CloseCode.RESTART, "the server restarts")


async def _stop(app: web.Application) -> None:
    await app[ENGINE_LOOP].stop()
    await app[LEDGER].close()
    await app[TRACING].close()


async def _set_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Make browsers revalidate files on each load, because the page must match the server's version."""
    response.headers.setdefault("Cache-Control", "no-cache")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")


async def _stream(request: web.Request) -> web.StreamResponse:
    app = request.app
    return await open_stream(request, app[SETTINGS], app[READY], app[SESSIONS])


def _out_of_descriptors() -> str | None:
    return None if descriptors.any_left() else "no file descriptor is left"


def _report(app: web.Application) -> dict[str, object]:
    engine_loop = app[ENGINE_LOOP]
    return {
        "model": app[READY].model,
        "sessions": len(app[SESSIONS]),
        "contexts": len(engine_loop.streams),
        **monitoring.engine_report(engine_loop),
    }


def _gauge_sources(engine_loop: SpeechEngine, sessions: Sessions) -> dict[str, Callable[[], float]]:
    return {
        **monitoring.engine_gauges(engine_loop),
        "sessions": lambda: len(sessions),
        "fronts": lambda: 0,
        "engines": lambda: len(engine_loop.engines) if isinstance(engine_loop, Fleet) else 0,
    }
