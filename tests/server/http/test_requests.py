import json
import re
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sayline_tts.server.http.errors import RequestError
from sayline_tts.server.http.requests import (
    OpenAISpeechRequest,
    SpeechRequest,
    check_text,
    parse_json,
)

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)
KINDS = (SpeechRequest, OpenAISpeechRequest)
OWN_VOICES = ("ann", "bob", "eve")
NAMES = sorted({each.name for kind in KINDS for each in msgspec.structs.fields(kind)})


@pytest.mark.parametrize("kind", KINDS)
@given(fields=st.dictionaries(st.sampled_from(NAMES), ANYTHING))
def test_arbitrary_json_is_parsed_or_rejected(kind: type[Any], fields: dict[str, Any]) -> None:
    with suppress(RequestError):
        assert isinstance(parse_json(json.dumps(fields).encode("utf-8", "surrogatepass"), kind), kind)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.binary())
@example(b"[" * 100_000)
@example(b'{"text": "\\ud800"}')
@example(b'{"text": "a", "text": 5}')
def test_arbitrary_bytes_are_parsed_or_rejected(kind: type[Any], data: bytes) -> None:
    with suppress(RequestError):
        parse_json(data, kind)


def test_byte_order_mark_and_lone_surrogates_are_accepted() -> None:
    body = b'\xef\xbb\xbf{"text": "a \\ud83d b \\ud83d\\ude42"}'
    assert parse_json(body, SpeechRequest).text == "a \ufffd b 🙂"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "text"),
        ({"text": None}, "text"),
        ({"text": "a", "speed": "fast"}, "speed"),
        ({"text": "a", "voice": "x" * 201}, "voice"),
        ({"text": "a", "seed": 2**53}, "seed"),
    ],
)
def test_error_names_the_field(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError, match=param) as error:
        parse_json(json.dumps(fields).encode(), SpeechRequest)
    assert error.value.param == param


def test_unknown_fields_are_ignored() -> None:
    assert parse_json(b'{"text": "a", "later": [1]}', SpeechRequest) == SpeechRequest("a")


def test_openai_voice_may_be_a_name_or_an_object() -> None:
    for voice in ('"nova"', '{"id": "nova"}'):
        body = f'{{"model": "x", "input": "a", "voice": {voice}}}'.encode()
        assert parse_json(body, OpenAISpeechRequest).voice_name == "nova"


def test_empty_and_too_long_texts_are_rejected() -> None:
    check_text("a" * 10, 10, "text")
    for text, code in (("a" * 11, "text_limit"), ("", "bad_text"), (" \n\t", "bad_text")):
        with pytest.raises(RequestError) as error:
            check_text(text, 10, "input")
        assert (error.value.code, error.value.param) == (code, "input")


@pytest.mark.parametrize(
    ("body", "told", "param"),
    [
        (b'{"model":"a","voice":"b"}', "input is missing", "input"),
        (b'{"model":"a","voice":"b","input":"c","speed":9}', "speed must be at most 4", "speed"),
        (b'{"model":"a","voice":"b","input":"c","speed":0}', "speed must be at least 0.25", "speed"),
        (b'{"model":"%s","voice":"b","input":"c"}' % (b"a" * 300), "model must have at most 200 characters", "model"),
        (b'{"model":"a","voice":"b","input":5}', "Expected `str`", "input"),
    ],
)
def test_limits_are_told_in_words(body: bytes, told: str, param: str) -> None:
    with pytest.raises(RequestError, match=re.escape(told)) as error:
        parse_json(body, OpenAISpeechRequest)
    assert error.value.param == param
