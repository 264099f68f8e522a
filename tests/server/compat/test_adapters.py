"""Every vendor's adapter: as in its golden file, and whatever a client sends."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sayline_tts.server.audio.formats import Format, FormatError
from sayline_tts.server.compat.adapter import MAX_CONTEXTS, AudioFormat, Contexts, Open, language_code
from sayline_tts.server.websocket.messages import Audio, Cancel, Cancelled, Done, End, Text
from sayline_tts.server.websocket.protocol import ProtocolError
from tests.fuzz import FUZZ, fuzz
from tests.server.compat.golden import ADAPTERS, encode, load, replay

GOLDEN = [
    "cartesia.json",
    "deepgram.json",
    "elevenlabs.json",
    "gradium.json",
    "jambonz.json",
    "kyutai.json",
    "livekit.json",
    "openai_realtime.json",
    "wyoming.json",
]
CASES = [case for name in GOLDEN for case in load(name)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_conversation_is_as_in_the_golden_file(case: dict[str, Any]) -> None:
    assert replay(case) == case["steps"]


def test_golden_files_have_every_adapter() -> None:
    assert {case["adapter"] for case in CASES} == set(ADAPTERS)


def known_values(name: str) -> st.SearchStrategy[Any]:
    """What the golden file has in this field, anywhere, or something else."""
    found: list[Any] = []

    def collect(value: Any) -> None:
        for key, each in value.items() if isinstance(value, dict) else ():
            if key == name:
                found.append(each)
            collect(each)

    for case in CASES:
        for step in case["steps"]:
            collect(step.get("client"))
    return st.sampled_from(found) | st.none() | st.text(max_size=3) | st.booleans() | st.integers(-1, 9)


FIELDS = sorted(
    {
        name
        for case in CASES
        for step in case["steps"]
        if isinstance(step.get("client"), dict)
        for name in step["client"]
    }
)
MESSAGES = st.lists(
    st.dictionaries(st.sampled_from(FIELDS), st.none(), max_size=5).flatmap(
        lambda chosen: st.fixed_dictionaries({name: known_values(name) for name in chosen})
    )
    | st.text(max_size=5)
    | st.binary(max_size=5),
    max_size=12,
)


@fuzz
@pytest.mark.parametrize("name", ADAPTERS)
@given(messages=MESSAGES, ends=st.lists(st.booleans(), max_size=12))
@settings(max_examples=60 * FUZZ)
def test_any_messages_are_translated_or_refused(name: str, messages: list[Any], ends: list[bool]) -> None:
    """Text is for contexts that were opened, and every one of them can end."""
    adapter = ADAPTERS[name]({})
    opened: list[str] = []
    for message in messages:
        try:
            actions = list(adapter.receive(encode(name, message)))
        except ProtocolError as refused:
            actions = list(adapter.refuse(refused))
            assert actions
        for action in actions:
            match action:
                case Open(start=start):
                    opened.append(start.context_id)
                case Text(context_id=context_id) | End(context_id=context_id) | Cancel(context_id=context_id):
                    assert context_id in opened
        if opened and ends:
            context_id = opened.pop(0) if ends.pop() else opened[0]
            list(adapter.send(Audio(context_id, 0, 0, b"data")))
            if context_id not in opened:
                list(adapter.send(Done(context_id, 0, 0.0)))
                assert not list(adapter.send(Cancelled(context_id, 0, 0.0, 0.0, 0, "", "")))
                assert not list(adapter.send(Done(context_id, 0, 0.0)))


def test_a_deeply_nested_message_is_refused() -> None:
    with pytest.raises(ProtocolError, match="nested"):
        ADAPTERS["elevenlabs/multi"]({}).receive('{"a":' + "[" * 10_000)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("elevenlabs/multi", {"text": " "}),
        ("elevenlabs/dialogue", {"voices": ["v"]}),
        ("cartesia", {"transcript": "", "continue": True}),
        ("gradium", {"type": "setup"}),
    ],
)
def test_contexts_without_text_are_bounded(name: str, message: dict[str, Any]) -> None:
    adapter = ADAPTERS[name]({})
    id_field = "client_req_id" if name == "gradium" else "context_id"
    for number in range(MAX_CONTEXTS):
        actions = adapter.receive(json.dumps({**message, id_field: str(number)}))
        assert not [action for action in actions if isinstance(action, Open)]
    with pytest.raises(ProtocolError, match=f"{MAX_CONTEXTS} (contexts|requests)"):
        list(adapter.receive(json.dumps({**message, id_field: "more"})))


def test_format_has_a_rate_that_it_supports() -> None:
    with pytest.raises(FormatError, match="12345"):
        AudioFormat(Format.MP3, 12_345)


@pytest.mark.parametrize(("tag", "code"), [("en-US", "en"), ("DE", "de"), (None, None), ("", None), ("auto", None)])
def test_language_is_the_first_part_of_a_tag(tag: str | None, code: str | None) -> None:
    assert language_code(tag) == code


def test_an_id_that_is_used_again_names_the_newest_context() -> None:
    contexts: Contexts[str] = Contexts()
    first, second = contexts.add("a", "one"), contexts.add("a", "two")
    assert contexts.find("a") == (second, "two")
    contexts.remove(first)
    assert contexts.find("a") == (second, "two")
    contexts.remove(second)
    assert contexts.find("a") is None
    assert not contexts
