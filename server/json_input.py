"""JSON as clients send it: a byte order mark in front, or a string that was cut inside a surrogate pair."""

import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

Decoded = TypeVar("Decoded")

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ESCAPE = re.compile(rb"(\\u[dD][89abAB]..\\u[dD][c-fC-F]..)|(\\u[dD][89a-fA-F]..)|\\.", re.DOTALL)


def decode_json(decode: Callable[[bytes], Decoded], data: bytes) -> Decoded:
    """Decode a message. A byte order mark is skipped, and an escaped lone surrogate becomes U+FFFD.

    Raises what `decode` raises.
    """
    data = data.removeprefix(_BYTE_ORDER_MARK)
    try:
        return decode(data)
    except msgspec.DecodeError:
        mended = _ESCAPE.sub(_without_lone_surrogate, data)
        if mended == data:
            raise
        return decode(mended)


def _without_lone_surrogate(escape: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if escape[2] else escape[0]
