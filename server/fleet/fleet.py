"""The engines of a front: `SpeechEngine` for speech that is made on other machines.

An utterance waits here, in one queue, until an engine has room for it. If its engine dies, is silent while it owes
frames, or drains, another one goes on at the next frame. It fails only if that happens again and again before any frame
is made, because then the utterance itself may be what engines die of, or if no engine comes back for `ORPHAN_S`.
"""

import asyncio
import logging
import random
import socket
import ssl
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from sayline_tts.engine.errors import Full
from sayline_tts.engine.models.mimi import codec_history_frames
from sayline_tts.engine.models.model_description import ModelDescription
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.utterance import Status, Utterance
from sayline_tts.engine.timing.word_timestamps import WordTimestamps
from sayline_tts.server.access.limits import ANONYMOUS
from sayline_tts.server.fleet import wire
from sayline_tts.server.fleet.assignments import MAX_DEATHS, Assignments
from sayline_tts.server.fleet.engine_directory import EngineDirectory
from sayline_tts.server.fleet.engine_link import Address, EngineLink, LinkOptions
from sayline_tts.server.fleet.remote_utterance import RemoteUtterance
from sayline_tts.server.fleet.voice_bytes import VoiceHashes
from sayline_tts.server.metrics import Metrics
from sayline_tts.server.synthesis.output_stream import Listener, OutputStream
from sayline_tts.server.synthesis.repeat_cache import RepeatCache, RepeatKey
from sayline_tts.server.synthesis.streams import Streams
from sayline_tts.server.synthesis.timeline import Timeline
from sayline_tts.server.voices.store import VoiceStore
from sayline_tts.server.voices.voices import Voices

log = logging.getLogger(__name__)

CHECK_S = 0.05  # between two looks at the engines
ALIVE_S = 0.5  # between two signs of life to each engine
IDLE_SILENCE_S = 3.0  # of an engine without utterances of this front
PATIENCE = 5  # times longer may an engine be silent whose listeners all have enough
RESOLVE_S = 5.0  # between two look-ups of the engines' names
ORPHAN_S = 30.0  # that an utterance waits for an engine that can go on with it
RETRY_MS = 1_000.0  # told when no engine is there
ENCODER_THREADS = 2  # each utterance uses one of them, so its frames stay in order


@dataclass(frozen=True)
class FleetOptions:
    """`engines`: host and port each; a name may have several addresses, and one that begins with `ray://` stands for
    the engines of a cluster. `silence_s`: an engine that owes frames and is silent for this long is left.
    """

    engines: Sequence[tuple[str, int]]
    secret: str = ""
    tls: ssl.SSLContext | None = None
    max_waiting: int = 64
    silence_s: float = 0.2


