"""A front and engines in one process, with fake models and real sockets."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

import numpy as np

from sayline_tts.engine.models.model import Model
from sayline_tts.engine.scheduling.utterance import Status, Utterance
from sayline_tts.engine.segment import Segment, Silence
from sayline_tts.engine.text.chunk import Word
from sayline_tts.engine.timing.word_time_estimator import WordTime
from sayline_tts.server.fleet.engine_server import EngineServer
from sayline_tts.server.fleet.fleet import Fleet, FleetOptions
from sayline_tts.server.metrics import Metrics
from sayline_tts.server.synthesis.engine_loop import EngineLoop
from tests.server.fakes import FakeEngine

HOST = "127.0.0.1"
WAIT_S = 20.0


class Ear:
    """Keeps what it hears. `on_heard` is called after each frame."""

    def __init__(self) -> None:
        self.pcm: list[np.ndarray] = []
        self.words: list[WordTime] = []
        self.parts: list[Segment | Silence] = []
        self.positions: list[int | None] = []
        self.status: Status | None = None
        self.changed = asyncio.Event()
        self.on_heard: Callable[[], object] = lambda: None

    def encode(self, pcm: np.ndarray) -> np.ndarray:
        return pcm.copy()

    def end_part(self) -> None:
        pass

    def on_queue_position(self, position: int | None) -> None:
        self.positions.append(position)
        self.changed.set()

    def on_frame(self, encoded: np.ndarray) -> None:
        self.pcm.append(encoded)
        self.changed.set()
        self.on_heard()

    def on_part_end(self, encoded: None) -> None:
        pass

    def on_word(self, time: WordTime) -> None:
        self.words.append(time)

    def on_segment(self, segment: Segment, start_ms: float, end_ms: float) -> None:
        self.parts.append(segment)

    def on_silence(self, silence: Silence) -> None:
        self.parts.append(silence)

    def on_ended(self, status: Status) -> None:
        self.status = status
        self.changed.set()

    async def wait(self, condition: Any) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def ended(self) -> Status:
        await self.wait(lambda: self.status is not None)
        assert self.status is not None
        return self.status


class TestEngine:
    """One engine of the fleet."""

    __test__ = False

    def __init__(self, engine: Any, secret: str = "", port: int = 0) -> None:
        self.engine = engine
        self.loop = EngineLoop(engine)
        self.server = EngineServer(self.loop, cast(Model, engine.model), secret)
        self.listener = socket.create_server((HOST, port))
        self.port = self.listener.getsockname()[1]

    async def start(self, tls: Any = None) -> None:
        self.loop.start()
        await self.server.start(self.listener, tls)

    @property
    def utterances(self) -> int:
        return sum(len(each.streams) for each in self.server._connections)

    def kill(self) -> None:
        """As if its process had died: no connection, and no new one."""
        assert self.server._server is not None
        self.server._server.close()
        self.cut()

    def cut(self) -> None:
        """End its connections."""
        for connection in list(self.server._connections):
            connection._writer.transport.abort()

    async def stop(self) -> None:
        await self.server.stop()
        await self.loop.stop()


async def until(condition: Any) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - conditions have no event
            await asyncio.sleep(0.005)


@asynccontextmanager
async def fleet_of(*engines: TestEngine, metrics: Metrics | None = None, **options: Any) -> AsyncIterator[Fleet]:
    """A front of these engines, which are all connected."""
    async with AsyncExitStack() as stack:
        for engine in engines:
            await engine.start()
            stack.push_async_callback(engine.stop)
        addresses = [(HOST, engine.port) for engine in engines]
        fleet = Fleet(engines[0].engine.model, FleetOptions(addresses, **{"silence_s": 5.0, **options}), metrics)
        fleet.start()
        stack.push_async_callback(fleet.stop)
        await until(lambda: len(fleet.engines) == len(engines))
        await fleet.warm_up()
        yield fleet


def fake_engines(count: int, **options: Any) -> list[TestEngine]:
    return [TestEngine(FakeEngine(**options)) for _ in range(count)]


def words_of(text: str) -> list[Word]:
    return [Word(each.group(), *each.span(), each.group()) for each in re.finditer(r"\S+", text)]


async def make(
    fleet: Any, *texts: str | int, seed: int = 0, end: bool = True, words: bool = False, **options: Any
) -> Utterance:
    """An utterance of texts, and pauses of so many frames. `words`: whose times are told."""
    model = fleet.model
    voice = await fleet.voice(model.checkpoint.default_voice)
    utterance = Utterance(voice, model.sampling(seed=seed), **options)
    for text in texts:
        if isinstance(text, int):
            utterance.add(Silence(text))
        else:
            utterance.add(model.segment(text, words=words_of(text) if words else ()))
    if end:
        utterance.end()
    return utterance
