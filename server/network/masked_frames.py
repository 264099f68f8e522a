"""A check that a client masks its WebSocket frames (RFC 6455, 5.1), which aiohttp's reader does not make."""

from typing import Protocol

MASKED = 0x80
MASK_BYTES = 4
OPCODES = (0, 1, 2, 8, 9, 10)  # without reserved bits: no extension is negotiated
MAX_HEAD_BYTES = 10  # without the mask
EXTENDED_BYTES = {126: 2, 127: 8}  # of the length, by the length field of the second byte
INVALID_FRAME = b"\xf0\x00"  # with reserved bits: every reader refuses it with 1002


class FrameReader(Protocol):
    """What aiohttp's connection calls of a WebSocket reader."""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Returns whether reading is over, and what was not read."""

    def feed_eof(self) -> None: ...


class MaskedFrames:
    """Passes data on to `reader`, which sees an invalid frame in place of the first one that is not masked.

    So is one with reserved bits or an unknown opcode, at its first byte: the rest of its head might never come.
    """

    def __init__(self, reader: FrameReader) -> None:
        self._reader = reader
        self._held = b""  # the beginning of a frame's head
        self._payload_left = 0  # bytes of the current frame that have not arrived, mask included

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        data, self._held = self._held + data, b""
        position = self._skip_payload(data, 0)
        while position < len(data):
            head = data[position : position + MAX_HEAD_BYTES]
            if head[0] & 0x7F not in OPCODES or (len(head) >= 2 and not head[1] & MASKED):
                self._reader.feed_data(data[:position])
                return self._reader.feed_data(INVALID_FRAME)
            head = head[: _head_bytes(head)]
            if len(head) < _head_bytes(head):
                data, self._held = data[:position], head
                break
            self._payload_left = MASK_BYTES + _payload_bytes(head)
            position = self._skip_payload(data, position + len(head))
        return self._reader.feed_data(data)

    def feed_eof(self) -> None:
        self._reader.feed_eof()

    def _skip_payload(self, data: bytes, position: int) -> int:
        skipped = min(self._payload_left, len(data) - position)
        self._payload_left -= skipped
        return position + skipped


def _head_bytes(head: bytes) -> int:
    """Length of a frame's head without its mask; 2 as long as no more is known."""
    return 2 if len(head) < 2 else 2 + EXTENDED_BYTES.get(head[1] & 0x7F, 0)


def _payload_bytes(head: bytes) -> int:
    return int.from_bytes(head[2:]) if len(head) > 2 else head[1] & 0x7F
