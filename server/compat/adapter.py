"""What the protocol file of a vendor implements: its messages to the native ones, and native events to its messages.

An adapter does no I/O and knows no rules of the server: `AdapterConnection` loads voices, encodes audio, waits for room
and reports failures as final `Error` events. Ids of contexts are the adapter's own, so that a client's id may have any
form and be reused at any time.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, runtime_checkable

import msgspec

from sayline_tts.engine.audio.recording import SAMPLE_RATE_HZ
from sayline_tts.engine.audio.time_stretch import MAX_SPEED, MIN_SPEED
from sayline_tts.server.audio.formats import FORMAT_SPECS, Format, FormatError
from sayline_tts.server.json_input import decode_json
from sayline_tts.server.websocket.messages import (
    Audio,
    Cancel,
    Cancelled,
    Done,
    End,
    Error,
    Flush,
    Flushed,
    Segment,
    Start,
    Text,
    Word,
)
from sayline_tts.server.websocket.outbox import CloseConnection, Frame
from sayline_tts.server.websocket.protocol import ProtocolError

FRAME_MS = 80
FRAME_SAMPLES = SAMPLE_RATE_HZ * FRAME_MS // 1000
DEFAULT_CONTEXT = ""  # of messages that name none
POLICY_VIOLATION = 1008  # code of a closing handshake; the native protocol does not use it
MAX_CONTEXTS = 64  # that a client keeps open without text


@dataclass(frozen=True)
class AudioFormat:
    """An audio encoding. Raises `FormatError` for a rate that the format does not support."""

    name: Format = Format.PCM
    sample_rate_hz: int = SAMPLE_RATE_HZ

    def __post_init__(self) -> None:
        if self.sample_rate_hz not in FORMAT_SPECS[self.name].rates_hz:
            raise FormatError(f"{self.name} does not support a sample rate of {self.sample_rate_hz} Hz")


MODEL_PCM = AudioFormat()  # as the model makes it


@dataclass(frozen=True)
class Open:
    """Start a context with audio in `format`. `start.voice` may be a vendor's name or id."""

    start: Start
    format: AudioFormat = MODEL_PCM


Action = Open | Text | Flush | End | Cancel | Frame | CloseConnection
Output = Frame | CloseConnection
SpeechEvent = Audio | Word | Segment | Flushed | Done | Cancelled | Error


class Adapter(Protocol):
    """One connection's translator. A failed context ends with a final `Error`, and speech without words with `Done`."""

    def receive(self, data: str | bytes) -> Iterable[Action]:
        """Translate a message of the client. Raises `ProtocolError` for one that is not valid."""

    def refuse(self, error: ProtocolError) -> Iterable[Output]:
        """Answer a message that is not valid."""

    def send(self, event: SpeechEvent) -> Iterable[Action]:
        """Translate an event of a context that this adapter has opened.

        It may open the next context. Nothing waits for room here, so its text must fit into a new one.
        """


@runtime_checkable
class GreetingAdapter(Adapter, Protocol):
    """Its clients expect a message before they send one."""

    def greet(self) -> Iterable[Output]: ...


@runtime_checkable
class PooledAdapter(Adapter, Protocol):
    """Its clients keep sockets open that they do not read, and answer no ping then.

    If one does not while it is spoken to, nobody listens: its contexts end without another message.
    """

    def forget(self) -> None:
        """Send nothing more for the contexts that are open."""


Entry = TypeVar("Entry")


class Contexts(Generic[Entry]):
    """The open contexts of a connection, by the client's id and by ours."""

    def __init__(self) -> None:
        self._count = 0
        self._ids: dict[str, str] = {}  # ours, by the client's
        self._entries: dict[str, Entry] = {}  # by ours

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[tuple[str, Entry]]:
        return iter(list(self._entries.items()))

    def find(self, client_id: str) -> tuple[str, Entry] | None:
        """Our id and the entry of the client's newest context of this id."""
        own_id = self._ids.get(client_id)
        return None if own_id is None else (own_id, self._entries[own_id])

    def add(self, client_id: str, entry: Entry) -> str:
        """Enter a context, and return our id of it."""
        self._count += 1
        own_id = self._ids[client_id] = str(self._count)
        self._entries[own_id] = entry
        return own_id

    def get(self, own_id: str) -> Entry | None:
        return self._entries.get(own_id)

    def remove(self, own_id: str) -> None:
        del self._entries[own_id]
        self._ids = {client_id: each for client_id, each in self._ids.items() if each != own_id}


Message = TypeVar("Message")


def parse_json(data: str | bytes, decoder: msgspec.json.Decoder[Message]) -> Message:
    """Raises `ProtocolError`."""
    try:
        return decode_json(decoder.decode, data.encode() if isinstance(data, str) else data)
    except RecursionError:
        raise ProtocolError("bad_message", "the message is nested too deeply") from None
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise ProtocolError("bad_message", f"the message cannot be read: {str(error)[:200]}") from None


def json_frame(message: object) -> Frame:
    """A text frame. `message`: a struct or what JSON can hold; bytes become base64."""
    return Frame(msgspec.json.encode(message).decode())


def language_code(name: str | None) -> str | None:
    """The language of a tag such as `en-US`; None if none is named, or `auto`."""
    code = (name or "").partition("-")[0].lower()[:35]
    return code if code not in ("", "auto") else None


def clamp_speed(speed: float | None) -> float:
    """The nearest speed that is possible here; 1 if none is asked for."""
    return min(max(speed or 1.0, MIN_SPEED), MAX_SPEED)
