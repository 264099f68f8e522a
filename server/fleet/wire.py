"""Messages between fronts and engines: MessagePack behind a length, one `FrontTick` or `EngineTick` at a time.

A connection begins with `Hello` from the engine, `Join` from the front and `Welcome` from the engine. Each proves with
its second message that it knows the secret, without sending it. Then both send ticks: when there is something to say,
and now and then to show that they are alive.

Arrays travel as bytes of float32. An utterance has a number of its own on each engine that it is given to, so whatever
an engine still says of one that was moved is not mistaken for news.
"""

import hashlib
import hmac
import struct
from collections.abc import Iterator
from typing import TypeVar

import msgspec
import numpy as np

from sayline_tts.engine.segment import Sampling, Segment, Silence

VERSION = 1
MAX_MESSAGE_BYTES = 16 * 1024 * 1024  # a second of audio of 1,000 listeners takes half of it
VOICE_PART_BYTES = 256 * 1024  # of a voice in one tick, so that audio and signs of life need not wait for it
_LENGTH = struct.Struct(">I")


class WireError(Exception):
    """The peer does not follow the protocol; the connection ends."""


class Hello(msgspec.Struct, frozen=True):
    """First message of an engine: what it is. `kind`: two of a kind make the same samples of the same utterance."""

    version: int
    model: str
    weights: str  # SHA-256
    kind: str
    can_extend: bool
    nonce: bytes


class Join(msgspec.Struct, frozen=True):
    """First message of a front."""

    version: int
    nonce: bytes
    proof: bytes


class Welcome(msgspec.Struct, frozen=True):
    proof: bytes


class State(msgspec.Struct, frozen=True, array_like=True):
    """Where an utterance stands that another engine has begun: `engine.scheduling.resumption.Resumption`."""

    frames: int
    seed: int
    draws: int
    given: bytes  # [frames, dim]
    given_eos: list[bool]
    decoded_frames: int
    history: bytes  # [frames, dim]


class Start(msgspec.Struct, frozen=True, array_like=True):
    """A new utterance. Of `state`, none if it begins. `trace`: its id in logs."""

    id: int
    voice: bytes  # hash
    sampling: Sampling
    frame_ms: float
    max_lead_ms: float
    guarded: bool
    state: State | None
    trace: str = ""


class Part(msgspec.Struct, frozen=True, array_like=True):
    """A segment or a pause. `index`: its place in the utterance; with the same index again, a longer version of it."""

    id: int
    index: int
    segment: Segment | None
    silent_frames: int = 0


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Where the listener is, in ms of the engine's audio."""

    id: int
    sent_ms: float
    played_ms: float


class VoicePart(msgspec.Struct, frozen=True, array_like=True):
    hash: bytes
    offset: int
    total: int
    data: bytes


class FrontTick(msgspec.Struct, array_like=True):
    """To be applied in the order of its fields."""

    number: int
    voices: list[VoicePart] = []
    dropped_voices: list[bytes] = []
    starts: list[Start] = []
    parts: list[Part] = []
    positions: list[Position] = []
    ends: list[int] = []
    cancels: list[int] = []


class Load(msgspec.Struct, frozen=True, array_like=True):
    capacity: int
    speaking: int
    waiting: int
    slots: int
    slots_used: int
    codec_backlog: int
    codec_workers: int
    codec_restarts: int
    retry_after_ms: float
    draining: bool

    @property
    def free(self) -> int:
        """How many more utterances may speak."""
        return min(self.capacity - self.speaking - self.waiting, self.slots - self.slots_used - self.waiting)


class Frame(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """One frame of speech. `version`: how many versions of its segment had been given to the model, from 1 on."""

    id: int
    version: int
    is_eos: bool
    latent: bytes  # [dim]
    attention: bytes  # [tokens], empty: it was not captured
    pcm: bytes  # [samples]
    seed: int  # of the noise, and how much of it is drawn
    draws: int
    retries: int


class SilentFrame(msgspec.Struct, frozen=True, array_like=True, tag=2):
    id: int


class SegmentEnd(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """The segment has ended; if not at its last frame, then at a step that made none, with this `attention`."""

    id: int
    attention: bytes
    seed: int
    draws: int


class Ended(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """The last word of an utterance. `rejected`: the engine had no room for it."""

    id: int
    finished: bool
    rejected: bool = False


class Reclaim(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """It has had no text for some seconds and others wait for its slot."""

    id: int


class Admitted(msgspec.Struct, frozen=True, array_like=True, tag=6):
    id: int


Event = Frame | SilentFrame | SegmentEnd | Ended | Reclaim | Admitted


class EngineTick(msgspec.Struct, array_like=True):
    """`seen`: number of the last tick of the front that has been applied."""

    number: int
    seen: int
    load: Load
    events: list[Event] = []


Message = TypeVar("Message")
_encoder = msgspec.msgpack.Encoder()


def encode(message: msgspec.Struct) -> bytes:
    body = _encoder.encode(message)
    return _LENGTH.pack(len(body)) + body


class Decoder:
    """Cuts a stream of bytes into messages. Raises `WireError` for one that is too long or not of the type."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take in bytes; yield the bodies of the messages that are complete."""
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > MAX_MESSAGE_BYTES:
                raise WireError(f"a message of {length} bytes, {MAX_MESSAGE_BYTES} are allowed")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            yield body


def decode(body: bytes, kind: type[Message]) -> Message:
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise WireError(f"not a {kind.__name__}: {error}") from None


def proof(secret: str, role: str, nonces: bytes) -> bytes:
    """What only a peer that knows the secret can say about these nonces."""
    return hmac.digest(secret.encode(), role.encode() + nonces, hashlib.sha256)


def silence(part: Part) -> Silence:
    """Raises `WireError` for a pause of no length."""
    if part.silent_frames < 1:
        raise WireError("a pause of no length")
    return Silence(part.silent_frames)


def to_bytes(array: np.ndarray | None) -> bytes:
    return b"" if array is None else np.ascontiguousarray(array, np.float32).tobytes()


def from_bytes(data: bytes) -> np.ndarray | None:
    return np.frombuffer(data, np.float32) if data else None
