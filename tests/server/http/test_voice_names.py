from collections import Counter

from sayline_tts.server.http.voice_names import OPENAI_VOICES, resolve_openai_voice

OURS = ("ann", "bob", "eve")


def test_openai_names_map_evenly_and_deterministically() -> None:
    meant = [resolve_openai_voice(name, OURS, "bob") for name in OPENAI_VOICES]
    assert len(meant) == 13
    assert meant == [resolve_openai_voice(name, OURS, "bob") for name in OPENAI_VOICES]
    assert resolve_openai_voice("alloy", OURS, "bob") == "bob"
    assert set(Counter(meant).values()) == {4, 5}


def test_own_voice_of_the_same_name_takes_precedence() -> None:
    assert resolve_openai_voice("nova", (*OURS, "nova"), "ann") == "nova"


def test_other_names_are_unchanged() -> None:
    assert resolve_openai_voice("zoe", OURS, "ann") == "zoe"
    assert resolve_openai_voice("alloy", (), "") == "alloy"  # the lookup reports it as unknown
