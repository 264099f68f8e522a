"""The two encodings of the native protocol: parse client messages, serialize events.

Both carry the same messages: MessagePack in binary frames, and JSON in text frames. With JSON, audio is a binary frame
with a small header.
"""

import struct
from enum import Enum
from typing import get_args

import msgspec

from sayline_tts.server.json_input import decode_json
from sayline_tts.server.websocket.messages import Audio, ClientMessage, Resume, ServerEvent
from sayline_tts.server.websocket.protocol import VERSION, ProtocolError

MAX_ID_BYTES = 64
MAX_MESSAGE_BYTES = 64 * 1024


class Encoding(Enum):
    JSON = "json"
    MSGPACK = "msgpack"

    @property
    def subprotocol(self) -> str:
        return f"{VERSION}.{self.value}"


class _Envelope(msgspec.Struct):
    """The fields that can be read from a message that is not valid as a whole."""

    type: str | None = None
    context_id: str | None = None


_TYPES = tuple(kind.__struct_config__.tag for kind in get_args(ClientMessage))
_MALFORMED = (msgspec.MsgspecError, UnicodeError, RecursionError)
_AUDIO_HEADER = struct.Struct(">BBHIQ")  # kind, length of context_id in bytes, reserved, seq, start_sample
_AUDIO_KIND = 1

_Decoder = msgspec.json.Decoder[ClientMessage] | msgspec.msgpack.Decoder[ClientMessage]
_decoders: dict[Encoding, _Decoder] = {
    Encoding.JSON: msgspec.json.Decoder(ClientMessage),
    Encoding.MSGPACK: msgspec.msgpack.Decoder(ClientMessage),
}
_EnvelopeDecoder = msgspec.json.Decoder[_Envelope] | msgspec.msgpack.Decoder[_Envelope]
_envelope_decoders: dict[Encoding, _EnvelopeDecoder] = {
    Encoding.JSON: msgspec.json.Decoder(_Envelope),
    Encoding.MSGPACK: msgspec.msgpack.Decoder(_Envelope),
}


def parse(raw: str | bytes, encoding: Encoding) -> ClientMessage:
    """Decode one frame. Raises `ProtocolError` and nothing else, whatever the input."""
    if isinstance(raw, str) != (encoding is Encoding.JSON):
        kind = "text" if encoding is Encoding.JSON else "binary"
        raise ProtocolError("bad_message", f"{encoding.subprotocol} requires {kind} frames")
    try:
        data = raw.encode() if isinstance(raw, str) else raw
        if len(data) > MAX_MESSAGE_BYTES:
            reason = f"the message has {len(data)} bytes; the maximum is {MAX_MESSAGE_BYTES}"
            raise ProtocolError("message_too_big", f"{reason}; split the text")
        decode = _decoders[encoding].decode
        message = decode_json(decode, data) if encoding is Encoding.JSON else decode(data)
    except _MALFORMED as error:
        raise _explain(error, raw, encoding) from None
    for context_id in message.contexts if isinstance(message, Resume) else [message.context_id]:
        if not _is_valid_id(context_id):
            length_bytes = len(context_id.encode())
            raise ProtocolError("bad_message", f"context_id has {length_bytes} bytes; use 1 to {MAX_ID_BYTES}")
    return message


def serialize(event: ServerEvent, encoding: Encoding) -> str | bytes:
    """Encode an event as a text frame (str) or a binary frame (bytes)."""
    if encoding is Encoding.MSGPACK:
        return msgspec.msgpack.encode(event)
    if isinstance(event, Audio):
        name = event.context_id.encode()
        header = _AUDIO_HEADER.pack(_AUDIO_KIND, len(name), 0, event.seq, event.start_sample)
        return header + name + event.data
    return msgspec.json.encode(event).decode()


def _explain(error: Exception, raw: str | bytes, encoding: Encoding) -> ProtocolError:
    try:
        decode = _envelope_decoders[encoding].decode
        envelope = decode_json(decode, raw.encode()) if isinstance(raw, str) else decode(raw)
    except _MALFORMED:
        return ProtocolError("bad_message", _describe(error, raw, encoding))
    context_id = envelope.context_id if envelope.context_id is not None and _is_valid_id(envelope.context_id) else None
    if envelope.type is not None and envelope.type not in _TYPES:
        known = ", ".join(map(str, _TYPES))
        return ProtocolError(
            "unknown_type", f"unknown message type {envelope.type[:40]!r}; use one of: {known}", context_id
        )
    message = _describe(error, raw, encoding)
    return ProtocolError("bad_message", message, context_id, refused_start=envelope.type == "start")


def _describe(error: Exception, raw: str | bytes, encoding: Encoding) -> str:
    if isinstance(error, RecursionError):
        return "the message is nested too deeply; a message is a flat map"
    if isinstance(error, UnicodeError):
        return "the text contains a lone surrogate, which is half a character; send whole characters"
    if isinstance(error, msgspec.ValidationError):
        return str(error)
    return f"not valid {'JSON' if encoding is Encoding.JSON else 'MessagePack'}: {error}"


def _is_valid_id(context_id: str) -> bool:
    return 1 <= len(context_id.encode()) <= MAX_ID_BYTES
