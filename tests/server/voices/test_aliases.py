"""Names and ids of other vendors' voices."""

from collections import Counter

import pytest

from sayline_tts.engine.errors import UnknownVoice
from sayline_tts.server.access.limits import Caller, Limits
from sayline_tts.server.voices.aliases import MAX_LOGGED, OPENAI_VOICES, VoiceAliases, resolve_openai_voice
from sayline_tts.server.voices.voices import Voices
from tests.server.fakes import FakeEngine

OWN_VOICES = ("ann", "bob", "eve")


def test_openai_names_map_evenly_and_deterministically() -> None:
    meant = [resolve_openai_voice(name, OWN_VOICES, "bob") for name in OPENAI_VOICES]
    assert len(meant) == 13
    assert meant == [resolve_openai_voice(name, OWN_VOICES, "bob") for name in OPENAI_VOICES]
    assert resolve_openai_voice("alloy", OWN_VOICES, "bob") == "bob"
    assert set(Counter(meant).values()) == {4, 5}


def test_own_voice_of_the_same_name_takes_precedence() -> None:
    assert resolve_openai_voice("nova", (*OWN_VOICES, "nova"), "ann") == "nova"


def test_other_names_are_unchanged() -> None:
    assert resolve_openai_voice("zoe", OWN_VOICES, "ann") == "zoe"
    assert resolve_openai_voice("alloy", (), "") == "alloy"  # the lookup reports it as unknown


# The operator's table

CALLER = Caller("anonymous", Limits(), "anonymous")


def aliases(engine: FakeEngine, **pairs: str) -> VoiceAliases:
    return VoiceAliases(
        Voices(engine.model), "ann", [(name.replace("any", "*"), voice) for name, voice in pairs.items()]
    )


async def test_own_names_come_before_the_table_and_that_before_openai_s(engine: FakeEngine) -> None:
    table = aliases(engine, bob="eve", Rachel="eve", alloy="bob")
    names = ("bob", "Rachel", "alloy", "ash", None)
    assert [table.resolve(name, CALLER) for name in names] == ["bob", "eve", "bob", "bob", "ann"]


async def test_an_unknown_name_is_the_default_voice_and_is_logged_once(
    engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    table = aliases(engine)
    limited = Caller("key", Limits(voices=("bob",)), "key")
    assert [table.resolve("Rachel", CALLER), table.resolve("Rachel", limited)] == ["ann", "bob"]
    assert caplog.text.count("'Rachel'") == 1
    for number in range(2 * MAX_LOGGED):
        table.resolve(f"other {number}", CALLER)
    assert len(caplog.records) == MAX_LOGGED


async def test_the_operator_chooses_what_unknown_names_are(engine: FakeEngine) -> None:
    chosen, refusing = aliases(engine, any="bob"), aliases(engine, any="")
    assert (chosen.resolve("Rachel", CALLER), chosen.any_other, aliases(engine).any_other) == ("bob", "bob", None)
    with pytest.raises(UnknownVoice, match="--voice-aliases"):
        refusing.resolve("Rachel", CALLER)


async def test_the_table_can_be_replaced(engine: FakeEngine) -> None:
    table = aliases(engine, Rachel="bob")
    table.replace([("Adam", "bob")])
    assert (table.find("Rachel", CALLER), table.find("Adam", CALLER)) == (None, "bob")
