import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sayline_tts.server.http.errors import RequestError
from sayline_tts.server.http.requests import Speak, SpeakAsOpenAI, check_text, parse_json

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)
KINDS = (Speak, SpeakAsOpenAI)
NAMES = sorted({each.name for kind in KINDS for each in msgspec.structs.fields(kind)})


@pytest.mark.parametrize("kind", KINDS)
@given(fields=st.dictionaries(st.sampled_from(NAMES), ANYTHING))
def test_any_json_is_a_request_or_is_told_what_is_wrong(kind: type[Any], fields: dict[str, Any]) -> None:
    with suppress(RequestError):
        assert isinstance(parse_json(json.dumps(fields).encode("utf-8", "surrogatepass"), kind), kind)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.binary())
@example(b"[" * 100_000)
@example(b'{"text": "\\ud800"}')
@example(b'{"text": "a", "text": 5}')
def test_any_bytes_are_a_request_or_are_told_what_is_wrong(kind: type[Any], data: bytes) -> None:
    with suppress(RequestError):
        parse_json(data, kind)


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
def test_the_field_that_is_wrong_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError, match=param) as told:
        parse_json(json.dumps(fields).encode(), Speak)
    assert told.value.param == param


def test_what_nobody_knows_is_ignored() -> None:
    assert parse_json(b'{"text": "a", "later": [1]}', Speak) == Speak("a")


def test_a_voice_is_a_name_or_an_object() -> None:
    for voice in ('"nova"', '{"id": "nova"}'):
        body = f'{{"model": "x", "input": "a", "voice": {voice}}}'.encode()
        assert parse_json(body, SpeakAsOpenAI).voice_name == "nova"


def test_a_text_has_words_and_a_bound() -> None:
    check_text("a" * 10, 10, "text")
    for text, code in (("a" * 11, "text_limit"), ("", "bad_text"), (" \n\t", "bad_text")):
        with pytest.raises(RequestError) as told:
            check_text(text, 10, "input")
        assert (told.value.code, told.value.param) == (code, "input")
