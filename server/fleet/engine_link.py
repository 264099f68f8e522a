"""A front's connection to one engine: it is kept up, and made again when it is lost."""

import asyncio
import logging
import secrets
import ssl
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from sayline_tts.engine.models.voice import Voice
from sayline_tts.server.fleet import voice_bytes, wire
from sayline_tts.server.fleet.bodies import Bodies
from sayline_tts.server.fleet.placement import Candidate
from sayline_tts.server.fleet.remote_utterance import RemoteUtterance
from sayline_tts.server.fleet.wire import WireError

log = logging.getLogger(__name__)

HANDSHAKE_S = 3.0
RETRY_S = (0.1, 2.0)  # between two attempts to connect: the first and the longest
MAX_UNSENT_BYTES = 4 * 1024 * 1024  # more than texts and a voice ever are: the engine does not read
VOICES_BYTES = 256 * 1024 * 1024  # of voices that the engine keeps for this front
UPLOAD_S = 0.005  # between two parts of a voice


@dataclass(frozen=True)
class LinkOptions:
    """What all links of a front share. `weights`: SHA-256 of the model's. `tls` None: without."""

    model: str
    weights: str
    secret: str
    tls: ssl.SSLContext | None
    hash_of: Callable[[Voice], bytes]


@dataclass(frozen=True)
class Address:
    host: str  # as given, for TLS
    ip: str
    port: int

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


