"""The WebSocket of Kyutai's server, as an adapter: one utterance, which ends with the socket."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec
import numpy as np

from sayline_tts.server.audio.formats import Format
from sayline_tts.server.compat.adapter import (
    FRAME_SAMPLES,
    MODEL_PCM,
    POLICY_VIOLATION,
    Action,
    AudioFormat,
    Open,
    Output,
)
from sayline_tts.server.compat.turns import Turn, TurnAdapter
from sayline_tts.server.websocket.messages import Audio, Cancelled, Done, Error, Flushed, Segment, Start, Word
from sayline_tts.server.websocket.outbox import CloseConnection, Frame
from sayline_tts.server.websocket.protocol import CloseCode, ProtocolError

FLOAT32 = AudioFormat(Format.FLOAT32, MODEL_PCM.sample_rate_hz)
FORMATS = {  # and whether messages are MessagePack
    "OggOpus": (AudioFormat(Format.OPUS, MODEL_PCM.sample_rate_hz), False),
    "OggOpusMessagePack": (AudioFormat(Format.OPUS, MODEL_PCM.sample_rate_hz), True),
    "Pcm": (FLOAT32, False),
    "PcmMessagePack": (FLOAT32, True),
}
DEFAULT_FORMAT = "OggOpus"
END = b"\0"  # of the text, for clients without MessagePack
FULL = "no free channels"  # what its clients know; they try another server
# An array of float32 values in MessagePack: a head, then a mark and a value each.
ARRAY16, FLOAT = b"\xdc", 0xCA
_PACKED = np.dtype([("mark", "u1"), ("value", ">f4")])


@dataclass(frozen=True)
class Options:
    """What the address of the socket says."""

    voice: str
    format: AudioFormat = FORMATS[DEFAULT_FORMAT][0]
    packed: bool = False  # in MessagePack
    seed: int | None = None


class ClientMessage(msgspec.Struct, frozen=True):
    type: str
    text: str = ""


_decoder = msgspec.msgpack.Decoder(ClientMessage)


class KyutaiAdapter(TurnAdapter):
    def __init__(self, options: Options) -> None:
        super().__init__()
        self._options, self._ended = options, False
        self._held = np.zeros(0, "<f4")  # less than a message's audio

    def greet(self) -> Iterable[Output]:
        yield from self._message({"type": "Ready"})

    def receive(self, data: str | bytes) -> Iterable[Action]:
        return self._receive(ClientMessage("Text", data) if isinstance(data, str) else _parse(data))

    def refuse(self, error: ProtocolError) -> Iterable[Output]:
        self._ended = True
        yield from self._message({"type": "Error", "message": error.message})
        yield CloseConnection(POLICY_VIOLATION, error.code)

    def _receive(self, message: ClientMessage) -> Iterator[Action]:
        if self._ended:
            return
        match message.type:
            case "Text":
                yield from self._speak(f"{message.text} ")  # a word, without its space
            case "Eos":
                self._ended = True
                yield from self._end()
            case "Voice":
                pass  # an embedding of another model
            case kind:
                raise ProtocolError("bad_message", f"unknown type {kind[:30]!r}; send Text or Eos")

    def _start(self, own_id: str) -> Open:
        options = self._options
        return Open(Start(own_id, options.voice, seed=options.seed, wait=False), options.format)

    def _speech(self, turn: Turn, event: Audio | Word | Segment | Flushed) -> Iterable[Action]:
        match event:
            case Audio(data=data) if data:
                yield from self._audio(data)
            case Word(text=text):
                start_s, stop_s = ((turn.expired_ms + ms) / 1000 for ms in (event.start_ms, event.end_ms))
                yield from self._message({"type": "Text", "text": text, "start_s": start_s, "stop_s": stop_s})

    def _finish(self, turn: Turn, event: Done | Cancelled | Error | None) -> Iterable[Action]:
        if isinstance(event, Error):
            message = FULL if event.code == "full" else event.message
            yield from self._message({"type": "Error", "message": message})
            yield CloseConnection(CloseCode.INTERNAL, event.code)
            return
        if len(self._held):
            yield from self._audio(np.zeros(FRAME_SAMPLES - len(self._held), "<f4").tobytes())
        yield CloseConnection(CloseCode.NORMAL, "")

    def _audio(self, data: bytes) -> Iterator[Frame]:
        """Messages of exactly a frame, which clients rely on."""
        if not self._options.packed:
            yield Frame(data)
        elif self._options.format is not FLOAT32:
            yield from self._message({"type": "OggOpus", "data": list(data)})
        else:
            samples = np.concatenate((self._held, np.frombuffer(data, "<f4")))
            whole = len(samples) // FRAME_SAMPLES * FRAME_SAMPLES
            for at in range(0, whole, FRAME_SAMPLES):
                pcm = msgspec.Raw(pack_floats(samples[at : at + FRAME_SAMPLES]))
                yield from self._message({"type": "Audio", "pcm": pcm})
            self._held = samples[whole:]

    def _message(self, message: dict[str, object]) -> Iterator[Frame]:
        if self._options.packed:
            yield Frame(msgspec.msgpack.encode(message))


def pack_floats(samples: np.ndarray) -> bytes:
    """Samples [n], n < 65,536, as an array of float32 in MessagePack; encoders write Python's floats as float64."""
    packed = np.empty(len(samples), _PACKED)  # [n]
    packed["mark"], packed["value"] = FLOAT, samples
    return ARRAY16 + len(samples).to_bytes(2, "big") + packed.tobytes()


def _parse(data: bytes) -> ClientMessage:
    """Raises `ProtocolError`."""
    if data == END:
        return ClientMessage("Eos")
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ProtocolError("bad_message", f"the message cannot be read: {str(error)[:200]}") from None
