"""An engine's own metrics and health, and its lines in the log."""

import asyncio
import io
import json
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest

from sayline_tts.server import logs
from sayline_tts.server.app import ENGINE_LOOP, make_app
from sayline_tts.server.engine_monitor import EngineMonitor
from sayline_tts.server.metrics import Metrics
from sayline_tts.server.settings import Settings
from tests.server.fleet.harness import HOST, Ear, TestEngine, fake_engines, fleet_of, make, until
from tests.server.stream_client import connected_client, serving

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"


class Monitored:
    """An engine with a monitor, and a client of it."""

    def __init__(self, engine: TestEngine, client: aiohttp.ClientSession, address: str) -> None:
        self.engine, self._client, self._address = engine, client, address

    async def get(self, path: str) -> tuple[int, str]:
        async with self._client.get(f"http://{self._address}{path}") as response:
            return response.status, await response.text()

    async def metrics(self) -> list[str]:
        status, text = await self.get("/metrics")
        assert status == 200
        return text.splitlines()


@pytest.fixture
async def monitored() -> AsyncIterator[Monitored]:
    metrics = Metrics("engine")
    (engine,) = fake_engines(1)
    engine.loop._metrics = metrics
    monitor = EngineMonitor(engine.server, metrics)
    listener = socket.create_server((HOST, 0))
    await monitor.start(listener)
    async with aiohttp.ClientSession() as client:
        yield Monitored(engine, client, f"{HOST}:{listener.getsockname()[1]}")
    await monitor.stop()


async def test_engine_tells_its_load_its_steps_and_its_fronts(monitored: Monitored) -> None:
    ear = Ear()
    async with fleet_of(monitored.engine) as fleet:
        fleet.submit(await make(fleet, "One two."), ear)
        await ear.ended()
        lines = await monitored.metrics()
        assert 'sayline_process_info{role="engine"} 1.0' in lines
        assert "sayline_fronts 1.0" in lines
        assert f"sayline_capacity {fleet.capacity:.1f}" in lines
        steps = next(line for line in lines if line.startswith('sayline_step_seconds_count{kind="go_on"}'))
        assert float(steps.split()[1]) > 0
        status, text = await monitored.get("/healthz")
        report = json.loads(text)
        assert (status, report["status"], report["fronts"], report["capacity"]) == (200, "ok", 1, fleet.capacity)
    await until(lambda: not monitored.engine.server.fronts)


async def test_draining_engine_is_alive_and_not_ready(monitored: Monitored) -> None:
    ear = Ear()
    async with fleet_of(monitored.engine) as fleet:
        assert (await monitored.get("/readyz"))[0] == 200
        utterance = await make(fleet, "One two.", end=False)
        fleet.submit(utterance, ear)
        await ear.wait(lambda: ear.pcm)
        draining = asyncio.create_task(monitored.engine.server.drain())
        await until(lambda: monitored.engine.server.draining)
        status, text = await monitored.get("/readyz")
        assert (status, json.loads(text)) == (503, {"status": "stopping", "reason": "this engine stops"})
        assert (await monitored.get("/healthz"))[0] == 200
        utterance.end()
        fleet.wake()
        await draining
        await ear.ended()


async def test_engine_that_has_failed_is_not_alive(monitored: Monitored) -> None:
    await monitored.engine.start()
    assert (await monitored.get("/healthz"))[0] == 200
    await monitored.engine.stop()
    assert [(await monitored.get(path))[0] for path in ("/healthz", "/readyz")] == [503, 503]


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    stream = io.StringIO()
    logs.configure("json", "debug", stream)
    yield stream
    logging.captureWarnings(False)
    logger.handlers[:], logger.level = handlers, level


def told(lines: io.StringIO, **fields: str) -> list[str]:
    """Messages of the lines that have these fields."""
    found: list[dict[str, Any]] = [json.loads(line) for line in lines.getvalue().splitlines()]
    return [line["message"] for line in found if fields.items() <= line.items()]


async def test_one_trace_id_follows_an_utterance_through_front_and_engines(lines: io.StringIO) -> None:
    engines = fake_engines(2)
    for each in engines:
        await each.start()
    addresses = ",".join(f"{HOST}:{each.port}" for each in engines)
    app = await make_app(Settings.load(engines=addresses), engines[0].engine.model)
    async with serving(app) as address, connected_client(address) as client:
        await until(lambda: len(app[ENGINE_LOOP].engines) == 2)  # type: ignore[attr-defined]
        await client.speak("One two three four five six.", traceparent=TRACEPARENT, max_lead_ms=160)
        await client.receive_until("audio")
        (engine,) = (each for each in engines if each.utterances)
        engine.cut()
        await client.receive_until_final()
        await client.speak("Good bye.", "other")
        await client.receive_until_final("other")
    for each in engines:
        await each.stop()
    front, step = "sayline_tts.server.fleet.engine_link", "sayline_tts.server.fleet.step_stream"
    sessions = {json.loads(line)["session"] for line in lines.getvalue().splitlines() if f'"{front}"' in line}
    (session,) = sessions - {"-"}
    begins, goes_on = told(lines, logger=front, trace=TRACE_ID, session=session)
    assert "begins an utterance" in begins
    assert "goes on with an utterance" in goes_on
    made = told(lines, logger=step, trace=TRACE_ID)
    assert made[0] == "utterance 1 begins at 0 ms"
    assert (
        len([line for line in made if "begins at" in line]) == len([line for line in made if "ends here" in line]) == 2
    )
    others = {json.loads(line)["trace"] for line in lines.getvalue().splitlines() if f'"{step}"' in line}
    assert len(others) == 2
