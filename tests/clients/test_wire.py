import dataclasses
import json
import struct
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sayline import messages, wire
from sayline.errors import ProtocolError
from sayline.wire import Encoding

from tests.clients.scripted import golden

GOLDEN = golden(Path(__file__).parents[1] / "wire" / "v1.json")
NAMES = st.text(min_size=1, max_size=16).filter(lambda name: name.isprintable())
COUNTS, NUMBERS = st.integers(0, 10**9), st.floats(0, 1e9)
USAGES = st.builds(messages.Usage, COUNTS, COUNTS, NUMBERS, NUMBERS, NUMBERS, COUNTS, st.none() | NUMBERS)
CLIENT_TYPES = {name: kind for kind, name in wire.TYPE_NAMES.items()}


def as_message(content: dict[str, Any]) -> Any:
    """The golden file's own words as one of our dataclasses."""
    kind: Any = {**CLIENT_TYPES, **wire.SERVER_TYPES}[content["type"]]
    known = {field.name for field in dataclasses.fields(kind)}
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in content.items()
    }
    if "usage" in values:
        values["usage"] = messages.Usage(**values["usage"])
    return kind(**{name: value for name, value in values.items() if name in known})


@pytest.mark.parametrize("entry", GOLDEN["server"], ids=lambda entry: entry["name"])
@pytest.mark.parametrize("encoding", Encoding)
def test_server_messages_match_the_golden_file(entry: dict[str, Any], encoding: Encoding) -> None:
    frame = entry["json" if encoding is Encoding.JSON else "msgpack"]
    assert wire.decode(frame, encoding) == as_message(entry["message"])


@pytest.mark.parametrize("entry", GOLDEN["client"], ids=lambda entry: entry["name"])
@pytest.mark.parametrize("encoding", Encoding)
def test_client_messages_match_the_golden_file(entry: dict[str, Any], encoding: Encoding) -> None:
    message = as_message(entry["message"])
    ours = wire.encode(message, encoding)
    read = json.loads if encoding is Encoding.JSON else msgpack.unpackb
    known = {"type", *(field.name for field in dataclasses.fields(message))}
    golden_content = read(entry["json" if encoding is Encoding.JSON else "msgpack"])
    assert read(ours) == {name: value for name, value in golden_content.items() if name in known}


def test_golden_file_covers_every_message_type() -> None:
    assert {entry["message"]["type"] for entry in GOLDEN["client"]} == set(CLIENT_TYPES)
    assert {entry["message"]["type"] for entry in GOLDEN["server"]} == set(wire.SERVER_TYPES)


@given(context_id=NAMES, seq=st.integers(0, 2**32 - 1), start_sample=st.integers(0, 2**63 - 1), data=st.binary())
def test_audio_round_trips_in_both_encodings(context_id: str, seq: int, start_sample: int, data: bytes) -> None:
    audio = messages.Audio(context_id, seq, start_sample, data)
    name = context_id.encode()
    frame = struct.pack(">BBHIQ", 1, len(name), 0, seq, start_sample) + name + data
    assert wire.decode(frame, Encoding.JSON) == audio
    packed = msgpack.packb({"type": "audio", **dataclasses.asdict(audio)})
    assert wire.decode(packed, Encoding.MSGPACK) == audio


@given(
    st.builds(messages.Segment, NAMES, COUNTS, st.text(), COUNTS, COUNTS, NUMBERS, NUMBERS)
    | st.builds(messages.Word, NAMES, COUNTS, st.text(), COUNTS, COUNTS, st.text(), NUMBERS, NUMBERS, st.booleans())
    | st.builds(messages.WordEnd, NAMES, COUNTS, COUNTS, COUNTS, NUMBERS, NUMBERS)
    | st.builds(messages.Flushed, NAMES, COUNTS, NUMBERS, st.none() | st.text())
    | st.builds(messages.Done, NAMES, COUNTS, NUMBERS | COUNTS, st.none() | USAGES)
    | st.builds(messages.Cancelled, NAMES, COUNTS, NUMBERS, NUMBERS, COUNTS, st.text(), st.text(), st.none() | USAGES)
    | st.builds(messages.Queued, NAMES, COUNTS, COUNTS)
    | st.builds(messages.Resumed, st.booleans(), NAMES, st.dictionaries(NAMES, COUNTS), st.text())
    | st.builds(
        messages.Error, NAMES, st.text(), st.booleans(), st.none() | NAMES, st.none() | NUMBERS, st.none() | COUNTS
    )
)
def test_messages_round_trip_in_both_encodings(message: Any) -> None:
    content = {"type": wire.type_name(type(message)), **dataclasses.asdict(message)}
    assert wire.decode(json.dumps(content), Encoding.JSON) == message
    try:
        packed = msgpack.packb(content)
    except UnicodeEncodeError:
        return  # JSON alone can carry half a character
    assert wire.decode(packed, Encoding.MSGPACK) == message


@given(text=st.text(alphabet=st.characters()), encoding=st.sampled_from(Encoding))
@example(text="half \ud83d of one", encoding=Encoding.MSGPACK)
@example(text="half \ud83d of one", encoding=Encoding.JSON)
def test_lone_surrogates_are_removed(text: str, encoding: Encoding) -> None:
    frame = wire.encode(messages.Text("a", text), encoding)
    content = json.loads(frame.encode("utf-8")) if isinstance(frame, str) else msgpack.unpackb(frame)
    assert content["text"] == "".join(c for c in text if not 0xD800 <= ord(c) < 0xE000)


