"""Encode and decode the native protocol's messages as WebSocket frames.

There are two equivalent encodings. `sayline.v1.json`: every message is a text frame of JSON, except audio, a binary
frame of a 16-byte big-endian header (kind 1, length of the context's name, two bytes of zero, sequence number, first
sample), the context's name and the payload. `sayline.v1.msgpack`: every message is a binary frame with one map.
"""

import json
import math
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from enum import StrEnum
from types import MappingProxyType
from typing import Any, TypeVar, get_args

import msgpack

from sayline.errors import ProtocolError
from sayline.messages import Audio, ClientMessage, KnownMessage, ServerMessage, Unknown, Usage

Built = TypeVar("Built", bound=KnownMessage | Usage)

AUDIO_KIND = 1
AUDIO_HEADER = struct.Struct("!BBHIQ")  # kind, bytes of the context's name, reserved, seq, start_sample
MAX_NAME_BYTES = 64


class Encoding(StrEnum):
    """Encoding of a session's messages; the value is the WebSocket subprotocol."""

    JSON = "sayline.v1.json"
    MSGPACK = "sayline.v1.msgpack"


def type_name(kind: type) -> str:
    """`WordEnd` is a "word_end" on the wire."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower()


TYPE_NAMES: Mapping[type[ClientMessage], str] = MappingProxyType(
    {kind: type_name(kind) for kind in get_args(ClientMessage)}
)
SERVER_TYPES: Mapping[str, type[KnownMessage]] = MappingProxyType(
    {type_name(kind): kind for kind in get_args(KnownMessage)}
)


def encode(message: ClientMessage, encoding: Encoding) -> str | bytes:
    """The WebSocket frame of a message: `str` is a text frame, `bytes` a binary one."""
    content: dict[str, Any] = {"type": TYPE_NAMES[type(message)]}
    for field in fields(message):
        value = getattr(message, field.name)
        if value is not None:
            content[field.name] = speakable(value) if isinstance(value, str) else value
    if encoding is Encoding.JSON:
        return json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    packed: bytes = msgpack.packb(content)
    return packed


def speakable(text: str) -> str:
    """Remove lone surrogates, which cannot be encoded."""
    return text.encode("utf-8", "ignore").decode()


def decode(frame: str | bytes, encoding: Encoding) -> ServerMessage:
    """The message in one WebSocket frame. Raises `ProtocolError` for a frame that is not one."""
    if encoding is Encoding.JSON and isinstance(frame, bytes):
        return decode_audio(frame)
    if encoding is Encoding.MSGPACK and isinstance(frame, str):
        raise ProtocolError(f"a text frame in a session with encoding {encoding}: {excerpt(frame)}")
    try:
        content = (
            json.loads(frame, parse_constant=refuse_constant) if isinstance(frame, str) else msgpack.unpackb(frame)
        )
    except (ValueError, RecursionError, msgpack.UnpackException) as error:
        raise ProtocolError(f"a frame that is not {encoding}: {excerpt(frame)}") from error
    if not isinstance(content, dict) or not isinstance(content.get("type"), str):
        raise ProtocolError(f"a message without a type: {excerpt(frame)}")
    kind = SERVER_TYPES.get(content["type"])
    return build_unknown(content) if kind is None else build(kind, content, content["type"])


def decode_audio(frame: bytes) -> Audio | Unknown:
    """Decode a binary frame of `sayline.v1.json`. Kinds other than audio are reserved."""
    if len(frame) < AUDIO_HEADER.size:
        raise ProtocolError(f"an audio frame of {len(frame)} bytes, shorter than its header of {AUDIO_HEADER.size}")
    kind, name_bytes, _, seq, start_sample = AUDIO_HEADER.unpack_from(frame)
    if kind != AUDIO_KIND:
        return Unknown(f"binary kind {kind}")
    data_at = AUDIO_HEADER.size + name_bytes
    if not 1 <= name_bytes <= MAX_NAME_BYTES or len(frame) < data_at:
        raise ProtocolError(f"an audio frame with a damaged header: {excerpt(frame)}")
    try:
        context_id = frame[AUDIO_HEADER.size : data_at].decode()
    except UnicodeDecodeError as error:
        raise ProtocolError(f"an audio frame with a context_id that is not UTF-8: {excerpt(frame)}") from error
    return Audio(context_id, seq, start_sample, frame[data_at:])


def refuse_constant(name: str) -> None:
    """Reject NaN and Infinity, which Python accepts and JSON does not have."""
    raise ValueError(name)


def build(kind: type[Built], content: Mapping[str, Any], name: str) -> Built:
    """Build a message or a part of one, checking the type of every field; unknown fields are ignored."""
    values: dict[str, Any] = {}
    for field in fields(kind):
        value: Any = content.get(field.name)
        if value is None and field.default is not MISSING:
            continue
        if not FITS[field.type](value):
            raise ProtocolError(f"{name}.{field.name} cannot be {excerpt(value)}")
        if field.type == Usage | None:
            value = build(Usage, value, f"{name}.{field.name}")
        values[field.name] = tuple(value) if isinstance(value, list) else value
    return kind(**values)


def build_unknown(content: Mapping[str, Any]) -> Unknown:
    context_id, seq = content.get("context_id"), content.get("seq")
    return Unknown(
        content["type"], context_id if is_text(context_id) else None, seq if is_whole(seq) else None, content
    )


def is_text(value: object) -> bool:
    return isinstance(value, str)


def is_truth(value: object) -> bool:
    return isinstance(value, bool)


def is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Accept integers too: they are written without a decimal point."""
    return is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def is_data(value: object) -> bool:
    return isinstance(value, bytes)


def are_names(value: object) -> bool:
    return isinstance(value, list) and all(map(is_text, value))


def is_map(value: object) -> bool:
    return isinstance(value, dict)


def are_counts(value: object) -> bool:
    return isinstance(value, dict) and all(map(is_text, value)) and all(map(is_whole, value.values()))


# Predicates: whether a decoded value fits a field of this type.
FITS: Mapping[object, Callable[[object], bool]] = MappingProxyType(
    {
        str: is_text, str | None: is_text, bool: is_truth, int: is_whole, int | None: is_whole,
        float: is_number, float | None: is_number, bytes: is_data,
        tuple[str, ...]: are_names, Mapping[str, int]: are_counts, Usage | None: is_map,
    }
)  # fmt: skip


def excerpt(value: object, length: int = 60) -> str:
    text = repr(value[:length] if isinstance(value, str | bytes) else value)
    return text if len(text) <= length else text[: length - 3] + "..."
