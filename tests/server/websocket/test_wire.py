from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sayline_tts.server.accounting.usage import Usage
from sayline_tts.server.websocket.messages import ClientMessage, End, Error, Progress, Resume, ServerEvent, Text
from sayline_tts.server.websocket.protocol import ProtocolError
from sayline_tts.server.websocket.wire import MAX_MESSAGE_BYTES, Encoding, parse, serialize
from tests.fuzz import FUZZ, fuzz
from tests.server.stream_client import load_golden

GOLDEN = load_golden(Path(__file__).parents[2] / "wire" / "v1.json")
FROM_CLIENT = [entry for entry in GOLDEN if entry["direction"] == "client"]
FROM_SERVER = [entry for entry in GOLDEN if entry["direction"] == "server"]
FROM_CLIENT_KINDS = {kind.__struct_config__.tag: kind for kind in get_args(ClientMessage)}
KINDS: dict[str, Any] = FROM_CLIENT_KINDS | {kind.__struct_config__.tag: kind for kind in get_args(ServerEvent)}


def as_struct(message: dict[str, Any]) -> Any:
    kind = KINDS[message["type"]]
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in message.items()
    }
    if "usage" in fields:
        fields["usage"] = Usage(**fields["usage"])
    if "progress" in fields:
        fields["progress"] = Progress(**fields["progress"])
    return kind(**{name: value for name, value in fields.items() if name in kind.__struct_fields__})


@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("entry", FROM_CLIENT, ids=lambda entry: entry["name"])
def test_client_message_is_parsed_as_in_the_golden_file(entry: dict[str, Any], encoding: Encoding) -> None:
    assert parse(entry[encoding.value], encoding) == as_struct(entry["message"])


@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("entry", FROM_SERVER, ids=lambda entry: entry["name"])
def test_server_event_is_serialized_as_in_the_golden_file(entry: dict[str, Any], encoding: Encoding) -> None:
    assert serialize(as_struct(entry["message"]), encoding) == entry[encoding.value]


def test_golden_file_has_every_message() -> None:
    assert {entry["message"]["type"] for entry in GOLDEN} == set(KINDS)


def test_golden_file_has_every_field() -> None:
    for kind, fields in {tag: kind.__struct_fields__ for tag, kind in KINDS.items()}.items():
        shown = {name for entry in GOLDEN if entry["message"]["type"] == kind for name in entry["message"]}
        assert shown >= set(fields), kind


def test_error_without_a_context_omits_the_field() -> None:
    assert set(msgspec.json.decode(serialize(Error("full", "wait"), Encoding.JSON))) == {
        "type",
        "code",
        "message",
        "final",
    }


@pytest.mark.parametrize(
    "raw", ['{"type":"start","context_id":"a","seed":-1}', '{"type":"start","context_id":"a","format":5}']
)
def test_invalid_start_is_marked_as_refused(raw: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse(raw, Encoding.JSON)
    assert caught.value.refused_start
    assert caught.value.context_id == "a"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_invalid_temperature_is_refused(value: float) -> None:
    raw = msgspec.msgpack.encode({"type": "start", "context_id": "a", "temperature": value})
    with pytest.raises(ProtocolError, match="temperature"):
        parse(raw, Encoding.MSGPACK)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, "1", None])
def test_invalid_played_ms_is_refused(value: object) -> None:
    raw = msgspec.msgpack.encode({"type": "ack", "context_id": "a", "played_ms": value})
    with pytest.raises(ProtocolError, match="played_ms"):
        parse(raw, Encoding.MSGPACK)


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        ("\\ud83d", "\ufffd"),
        ("\\uDE42", "\ufffd"),
        ("a\\ude42\\ud83db", "a\ufffd\ufffdb"),
        ("\\ud83d\\ud83d\\ude42", "\ufffd🙂"),
        ("\\ud83d\\u0041", "\ufffdA"),
        ("\\\\ud83d\\ud83d", "\\ud83d\ufffd"),  # the first backslash stands for itself
        ("\\\\ud83d", "\\ud83d"),
    ],
)
def test_escaped_lone_surrogate_is_replaced(escaped: str, text: str) -> None:
    assert parse(f'{{"type":"text","context_id":"a","text":"{escaped}"}}', Encoding.JSON) == Text("a", text)


def test_malformed_json_with_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(ProtocolError, match="not valid JSON"):
        parse('{"type":"text","context_id":"a","text":"\\ud83d",}', Encoding.JSON)
    with pytest.raises(ProtocolError, match="half a character"):
        parse('{"type":"text","context_id":"a","text":"\ud83d"}', Encoding.JSON)


def test_byte_order_mark_is_skipped() -> None:
    assert parse('\ufeff{"type":"text","context_id":"a","text":"\ufeffb"}', Encoding.JSON) == Text("a", "\ufeffb")
    with pytest.raises(ProtocolError, match="unknown message type 'speak'"):
        parse('\ufeff{"type":"speak","context_id":"\\ud83d"}', Encoding.JSON)


