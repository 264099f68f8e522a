import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import aiohttp
import pytest
from websockets.exceptions import ConnectionClosed

from sayline_tts.server.app import make_app
from sayline_tts.server.compat.services import SERVICES
from sayline_tts.server.lifecycle import serve
from sayline_tts.server.settings import Settings, SettingsError
from tests.server.fakes import FakeEngine, FakeModel
from tests.server.stream_client import Server, StreamClient, accepting, connected_client


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
                "codec_workers": 2,
                "codec_restarts": 0,
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


async def test_exposure_without_key_is_rejected_at_startup(engine: FakeEngine) -> None:
    with pytest.raises(SettingsError, match="insecure twice"):
        await make_app(Settings.load(host="0.0.0.0"), engine.model, engine)
    with pytest.raises(SettingsError, match="insecure twice"):
        serve(Settings.load(host="0.0.0.0", insecure=1))


@asynccontextmanager
async def stoppable(engine: FakeEngine) -> AsyncIterator[Server]:
    async with accepting(await make_app(Settings(), engine.model, engine)) as server:
        yield server


async def closing(one: StreamClient) -> tuple[int | None, str | None]:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await one.receive()
    return one.socket.close_code, one.socket.close_reason


async def test_shutdown_ends_every_context_and_closes(engine: FakeEngine) -> None:
    async with stoppable(engine) as server, connected_client(server.address) as one:
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
    monkeypatch.setattr("sayline_tts.server.websocket.socket_connection.CLOSE_TIMEOUT_S", 0.1)
    stuck = asyncio.Event()

    async def never(socket: object, data: object) -> None:
        stuck.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("aiohttp.web.WebSocketResponse.send_bytes", never)
    async with stoppable(engine) as server, connected_client(server.address, close_timeout=0.1) as deaf:
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


async def test_aliases_that_are_replaced_hold_for_every_endpoint(engine: FakeEngine) -> None:
    app = await make_app(Settings(), engine.model, engine)
    app[SERVICES].aliases.replace([("Rachel", "bob")])
    async with accepting(app) as server, aiohttp.ClientSession() as client:
        body = {"model": "tts-1", "voice": "Rachel", "input": "Hello there.", "response_format": "pcm"}
        async with client.post(f"http://{server.address}/v1/audio/speech", json=body) as response:
            assert response.status == 200
    assert cast(FakeModel, engine.model).loaded == ["bob"]