class EngineLink:
    """`on_lost` is called when a connection that was up has ended: why, and whether the engine has ended it."""

    def __init__(
        self,
        address: Address,
        options: LinkOptions,
        on_tick: Callable[["EngineLink", wire.EngineTick], None],
        on_lost: Callable[["EngineLink", str, bool], None],
    ) -> None:
        self.address, self._options = address, options
        self._on_tick, self._on_lost = on_tick, on_lost
        self.utterances: dict[int, RemoteUtterance] = {}  # by their numbers here
        self.load: wire.Load | None = None  # None: not connected
        self._heard_s = 0.0  # loop time
        self._unseen: deque[tuple[int, float]] = deque()  # ticks that the engine has not confirmed, and when they went
        self._hello: wire.Hello | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._loop = asyncio.get_running_loop()
        self._next_id = 0
        self._ticks = 0
        self._uncounted: deque[int] = deque()  # ticks that placed utterances, not in `load` yet
        self._starting: list[RemoteUtterance] = []
        self._cancelled: list[int] = []
        self._voices: OrderedDict[bytes, int] = OrderedDict()  # that the engine has: bytes, by last use
        self._uploads: deque[tuple[bytes, bytes, int]] = deque()  # hash, all bytes, sent so far
        self._upload_timer: asyncio.TimerHandle | None = None
        self._task = asyncio.create_task(self._run(), name=f"engine {address}")

    @property
    def connected(self) -> bool:
        return self.load is not None

    @property
    def silent_since_s(self) -> float:
        """Loop time since which the engine has said nothing, or has not confirmed what it was told.

        The second is a line that is cut in one direction. While a voice is on its way, confirmations may be late.
        """
        return min(self._heard_s, self._unseen[0][1]) if self._unseen and not self._uploads else self._heard_s

    @property
    def draining(self) -> bool:
        return self.load is not None and self.load.draining

    @property
    def can_extend(self) -> bool:
        return self._hello is None or self._hello.can_extend

    @property
    def candidate(self) -> Candidate:
        assert self.load is not None, "not connected"
        assert self._hello is not None, "not connected"
        return Candidate(self._hello.kind, self.load, len(self._uncounted) + len(self._starting))

    def place(self, remote: RemoteUtterance) -> None:
        """Give an utterance to this engine, with the next tick."""
        self._next_id += 1
        remote.id = self._next_id
        self.utterances[remote.id] = remote
        self._starting.append(remote)

    def remove(self, remote: RemoteUtterance) -> None:
        """Take an utterance away from this engine."""
        del self.utterances[remote.id]
        if remote in self._starting:
            self._starting.remove(remote)
        else:
            self._cancelled.append(remote.id)

    def forget(self, number: int) -> None:
        """Cancel what has been placed elsewhere under another number."""
        self._cancelled.append(number)

    def take_all(self) -> list[RemoteUtterance]:
        """Take all utterances away from an engine that is lost."""
        taken = list(self.utterances.values())
        self.utterances.clear()
        self._starting.clear()
        return taken

    def flush(self, alive: bool = False) -> None:
        """Send what is new. `alive`: also if nothing is, as a sign of life."""
        if self._writer is None or self._hello is None or self.load is None:
            return
        if self._writer.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.drop("it does not read")
            return
        tick = wire.FrontTick(self._ticks + 1)
        tick.dropped_voices = self._dropped_voices()
        tick.voices = self._voice_parts()
        tick.starts = self._starts(self._hello.kind)
        now_ms = self._loop.time() * 1000
        for remote in self.utterances.values():
            if remote in self._starting:
                continue
            tick.parts += remote.new_parts()
            if (position := remote.new_position(now_ms)) is not None:
                tick.positions.append(position)
            if remote.new_end():
                tick.ends.append(remote.id)
        tick.cancels, self._cancelled = self._cancelled, []
        if alive or any((tick.voices, tick.starts, tick.parts, tick.positions, tick.ends, tick.cancels)):
            self._ticks += 1
            self._uncounted += [self._ticks] * len(tick.starts)
            self._unseen.append((self._ticks, self._loop.time()))
            self._writer.write(wire.encode(tick))

    def drop(self, reason: str) -> None:
        """End the connection; another one is made."""
        if self._writer is not None:
            self._writer.transport.abort()
        if self.connected:
            self._disconnect()
            self._on_lost(self, reason, False)

    async def close(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    # The connection

    async def _run(self) -> None:
        wait_s = RETRY_S[0]
        try:
            while True:
                reason = await self._connect_and_read()
                if self.connected:
                    wait_s = RETRY_S[0]
                    self._disconnect()
                    self._on_lost(self, reason, True)
                else:
                    log.debug("engine %s: %s", self.address, reason)
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, RETRY_S[1])
        finally:
            self._disconnect()

    async def _connect_and_read(self) -> str:
        """Serve one connection. Returns why it has ended."""
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                bodies, hello = await self._shake_hands()
            self._hello = hello
            while self._hello is not None:
                self._take(wire.decode(await bodies.next(), wire.EngineTick))
            return "dropped"
        except TimeoutError:  # is an `OSError` too
            return "it does not answer"
        except OSError as error:
            return str(error) or type(error).__name__
        except WireError as error:
            log.warning("engine %s: %s", self.address, error)
            return str(error)
        finally:
            if self._writer is not None:
                self._writer.transport.abort()
                self._writer = None

    async def _shake_hands(self) -> tuple[Bodies, wire.Hello]:
        """Connect. Raises `WireError` for an engine that is another's, or does not know the secret."""
        address, options = self.address, self._options
        server_hostname = address.host if options.tls else None
        reader, self._writer = await asyncio.open_connection(
            address.ip, address.port, ssl=options.tls, server_hostname=server_hostname
        )
        bodies = Bodies(reader)
        hello = wire.decode(await bodies.next(), wire.Hello)
        self._check(hello)
        nonce = secrets.token_bytes(16)
        proof = wire.proof(options.secret, "front", hello.nonce + nonce)
        self._writer.write(wire.encode(wire.Join(wire.VERSION, nonce, proof)))
        welcome = wire.decode(await bodies.next(), wire.Welcome)
        if not secrets.compare_digest(welcome.proof, wire.proof(options.secret, "engine", nonce + hello.nonce)):
            raise WireError("it does not know the secret of --engine-secret")
        return bodies, hello

    def _check(self, hello: wire.Hello) -> None:
        options = self._options
        if hello.version != wire.VERSION:
            raise WireError(f"it speaks version {hello.version} of the protocol, this front {wire.VERSION}")
        if hello.weights != options.weights:
            raise WireError(f"its weights ({hello.model}) are not those of this front ({options.model})")

    def _take(self, tick: wire.EngineTick) -> None:
        self._heard_s, self.load = self._loop.time(), tick.load
        while self._unseen and self._unseen[0][0] <= tick.seen:
            self._unseen.popleft()
        while self._uncounted and self._uncounted[0] <= tick.seen:
            self._uncounted.popleft()
        self._on_tick(self, tick)

    def _disconnect(self) -> None:
        self._hello = self.load = None
        self._ticks = 0
        for each in (self._uncounted, self._unseen, self._voices, self._uploads, self._cancelled):
            each.clear()
        if self._upload_timer is not None:
            self._upload_timer.cancel()
            self._upload_timer = None

    # What a tick holds

    def _starts(self, kind: str) -> list[wire.Start]:
        """The utterances whose voice the engine has once it has read this tick."""
        uploading = {name for name, *_ in self._uploads}
        starts, waiting = [], []
        for remote in self._starting:
            voice = self._options.hash_of(remote.utterance.voice)
            if voice not in self._voices:
                data = voice_bytes.to_bytes(remote.utterance.voice)
                self._voices[voice] = len(data)
                self._uploads.append((voice, data, 0))
                uploading.add(voice)
            self._voices.move_to_end(voice)
            if voice in uploading:
                waiting.append(remote)
            else:
                starts.append(remote.start(remote.id, kind, voice))
                self._log_start(remote)
        self._starting = waiting
        if self._uploads and self._upload_timer is None:
            self._upload_timer = self._loop.call_later(UPLOAD_S, self._on_upload)
        return starts

    def _log_start(self, remote: RemoteUtterance) -> None:
        level, done = (logging.INFO, "goes on with") if remote.begun else (logging.DEBUG, "begins")
        remote.log_context.run(log.log, level, "engine %s %s an utterance, number %d", self.address, done, remote.id)

    def _voice_parts(self) -> list[wire.VoicePart]:
        if not self._uploads:
            return []
        name, data, offset = self._uploads.popleft()
        part = data[offset : offset + wire.VOICE_PART_BYTES]
        if offset + len(part) < len(data):
            self._uploads.appendleft((name, data, offset + len(part)))
        return [wire.VoicePart(name, offset, len(data), part)]

    def _on_upload(self) -> None:
        self._upload_timer = None
        self.flush()

    def _dropped_voices(self) -> list[bytes]:
        dropped: list[bytes] = []
        if sum(self._voices.values()) > VOICES_BYTES:
            used = {self._options.hash_of(remote.utterance.voice) for remote in self.utterances.values()}
            dropped = [name for name in self._voices if name not in used][:1]
            for name in dropped:
                del self._voices[name]
        return dropped
