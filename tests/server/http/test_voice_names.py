from collections import Counter

from sayline_tts.server.http.voice_names import OPENAI_VOICES, meant_here

OURS = ("ann", "bob", "eve")


def test_each_of_openai_s_13_is_somebody_and_always_the_same() -> None:
    meant = [meant_here(name, OURS, "bob") for name in OPENAI_VOICES]
    assert len(meant) == 13
    assert meant == [meant_here(name, OURS, "bob") for name in OPENAI_VOICES]
    assert meant_here("alloy", OURS, "bob") == "bob"
    assert set(Counter(meant).values()) == {4, 5}


def test_a_voice_of_that_name_is_that_voice() -> None:
    assert meant_here("nova", (*OURS, "nova"), "ann") == "nova"


def test_other_names_stand_for_themselves() -> None:
    assert meant_here("zoe", OURS, "ann") == "zoe"
    assert meant_here("alloy", (), "") == "alloy"  # whoever looks it up says that there is nobody
