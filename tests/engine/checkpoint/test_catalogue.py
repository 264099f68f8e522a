"""The catalogue equals the facts in the reference package."""

from pathlib import Path
from typing import Any

import pocket_tts
import pytest
import yaml
from pocket_tts.default_parameters import get_default_voice_for_language
from pocket_tts.utils.config import load_config
from pocket_tts.utils.utils import _ORIGINS_OF_PREDEFINED_VOICES, get_predefined_voice

from sayline_tts.engine.checkpoint import catalogue
from sayline_tts.engine.errors import UnknownVariant, UnknownVoice

REFERENCE = {file.stem: file for file in (Path(pocket_tts.__file__).parent / "config").glob("*.yaml")}


def test_variant_names_equal_the_reference() -> None:
    assert sorted(catalogue.variant_names()) == sorted(REFERENCE)


@pytest.mark.parametrize("name", sorted(REFERENCE))
def test_variant_config_equals_the_reference_yaml(name: str) -> None:
    ours = catalogue.variant_config(name).model_dump(mode="json")
    assert _differences(load_config(REFERENCE[name]).model_dump(mode="json"), ours) == []
    # No value stated in the reference's file relies on a default of ours.
    assert _differences(yaml.safe_load(REFERENCE[name].read_text(encoding="utf-8")), ours) == []


def _differences(reference: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    """Keys of the reference whose value differs in ours; a key that we lack must be null in the reference."""
    different = []
    for key, value in reference.items():
        if isinstance(value, dict) and key != "replace_characters":
            different += [f"{key}.{nested}" for nested in _differences(value, ours[key])]
        elif ours.get(key) != value:
            different.append(key)
    return different


def test_alias_resolves_to_the_first_english_model() -> None:
    assert catalogue.resolve_variant("b6369a24") == "english_2026-01"
    assert catalogue.variant_config("b6369a24") == catalogue.variant_config("english_2026-01")


def test_unknown_variant_error_suggests_and_lists_names() -> None:
    with pytest.raises(UnknownVariant, match=r"no variant 'germn'; did you mean german") as caught:
        catalogue.variant_config("germn")
    assert all(name in str(caught.value) for name in (*catalogue.variant_names(), "auto", "embedded"))


def test_unknown_variant_without_similar_name_gets_no_suggestion() -> None:
    with pytest.raises(UnknownVariant, match=r"no variant 'zzzz'; There are: auto, embedded"):
        catalogue.variant_config("zzzz")


def test_voice_names_equal_the_reference() -> None:
    assert sorted(catalogue.voice_names()) == sorted(_ORIGINS_OF_PREDEFINED_VOICES)


@pytest.mark.parametrize("variant", sorted(REFERENCE))
def test_voice_states_and_default_voice_equal_the_reference(variant: str) -> None:
    for voice in catalogue.voice_names():
        assert catalogue.voice_state(variant, voice) == get_predefined_voice(variant, voice)
    assert catalogue.default_voice(variant) == get_default_voice_for_language(variant)


def test_unknown_voice_error_lists_all_names() -> None:
    with pytest.raises(UnknownVoice, match=r"no published voice 'nobody'; there are: .*alba.*estelle"):
        catalogue.voice_state("english", "nobody")


def test_building_a_config_does_not_modify_another() -> None:
    before = catalogue.variant_config("english").model_dump()
    for name in catalogue.variant_names():
        catalogue.variant_config(name)
    catalogue._config.cache_clear()
    assert catalogue.variant_config("english").model_dump() == before
