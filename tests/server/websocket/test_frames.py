"""Malformed WebSocket frames close their own connection with the right code, and disturb nobody else."""

import pytest

from tests.server.raw_http import RawClient, complaints, frame, raw_client
from tests.server.stream_client import connected_client

TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9
START = frame(b'{"type": "start", "context_id": "a"}')
MALFORMED = {
    "unmasked text": (frame(b'{"type": "start", "context_id": "a"}', masked=False), 1002),
    "unmasked ping": (frame(b"x", PING, masked=False), 1002),
    "unmasked close": (frame(b"\x03\xe8", CLOSE, masked=False), 1002),
    "unmasked after a masked one": (START + frame(b"{}", masked=False), 1002),
    "reserved bits": (frame(b"{}", first=0xF0), 1002),
    "compressed, although that was declined": (frame(b"{}", first=0xC0), 1002),
    "unknown opcode": (frame(b"{}", 3), 1002),
    "unknown control opcode": (frame(b"", 11), 1002),
    "fragmented ping": (frame(b"", PING, first=0), 1002),
    "ping of more than 125 bytes": (frame(bytes(126), PING), 1002),
    "continuation of nothing": (frame(b"{}", 0), 1002),
    "new message within a fragmented one": (frame(b"{", first=0) + frame(b"}"), 1002),
    "close with half a code": (frame(b"\x03", CLOSE), 1002),
    "close with a reserved code": (frame((1005).to_bytes(2), CLOSE), 1002),
    "text that is not UTF-8": (frame(b"\xff\xfe"), 1007),
    "close reason that is not UTF-8": (frame(b"\x03\xe8\xff", CLOSE), 1007),
    "longer than any message": (frame(length=2**40), 1009),
    "longer than a number": (frame(length=2**63 + 1), 1009),
    "many fragments of too much": (frame(bytes(1_500_000), first=0) + frame(bytes(1_500_000), 0), 1009),
}


@pytest.mark.parametrize("slices", [False, True])
@pytest.mark.parametrize("name", MALFORMED)
async def test_malformed_frame_closes_with_its_code(
    address: str, name: str, slices: bool, caplog: pytest.LogCaptureFixture
) -> None:
    data, expected = MALFORMED[name]
    async with connected_client(address) as other, raw_client(address) as one:
        await one.upgrade()
        for piece in [data[at : at + 1] for at in range(len(data))] if slices and len(data) < 200 else [data]:
            await one.send(piece)
        assert await one.close_code() == expected
        await other.speak("All is well.")
        await other.receive_until_final()
        assert other.messages_of("done")
    assert complaints(caplog) == []


@pytest.mark.parametrize("cut", [1, 3, 5, 20])
async def test_connection_that_ends_within_a_frame_leaves_no_error(
    address: str, cut: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with raw_client(address) as one:
        await one.upgrade()
        await one.send(START[:cut])
        one.writer.write_eof()
        assert await one.close_code() is None
    async with connected_client(address) as other:
        await other.speak("All is well.")
        await other.receive_until_final()
    assert complaints(caplog) == []


async def test_message_may_come_in_fragments_with_a_ping_between(address: str) -> None:
    async with raw_client(address) as one:
        await one.upgrade()
        message = b'{"type": "start", "context_id": "a", "format": "pcm"}'
        await one.send(frame(message[:9], first=0) + frame(b"x", PING) + frame(message[9:], 0))
        await one.send(frame(b'{"type": "text", "context_id": "a", "text": "Hello there."}'))
        await one.send(frame(b'{"type": "end", "context_id": "a"}'))
        assert {"ready", "pong", "audio", "done"} <= await frames_until_done(one)


async def frames_until_done(one: RawClient) -> set[str]:
    kinds: set[str] = set()
    while "done" not in kinds:
        opcode, payload = await one.frame()
        kinds.add({BINARY: "audio", 10: "pong"}.get(opcode) or payload.split(b'"')[3].decode())
    return kinds
