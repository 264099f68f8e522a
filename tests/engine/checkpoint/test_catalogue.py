"""The reference package is the judge: every fact in the catalogue equals what it says."""

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


def test_the_variants_are_those_the_reference_publishes() -> None:
    assert sorted(catalogue.variant_names()) == sorted(REFERENCE)


@pytest.mark.parametrize("name", sorted(REFERENCE))
def test_a_variant_equals_the_references_yaml_field_by_field(name: str) -> None:
    ours = catalogue.variant_config(name).model_dump(mode="json")
    assert _differences(load_config(REFERENCE[name]).model_dump(mode="json"), ours) == []
    # And nothing that their file states rests on a default of ours.
    assert _differences(yaml.safe_load(REFERENCE[name].read_text(encoding="utf-8")), ours) == []


def _differences(theirs: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    """Their keys whose value ours does not repeat; what we have no word for must be nothing to them."""
    faults = []
    for key, value in theirs.items():
        if isinstance(value, dict) and key != "replace_characters":
            faults += [f"{key}.{fault}" for fault in _differences(value, ours[key])]
        elif ours.get(key) != value:
            faults.append(key)
    return faults


def test_the_alias_of_the_first_english_model_is_known() -> None:
    assert catalogue.variant_name("b6369a24") == "english_2026-01"
    assert catalogue.variant_config("b6369a24") == catalogue.variant_config("english_2026-01")


def test_an_unknown_variant_is_told_the_nearest_names_and_all_of_them() -> None:
    with pytest.raises(UnknownVariant, match=r"no variant 'germn'; did you mean german") as caught:
        catalogue.variant_config("germn")
    assert all(name in str(caught.value) for name in (*catalogue.variant_names(), "auto", "embedded"))


def test_an_unknown_variant_like_nothing_gets_no_guess() -> None:
    with pytest.raises(UnknownVariant, match=r"no variant 'zzzz'; There are: auto, embedded"):
        catalogue.variant_config("zzzz")


def test_the_voices_and_their_recordings_are_the_references() -> None:
    assert {name: catalogue.voice_origin(name) for name in catalogue.voice_names()} == _ORIGINS_OF_PREDEFINED_VOICES


@pytest.mark.parametrize("variant", sorted(REFERENCE))
def test_each_variant_has_the_references_states_and_default_voice(variant: str) -> None:
    for voice in catalogue.voice_names():
        assert catalogue.voice_state(variant, voice) == get_predefined_voice(variant, voice)
    assert catalogue.default_voice(variant) == get_default_voice_for_language(variant)


def test_an_unknown_voice_is_told_all_names() -> None:
    with pytest.raises(UnknownVoice, match=r"no published voice 'nobody'; there are: .*alba.*estelle"):
        catalogue.voice_state("english", "nobody")


def test_a_config_is_not_changed_by_building_another() -> None:
    before = catalogue.variant_config("english").model_dump()
    for name in catalogue.variant_names():
        catalogue.variant_config(name)
    catalogue._config.cache_clear()
    assert catalogue.variant_config("english").model_dump() == before