class Fleet:
    """See `SpeechEngine`. Call it on the event loop that `start` was called on.

    It has more than 20 methods because most of them are properties that report its state to metrics and health checks.
    """

    codec_restarts = 0

    def __init__(
        self,
        model: ModelDescription,
        options: FleetOptions,
        metrics: Metrics | None = None,
        store: VoiceStore | None = None,
        repeats: RepeatCache | None = None,
    ) -> None:
        self.model, self._options, self._metrics = model, options, metrics or Metrics()
        self.voices = Voices(model, store)
        self.streams = Streams(repeats, self._metrics, self._begin, self.wake, self._on_removed)
        self.on_failed: Callable[[], None] = lambda: None  # never called: engines fail, a fleet does not
        self._hashes = VoiceHashes()
        self._directory = EngineDirectory(options.engines)
        self._links: dict[Address, EngineLink] = {}
        self._remotes: dict[Utterance, RemoteUtterance] = {}
        self._assignments: Assignments[RemoteUtterance, EngineLink] = Assignments(
            lambda: self.engines, lambda remote: self._stream(remote).set_queue_position(None), random.Random()
        )
        self._words = WordTimestamps(model.heads.lead_ms / model.frame_ms if model.heads else 0.0)
        self._silence = np.zeros(model.frame_samples, np.float32)
        self._silence.setflags(write=False)
        self._history_frames = codec_history_frames(model.config.mimi)
        self._encoders = [ThreadPoolExecutor(1, f"encoder-{number}") for number in range(ENCODER_THREADS)]
        self._next_encoder = 0
        self._first_engine = asyncio.Event()
        self._flushing: asyncio.Handle | None = None
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        self._loop: asyncio.AbstractEventLoop

    # State

    @property
    def engines(self) -> list[EngineLink]:
        """Those that are connected."""
        return [link for link in self._links.values() if link.connected]

    @property
    def obstacle(self) -> str | None:
        """Why nothing can be spoken; None if it can."""
        return None if any(not link.draining for link in self.engines) else "no engine is connected"

    @property
    def can_extend(self) -> bool:
        """Whether text may grow while it is spoken: if all engines can."""
        return all(link.can_extend for link in self._links.values())

    @property
    def capacity(self) -> int:
        return self._sum(lambda load: load.capacity)

    @property
    def slots(self) -> int:
        return self._sum(lambda load: load.slots)

    @property
    def slots_used(self) -> int:
        return self._sum(lambda load: load.slots_used)

    @property
    def codec_backlog(self) -> int:
        return self._sum(lambda load: load.codec_backlog)

    @property
    def codec_workers(self) -> int:
        return self._sum(lambda load: load.codec_workers)

    @property
    def speaking(self) -> int:
        """Of all fronts."""
        return self._sum(lambda load: load.speaking)

    @property
    def waiting(self) -> int:
        """Of this front."""
        return self._assignments.waiting

    @property
    def alive(self) -> bool:
        return bool(self._tasks) and not any(task.done() for task in self._tasks)

    @property
    def stuck_s(self) -> float:
        """Never: an engine that is stuck is left."""
        return 0.0

    def _sum(self, value: Callable[[wire.Load], int]) -> int:
        return sum(value(link.load) for link in self._links.values() if link.load is not None)

    # Life

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._tasks = [
            asyncio.create_task(self._resolve_names(), name="engine names"),
            asyncio.create_task(self._check_engines(), name="engine checks"),
        ]

    async def warm_up(self) -> None:
        """Wait for the first engine, and have the default voice at hand."""
        if name := self.model.checkpoint.default_voice:
            await self.voice(name)
        if not self.engines:
            log.info("waiting for an engine")
        await self._first_engine.wait()

    async def stop(self) -> None:
        self._stopping = True
        self.voices.cancel()
        self.streams.finish(Status.CANCELLED)
        self._flush()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._directory.close()
        await asyncio.gather(*(link.close() for link in self._links.values()))
        await asyncio.to_thread(self._close_threads)

    def _close_threads(self) -> None:
        for pool in self._encoders:
            pool.shutdown(wait=True)
        self.voices.close()

    async def voice(self, name: str, owner: str = ANONYMOUS) -> Voice:
        voice = await self.voices.get(name, owner)
        await asyncio.to_thread(self._hashes.of, voice)
        return voice

    # Utterances

    def submit(
        self,
        utterance: Utterance,
        listener: Listener[Any],
        on_reclaim: Callable[[], None] = lambda: None,
        key: RepeatKey | None = None,
    ) -> Timeline:
        if not self.alive or self._stopping:
            raise RuntimeError("the fleet has stopped")
        return self.streams.submit(utterance, listener, on_reclaim, key)

    def _begin(self, stream: OutputStream) -> None:
        """Find an engine for the utterance of a new stream, or queue it. Raises `Full`."""
        utterance = stream.utterance
        if not utterance.may_queue or len(self._assignments.queue) >= self._options.max_waiting:
            self.check_room()
        remote = RemoteUtterance(
            utterance, self._words, stream.add, self._next_resolver(), self._silence, self._history_frames
        )
        self.streams.spoken[stream.utterance] = stream
        self._remotes[utterance] = remote
        self._assignments.queue.append(remote)
        self._place_waiting()
        self.wake()

    def check_room(self) -> None:
        if self._assignments.has_room():
            return
        loads = [link.load.retry_after_ms for link in self.engines if link.load is not None and not link.draining]
        after_ms = min(loads, default=RETRY_MS)
        if not loads:
            raise Full(f"no engine is there; try again in {after_ms / 1000:.1f} s", after_ms)
        queued = f" and {len(queue)} queued" if (queue := self._assignments.queue) else ""
        load = f"{self.speaking} utterances are being spoken{queued}"
        raise Full(f"server full: {load}; try again in {after_ms / 1000:.1f} s", after_ms)

    def wake(self) -> None:
        if self._flushing is None:
            self._flushing = self._loop.call_soon(self._flush)
        self.streams.wake_replays()

    def _flush(self) -> None:
        self._flushing = None
        for link in self._links.values():
            link.flush()

    def _next_resolver(self) -> Callable[["Future[np.ndarray]", np.ndarray], object]:
        """Completes futures on a thread, where they are encoded, and which is the same for all of an utterance."""
        pool = self._encoders[self._next_encoder]
        self._next_encoder = (self._next_encoder + 1) % ENCODER_THREADS
        return lambda audio, pcm: pool.submit(audio.set_result, pcm)

    def _on_removed(self, utterance: Utterance) -> None:
        if (remote := self._remotes.pop(utterance, None)) is not None:
            self._assignments.leave(remote)
            remote.cancel()

    def _stream(self, remote: RemoteUtterance) -> OutputStream:
        stream = self.streams.spoken.get(remote.utterance)
        assert stream is not None, "it is on no engine once its stream has closed"
        return stream

    def _place_waiting(self) -> None:
        """Find an engine for all that wait, and tell those their places that still do."""
        self._assignments.place_waiting()
        for position, remote in enumerate(self._assignments.queue, 1):
            if remote.utterance.may_queue:
                self._stream(remote).set_queue_position(position)

    # Engines

    async def _resolve_names(self) -> None:
        """Keep a link to each address of each name."""
        while True:
            found: set[Address] = set()
            for host, port in await self._directory.engines():
                try:
                    infos = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                except OSError as error:
                    log.warning("engine %s: no address (%s)", host, error)
                    found |= {address for address in self._links if (address.host, address.port) == (host, port)}
                else:
                    found |= {Address(host, str(info[4][0]), port) for info in infos}
            for address in found - self._links.keys():
                self._links[address] = self._new_link(address)
            for address in [each for each, link in self._links.items() if each not in found and not link.connected]:
                await self._links.pop(address).close()
            await asyncio.sleep(RESOLVE_S)

    def _new_link(self, address: Address) -> EngineLink:
        checkpoint, options = self.model.checkpoint, self._options
        link_options = LinkOptions(
            checkpoint.name, checkpoint.weights_sha256, options.secret, options.tls, self._hashes.of
        )
        return EngineLink(address, link_options, self._on_tick, self._on_lost)

    async def _check_engines(self) -> None:
        """Leave engines that are silent, and show them that this front is alive."""
        told_s = -ALIVE_S
        due_s = self._loop.time() + CHECK_S
        while True:
            await asyncio.sleep(max(0.0, due_s - self._loop.time()))
            now_s = self._loop.time()
            late_s, due_s = now_s - due_s, now_s + CHECK_S
            if late_s < CHECK_S:  # else this front was busy and may not have read what engines have said
                for link in self.engines:
                    limit_s = self._silence_s(link)
                    if (silent_s := now_s - link.silent_since_s) > limit_s:
                        link.drop(f"silent for {silent_s:.1f} s")
            self._end_orphans(now_s)
            if now_s - told_s >= ALIVE_S:
                told_s = now_s
                for link in self.engines:
                    link.flush(alive=True)

    def _silence_s(self, link: EngineLink) -> float:
        """How long an engine may be silent."""
        if not link.utterances:
            return IDLE_SILENCE_S
        owes = any(remote.is_owed for remote in link.utterances.values())
        return self._options.silence_s * (1 if owes else PATIENCE)

    def _on_tick(self, link: EngineLink, tick: wire.EngineTick) -> None:
        if not self._first_engine.is_set():
            self._first_engine.set()
        for event in tick.events:
            if (remote := link.utterances.get(event.id)) is not None:
                self._on_event(link, remote, event)
        self._metrics.on_engine_load(str(link.address), tick.load.speaking, tick.load.capacity)
        for _ in range(self._assignments.move_away(link) if link.draining else 0):
            self._metrics.on_move("drain")
        if self.waiting:
            self._place_waiting()
            self.wake()

    def _on_event(self, link: EngineLink, remote: RemoteUtterance, event: wire.Event) -> None:
        match event:
            case wire.Frame():
                self._assignments.made_frame(remote)
                remote.on_frame(event)
            case wire.SegmentEnd():
                remote.on_segment_end(event)
            case wire.SilentFrame():
                remote.on_silent_frame()
            case wire.Reclaim():
                self._stream(remote).on_reclaim()
            case wire.Admitted():
                self._stream(remote).timeline.admitted_s = self._loop.time()
            case wire.Ended(rejected=True):
                self._assignments.take_back(link, remote, self._loop.time())
            case _:
                self._assignments.ended(link, event.id)
                remote.on_ended(Status.FINISHED if event.finished else Status.FAILED)

    def _on_lost(self, link: EngineLink, reason: str, died: bool) -> None:
        log.warning("engine %s is lost: %s; %d utterances go on elsewhere", link.address, reason, len(link.utterances))
        self._metrics.on_engine_lost(str(link.address))
        moved, poison = self._assignments.lose(link, died, self._loop.time())
        for _ in moved:
            self._metrics.on_move("death")
        for remote in poison:
            log.error("%d engines were lost one after the other with the same utterance; it ends", MAX_DEATHS)
            remote.on_ended(Status.FAILED)
        self._place_waiting()
        self.wake()

    def _end_orphans(self, now_s: float) -> None:
        for remote in self._assignments.take_overdue(now_s - ORPHAN_S):
            log.error("no engine for an utterance that has begun, for %g s; it ends", ORPHAN_S)
            remote.on_ended(Status.FAILED)