def test_none_fields_are_omitted() -> None:
    assert json.loads(wire.encode(messages.Start("a"), Encoding.JSON)) == {"type": "start", "context_id": "a"}
    assert json.loads(wire.encode(messages.Start("a", seed=0), Encoding.JSON))["seed"] == 0


@given(frame=st.binary() | st.text(), encoding=st.sampled_from(Encoding))
@example(frame="[" * 100_000, encoding=Encoding.JSON)
@example(frame=b"\x91" * 100_000, encoding=Encoding.MSGPACK)
@example(frame=b"", encoding=Encoding.JSON)
@example(frame=b"\x01", encoding=Encoding.JSON)
@example(frame=b"\x01\x05" + bytes(14) + b"abc", encoding=Encoding.JSON)
@example(frame=b"\x01\x00" + bytes(14) + b"abc", encoding=Encoding.JSON)
@example(frame=b"\x01\x41" + bytes(14) + b"a" * 100, encoding=Encoding.JSON)
@example(frame=b"\x01\x01" + bytes(14) + b"\xff", encoding=Encoding.JSON)
@example(frame="null", encoding=Encoding.JSON)
@example(frame='{"type":3}', encoding=Encoding.JSON)
@example(frame='{"type":"done"}', encoding=Encoding.JSON)
@example(frame='{"type":"done","context_id":"a","duration_ms":true}', encoding=Encoding.JSON)
@example(frame='{"type":"error","code":"a","message":"b","final":1}', encoding=Encoding.JSON)
@example(frame='{"type":"error","code":"a","message":"b","retry_after_ms":"2"}', encoding=Encoding.JSON)
@example(frame='{"type":"queued","context_id":"a","seq":0,"place":1.5}', encoding=Encoding.JSON)
@example(frame='{"type":"error","code":"a","message":"b","seq":true}', encoding=Encoding.JSON)
@example(
    frame='{"type":"resumed","recovered":true,"session_id":"a","contexts":{"a":"b"},"message":""}',
    encoding=Encoding.JSON,
)
@example(
    frame=msgpack.packb({"type": "resumed", "recovered": True, "session_id": "a", "contexts": {1: 2}, "message": ""}),
    encoding=Encoding.MSGPACK,
)
@example(frame='{"type":"done","context_id":"a","seq":0,"duration_ms":NaN}', encoding=Encoding.JSON)
@example(frame='{"type":"done","context_id":"a","seq":0,"duration_ms":1e999}', encoding=Encoding.JSON)
@example(
    frame=msgpack.packb({"type": "done", "context_id": "a", "seq": 0, "duration_ms": float("nan")}),
    encoding=Encoding.MSGPACK,
)
@example(frame="text", encoding=Encoding.MSGPACK)
def test_malformed_frame_is_a_protocol_error_or_unknown(frame: str | bytes, encoding: Encoding) -> None:
    try:
        message = wire.decode(frame, encoding)
    except ProtocolError:
        return
    assert isinstance(message, messages.Unknown | messages.Audio)


@pytest.mark.parametrize("entry", GOLDEN["server"], ids=lambda entry: entry["name"])
def test_missing_field_is_a_protocol_error(entry: dict[str, Any]) -> None:
    of_error = {"context_id", "retry_after_ms", "seq"}
    of_done = {"usage", "warnings", "missed_words"}
    by_type = {
        "error": of_error, "flushed": {"id"}, "word": {"missed"}, "done": of_done, "cancelled": {"usage"},
        "resumed": {"can_continue"},
    }  # fmt: skip
    optional = by_type.get(entry["message"]["type"], set())
    for missing in set(entry["message"]) - optional - {"type"}:
        content = {name: value for name, value in entry["message"].items() if name != missing}
        with pytest.raises(ProtocolError, match=missing):
            wire.decode(msgpack.packb(content), Encoding.MSGPACK)


@pytest.mark.parametrize("usage", [[1], "12", {"taken_chars": 1}, {"taken_chars": 1.5, "billed_chars": 1}])
def test_invalid_usage_is_a_protocol_error(usage: Any) -> None:
    content = {"type": "done", "context_id": "a", "seq": 0, "duration_ms": 80, "usage": usage}
    with pytest.raises(ProtocolError, match=r"done\.usage"):
        wire.decode(json.dumps(content), Encoding.JSON)


def test_unknown_fields_and_types_are_ignored() -> None:
    more = {"type": "done", "context_id": "a", "seq": 3, "duration_ms": 80, "words": [1, None]}
    assert wire.decode(json.dumps(more), Encoding.JSON) == messages.Done("a", 3, 80)
    viseme = {"type": "viseme", "context_id": "a", "seq": 4, "shape": "o"}
    assert wire.decode(json.dumps(viseme), Encoding.JSON) == messages.Unknown("viseme", "a", 4, viseme)
    odd = {"type": "odd", "context_id": 7, "seq": "x"}
    assert wire.decode(json.dumps(odd), Encoding.JSON) == messages.Unknown("odd", None, None, odd)
    assert wire.decode(b"\x02 something else", Encoding.JSON) == messages.Unknown("binary kind 2")
