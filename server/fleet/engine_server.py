"""An engine that speaks for fronts on other machines: see `wire` for the protocol."""

import asyncio
import logging
import secrets
import socket
import ssl

import torch

from sayline_tts.engine.errors import Full
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.resumption import GivenFrame, NoisePosition, Resumption
from sayline_tts.engine.scheduling.utterance import Utterance
from sayline_tts.server.fleet import voice_bytes, wire
from sayline_tts.server.fleet.bodies import Bodies
from sayline_tts.server.fleet.reported_playback import ReportedPlayback
from sayline_tts.server.fleet.step_stream import StepStream
from sayline_tts.server.fleet.wire import WireError
from sayline_tts.server.logs import in_trace
from sayline_tts.server.synthesis.engine_loop import EngineLoop
from sayline_tts.server.synthesis.output_stream import OutputStream

log = logging.getLogger(__name__)

HANDSHAKE_S = 3.0
TICK_S = 0.05  # between two signs of life, at most
FRONT_SILENCE_S = 5.0  # after which a front is taken for dead
MAX_UNSENT_BYTES = 32 * 1024 * 1024  # of a front that reads nothing; each utterance stops at its lead before
MAX_CONNECTIONS = 256


class EngineServer:
    """Serves fronts on one engine loop, which runs already. `kind`: see `wire.Hello`."""

    def __init__(self, engine_loop: EngineLoop, model: Model, secret: str = "") -> None:
        self.engine_loop, self.model, self.secret = engine_loop, model, secret
        self.draining = False
        self._connections: set[FrontConnection] = set()
        self._empty = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def start(self, listener: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        self._server = await asyncio.start_server(self._serve, sock=listener, ssl=tls)

    async def drain(self) -> None:
        """Take nothing new, and wait until fronts have moved all utterances or these have ended."""
        self.draining = True
        for connection in self._connections:
            connection.flush()
        while any(connection.streams for connection in self._connections):
            self._empty.clear()
            await self._empty.wait()

    async def stop(self) -> None:
        """End all connections: fronts have what is left spoken elsewhere."""
        if self._server is not None:
            self._server.close()
            for connection in list(self._connections):
                connection.close()
            await self._server.wait_closed()

    @property
    def fronts(self) -> int:
        """How many are connected."""
        return len(self._connections)

    @property
    def load(self) -> wire.Load:
        loop = self.engine_loop
        speaking, capacity = loop.speaking, loop.capacity
        full = speaking + loop.waiting >= capacity
        return wire.Load(
            capacity, speaking, loop.waiting, loop.slots, loop.slots_used, loop.codec_backlog, loop.codec_workers,
            loop.codec_restarts, loop.retry_after_ms if full else 0.0, self.draining,
        )  # fmt: skip

    @property
    def hello(self) -> wire.Hello:
        model = self.model
        kind = f"{model.precision.value} {model.device.type} {model.isa}"
        checkpoint = model.checkpoint
        return wire.Hello(
            wire.VERSION, checkpoint.name, checkpoint.weights_sha256, kind, self.engine_loop.can_extend,
            secrets.token_bytes(16),
        )  # fmt: skip

    def describe(self) -> str:
        """For people: what it speaks with, and how much."""
        return f"{self.model.checkpoint.name}, {self.hello.kind}, about {self.engine_loop.capacity} listeners at once"

    def on_utterance_ended(self) -> None:
        self._empty.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        try:
            if len(self._connections) >= MAX_CONNECTIONS:
                raise WireError(f"{MAX_CONNECTIONS} fronts are connected")
            bodies = Bodies(reader)
            async with asyncio.timeout(HANDSHAKE_S):
                await self._shake_hands(bodies, writer)
            connection = FrontConnection(self, writer)
            self._connections.add(connection)
            log.info("front %s is connected", peer)
            try:
                await connection.run(bodies)
            finally:
                self._connections.discard(connection)
                connection.close()
        except (OSError, TimeoutError) as error:
            log.info("front %s is gone: %s", peer, str(error) or "it is silent")
        except WireError as error:
            log.warning("front %s: %s", peer, error)
        except Exception:
            log.exception("the connection of front %s failed; its utterances end here", peer)
        finally:
            writer.transport.abort()

    async def _shake_hands(self, bodies: Bodies, writer: asyncio.StreamWriter) -> None:
        """Raises `WireError` for a front that does not know the secret."""
        hello = self.hello
        writer.write(wire.encode(hello))
        join = wire.decode(await bodies.next(), wire.Join)
        if join.version != wire.VERSION:
            raise WireError(f"it speaks version {join.version} of the protocol, this engine {wire.VERSION}")
        if not secrets.compare_digest(join.proof, wire.proof(self.secret, "front", hello.nonce + join.nonce)):
            raise WireError("it does not know the secret of --engine-secret")
        writer.write(wire.encode(wire.Welcome(wire.proof(self.secret, "engine", join.nonce + hello.nonce))))


class FrontConnection:
    """The utterances of one front."""

    def __init__(self, server: EngineServer, writer: asyncio.StreamWriter) -> None:
        self._server, self._writer = server, writer
        self.streams: dict[int, StepStream] = {}
        self._playbacks: dict[int, ReportedPlayback] = {}
        self._voices: dict[bytes, Voice] = {}
        self._uploads: dict[bytes, bytearray] = {}
        self._events: list[wire.Event] = []
        self._loop = asyncio.get_running_loop()
        self._seen = self._ticks = 0
        self._flushing: asyncio.Handle | None = None
        self._timer = self._loop.call_later(TICK_S, self._on_timer)
        self._closed = False
        transformer = server.model.config.flow_lm.transformer
        self._voice_shape = transformer.num_layers, transformer.kv_heads, transformer.head_dim
        self.flush()

    async def run(self, bodies: Bodies) -> None:
        """Apply ticks until the front is gone. Raises `OSError`, `TimeoutError`, `WireError`."""
        while True:
            async with asyncio.timeout(FRONT_SILENCE_S):
                body = await bodies.next()
            self._apply(wire.decode(body, wire.FrontTick))

    def close(self) -> None:
        """Cancel all utterances. Idempotent."""
        self._closed = True
        self._timer.cancel()
        for stream in list(self.streams.values()):
            stream.close()
        self._writer.transport.abort()

    def flush(self) -> None:
        """Send what there is, or a sign of life."""
        self._flushing = None
        if self._closed:
            return
        if self._writer.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            log.warning("a front does not read; it is left")
            self.close()
            return
        self._ticks += 1
        self._writer.write(wire.encode(wire.EngineTick(self._ticks, self._seen, self._server.load, self._events)))
        self._events = []

    def _on_timer(self) -> None:
        self._timer = self._loop.call_later(TICK_S, self._on_timer)
        self.flush()

    def _post(self, event: wire.Event) -> None:
        self._events.append(event)
        if self._flushing is None:
            self._flushing = self._loop.call_soon(self.flush)

    # What a front says

    def _apply(self, tick: wire.FrontTick) -> None:
        self._seen = tick.number
        for voice_part in tick.voices:
            self._take_voice(voice_part)
        for name in tick.dropped_voices:
            self._voices.pop(name, None)
        for start in tick.starts:
            self._begin(start)
        for part in tick.parts:
            if (stream := self.streams.get(part.id)) is not None:
                self._take_part(stream, part)
        for position in tick.positions:
            if position.id in self._playbacks:
                self._playbacks[position.id].report(position.sent_ms, position.played_ms)
        for number in tick.ends:
            if (stream := self.streams.get(number)) is not None:
                stream.utterance.end()
        for number in tick.cancels:
            if (stream := self.streams.get(number)) is not None:
                stream.close()
        self._server.engine_loop.wake()

    def _take_part(self, stream: StepStream, part: wire.Part) -> None:
        """An utterance asserts what its own process guarantees; a front may break it."""
        try:
            stream.take_part(part)
        except (AssertionError, IndexError) as error:
            raise WireError(f"a change of a text that does not fit: {error}") from None

    def _take_voice(self, part: wire.VoicePart) -> None:
        data = self._uploads.setdefault(part.hash, bytearray())
        if part.total > voice_bytes.MAX_VOICE_BYTES or part.offset != len(data):
            raise WireError("a part of a voice that does not fit")
        data += part.data
        if len(data) < part.total:
            return
        whole = bytes(self._uploads.pop(part.hash))
        if voice_bytes.voice_hash(whole) != part.hash:
            raise WireError("a voice that is not what its hash says")
        self._voices[part.hash] = voice_bytes.from_bytes(whole, self._voice_shape)

    def _begin(self, start: wire.Start) -> None:
        if start.id in self.streams:
            raise WireError(f"utterance {start.id} exists")
        if (voice := self._voices.get(start.voice)) is None:
            raise WireError("an utterance in a voice that was not sent")
        playback = ReportedPlayback(lambda: self._loop.time() * 1000)
        utterance = Utterance(
            voice,
            start.sampling,
            frame_ms=start.frame_ms,
            playback=playback,
            max_lead_ms=start.max_lead_ms,
            guarded=start.guarded,
        )
        if start.state is not None:
            utterance.resume(self._resumption(start.state))
            playback.report(utterance.produced_ms, utterance.produced_ms)
        with in_trace(start.trace):
            stream = StepStream(start.id, utterance, self._post, self._on_closed)
        try:
            if self._server.draining:
                raise Full("this engine stops", 0.0)
            self._server.engine_loop.add_stream(stream)
        except Full:
            self._post(wire.Ended(start.id, False, rejected=True))
            return
        self.streams[start.id], self._playbacks[start.id] = stream, playback

    def _resumption(self, state: wire.State) -> Resumption:
        dim = self._server.model.config.mimi.quantizer.dimension
        try:
            given, history = (
                torch.frombuffer(bytearray(data), dtype=torch.float32).view(-1, dim) if data else torch.zeros(0, dim)
                for data in (state.given, state.history)
            )
            frames = tuple(GivenFrame(*pair) for pair in zip(given, state.given_eos, strict=True))
        except (RuntimeError, ValueError) as error:
            raise WireError(f"a state that does not fit this model: {error}") from None
        noise = NoisePosition(state.seed, state.draws)
        return Resumption(state.frames, noise, frames, state.decoded_frames, history)

    def _on_closed(self, stream: OutputStream) -> None:
        assert isinstance(stream, StepStream)
        self.streams.pop(stream.number, None)
        self._playbacks.pop(stream.number, None)
        self._server.engine_loop.streams.remove(stream)
        self._server.on_utterance_ended()
