"""Valid, malformed and unknown server messages: all clients agree."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
from sayline import Encoding

from tests.clients.conformance.conductor import Client
from tests.clients.scripted import golden

GOLDEN = golden(Path(__file__).parents[2] / "wire" / "v1.json")["server"]
OPTIONAL = {
    "flushed": {"id"},
    "error": {"context_id", "retry_after_ms", "seq"},
    "word": {"missed"},
    "done": {"usage", "warnings", "missed_words"},
    "cancelled": {"usage"},
    "resumed": {"can_continue"},
}
BAD = "ProtocolError"
# What cannot stand where the golden file has a value of this type.
STRANGE: dict[type, list[Any]] = {
    str: [1, True, None, ["a"], {}],
    bool: [1, 0, "true", None],
    int: [1.5, "1", True, None, [1]],
    float: ["1", True, None, {}],
    list: ["a", [1], {"a": "b"}, None],
    dict: [[1], "a", {"a": "b"}, {"a": 1.5}, {"a": True}, None],
    bytes: ["a", 1, None, [1, 2]],
}

IN_BOTH = pytest.mark.parametrize("client", ["msgpack", "json", "javascript"], indirect=True, scope="module")
IN_JSON = pytest.mark.parametrize("client", ["json", "javascript"], indirect=True, scope="module")

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def verdicts(client: Client, frames: list[str | bytes]) -> list[str]:
    written = [{"text": frame} if isinstance(frame, str) else {"bytes": frame.hex()} for frame in frames]
    verdicts: list[str] = (await client.do("client", "decode", written))["verdicts"]
    return verdicts


def frame(client: Client, message: dict[str, Any]) -> str | bytes:
    packed: bytes = msgpack.packb(message)
    return json.dumps(message) if client.encoding is Encoding.JSON else packed


def variations(message: dict[str, Any]) -> Iterator[tuple[dict[str, Any], bool]]:
    """Each field left out, and each value that is strange there; with whether that is still a message."""
    optional = OPTIONAL.get(message["type"], set())
    for name, value in message.items():
        yield {other: message[other] for other in message if other != name}, name in optional
        for strange in STRANGE[type(value)]:
            yield message | {name: strange}, name in optional and strange is None


@IN_BOTH
@pytest.mark.parametrize("entry", GOLDEN, ids=lambda entry: entry["name"])
async def test_a_message_has_all_its_fields_and_each_of_its_type(client: Client, entry: dict[str, Any]) -> None:
    message = entry["message"]
    if entry["binary"] and client.encoding is Encoding.JSON:  # then it is no text
        assert await verdicts(client, [json.dumps(message | {"data": "AAEC"})]) == [BAD]
        return
    varied = list(variations(message))
    told = await verdicts(client, [frame(client, variation) for variation, _ in varied])
    expected = [message["type"] if good else BAD for _, good in varied]
    assert list(zip(varied, told, strict=True)) == list(zip(varied, expected, strict=True))
    assert await verdicts(client, [frame(client, message | {"of": {"a": ["later server", None]}})]) == [message["type"]]


@IN_BOTH
async def test_a_type_of_a_later_server_is_left_aside_whatever_it_holds(client: Client) -> None:
    later: list[dict[str, Any]] = [{}, {"context_id": "a", "seq": 4}, {"context_id": 7, "seq": "x"}, {"seq": 1.5}]
    frames = [frame(client, {"type": name, **more}) for more in later for name in ("viseme", "constructor", "unknown")]
    assert await verdicts(client, frames) == ["unknown"] * len(frames)


@IN_BOTH
async def test_a_frame_that_is_no_map_with_a_type_is_no_message(client: Client) -> None:
    contents: list[Any] = [None, 1, "ready", [], ["ready"], {}, {"type": None}, {"type": 3}, {"type": ["ready"]}]
    assert await verdicts(client, [frame(client, content) for content in contents]) == [BAD] * len(contents)


@IN_BOTH
async def test_a_frame_of_the_other_encoding_is_no_message(client: Client) -> None:
    done: dict[Any, Any] = {"type": "done", "context_id": "a", "seq": 0, "duration_ms": 80.0}
    if client.encoding is Encoding.JSON:
        other: list[str | bytes] = ["", "{", '{"type":', msgpack.packb({"a": 1})[:1], "[" * 100_000]
        other += [json.dumps(done | {"duration_ms": number}) for number in (float("nan"), float("inf"))]
    else:
        other = [json.dumps(done), b"", b"\xc1", msgpack.packb(done)[:-1], msgpack.packb(done) + b"\x00"]
        other += [b"\x91" * 100_000, msgpack.packb({1: 2, **done, "type": b"done"})]
    assert await verdicts(client, other) == [BAD] * len(other)


@IN_JSON
async def test_audio_in_binary_has_a_whole_header_and_a_name(client: Client) -> None:
    def header(kind: int, name_bytes: int) -> bytes:
        return bytes([kind, name_bytes, *[0] * 14])

    bad: list[str | bytes] = [b"", header(1, 1)[:9], header(1, 0) + b"a", header(1, 5) + b"aa"]
    bad += [header(1, 65) + b"a" * 80, header(1, 1) + b"\xff"]
    assert await verdicts(client, bad) == [BAD] * len(bad)
    good = [header(1, 1) + b"a", header(1, 64) + b"a" * 64 + b"data", header(2, 0), header(2, 200) + b"?"]
    assert await verdicts(client, list(good)) == ["audio", "audio", "unknown", "unknown"]