def test_lone_surrogate_in_msgpack_is_named_in_the_error() -> None:
    raw = b"\x83\xa4type\xa4text\xaacontext_id\xa1a\xa4text\xa3\xed\xa0\x80"
    with pytest.raises(ProtocolError, match="half a character"):
        parse(raw, Encoding.MSGPACK)


def test_surrogate_pair_is_one_character() -> None:
    assert parse('{"type":"text","context_id":"a","text":"\\ud83d\\ude42"}', Encoding.JSON) == Text("a", "🙂")


def test_resume_checks_context_ids() -> None:
    with pytest.raises(ProtocolError, match="66 bytes"):
        parse(f'{{"type":"resume","token":"t","contexts":{{"a":1,"{"ü" * 33}":1}}}}', Encoding.JSON)


@pytest.mark.parametrize(
    "field",
    ['"speed":0.4', '"speed":2.1', '"mode":"free"', '"max_delay_ms":-1', '"clean_up":1', '"lookahead_words":21'],
)
def test_invalid_start_option_is_refused(field: str) -> None:
    with pytest.raises(ProtocolError, match=field.split('"')[1]) as caught:
        parse(f'{{"type":"start","context_id":"a",{field}}}', Encoding.JSON)
    assert caught.value.refused_start


def test_context_id_has_at_most_64_bytes() -> None:
    assert parse(f'{{"type":"end","context_id":"{"ü" * 32}"}}', Encoding.JSON) == End("ü" * 32)
    with pytest.raises(ProtocolError, match="65 bytes"):
        parse(f'{{"type":"end","context_id":"{"ü" * 32}x"}}', Encoding.JSON)


FIELDS = {field for kind in FROM_CLIENT_KINDS.values() for field in kind.__struct_fields__} - {"context_id"}


@pytest.mark.parametrize(
    ("raw", "encoding", "code", "reason"),
    [
        (b"{}", Encoding.JSON, "bad_message", "requires text frames"),
        ("{}", Encoding.MSGPACK, "bad_message", "requires binary frames"),
        ('"' + "x" * MAX_MESSAGE_BYTES + '"', Encoding.JSON, "message_too_big", "split the text"),
        (bytes(MAX_MESSAGE_BYTES + 1), Encoding.MSGPACK, "message_too_big", "split the text"),
        ('{"type":"end","x":' + "[" * 60_000, Encoding.JSON, "bad_message", "too deeply"),
        (b"\x81\xa1x" + b"\x91" * 60_000, Encoding.MSGPACK, "bad_message", "too deeply"),
        (b"\xc1", Encoding.MSGPACK, "bad_message", "not valid MessagePack"),
        ('{"type":"sing"}', Encoding.JSON, "unknown_type", "use one of: start, text"),
    ],
)
def test_invalid_frame_is_refused_with_a_reason(raw: str | bytes, encoding: Encoding, code: str, reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason) as caught:
        parse(raw, encoding)
    assert (caught.value.code, caught.value.refused_start) == (code, False)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)
ALMOST = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from([*FROM_CLIENT_KINDS, "sing"]) | ANYTHING,
        "context_id": st.just("a") | ANYTHING,
        **dict.fromkeys((*FIELDS, "x"), ANYTHING),
    },
)


def only_protocol_errors(raw: str | bytes, encoding: Encoding) -> None:
    try:
        message = parse(raw, encoding)
        context_id = None if isinstance(message, Resume) else message.context_id
    except ProtocolError as refused:
        context_id = refused.context_id
        serialize(Error(refused.code, refused.message, False, context_id or "a"), encoding)
    assert context_id is None or 1 <= len(context_id.encode()) <= 64


@fuzz
@settings(max_examples=100 * FUZZ, deadline=None)
@given(st.text() | st.text(st.characters(categories=["Cs", "L", "P"])))
@example("\ud800")
@example('{"type":"\\udfff"}')
def test_any_text_is_parsed_or_refused(raw: str) -> None:
    only_protocol_errors(raw, Encoding.JSON)


@fuzz
@settings(max_examples=100 * FUZZ, deadline=None)
@given(st.binary())
def test_any_bytes_are_parsed_or_refused(raw: bytes) -> None:
    only_protocol_errors(raw, Encoding.MSGPACK)


@fuzz
@settings(max_examples=100 * FUZZ, deadline=None)
@given(ALMOST | ANYTHING)
def test_any_well_formed_value_is_parsed_or_refused(content: object) -> None:
    only_protocol_errors(msgspec.msgpack.encode(content), Encoding.MSGPACK)
    only_protocol_errors(msgspec.json.encode(content).decode(), Encoding.JSON)


@fuzz
@settings(max_examples=100 * FUZZ, deadline=None)
@given(st.sampled_from(FROM_CLIENT), st.data())
def test_message_with_one_wrong_byte_is_parsed_or_refused(entry: dict[str, Any], data: st.DataObject) -> None:
    raw = bytearray(entry["msgpack"])
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    only_protocol_errors(bytes(raw), Encoding.MSGPACK)
    text = bytearray(entry["json"].encode())
    text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 127))
    only_protocol_errors(text.decode(errors="replace"), Encoding.JSON)
