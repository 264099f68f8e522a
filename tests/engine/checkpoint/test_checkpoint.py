"""engine/checkpoint/checkpoint.py: which checkpoint speaks, and why."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sayline_tts.engine.checkpoint.catalogue import variant_config, voice_names, voice_state
from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED, Checkpoint, find_checkpoint
from sayline_tts.engine.checkpoint.hub import HubFile
from sayline_tts.engine.checkpoint.safetensors_reader import read_tensors
from sayline_tts.engine.errors import CheckpointError, ConfigError, InputError, UnknownVariant, UnknownVoice
from tests.engine.hub import Asker, Hub, running_hub

GATED, OPEN = "kyutai/pocket-tts", "kyutai/pocket-tts-without-voice-cloning"
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def one_hub() -> Iterator[Hub]:
    with running_hub() as hub:
        yield hub


@pytest.fixture(scope="module")
def asker(one_hub: Hub, home: Path) -> Iterator[Asker]:
    with Asker(one_hub.url, home) as asker:
        yield asker


@pytest.fixture(scope="module")
def offline(one_hub: Hub, home: Path) -> Iterator[Asker]:
    with Asker(one_hub.url, home, offline=True) as asker:
        yield asker


@pytest.fixture
def hub(one_hub: Hub, home: Path) -> Hub:
    """A hub that has two variants, and an empty cache."""
    one_hub.reset()
    shutil.rmtree(home / "hub", ignore_errors=True)
    for variant in ("english", "german"):
        config = variant_config(variant)
        tokenizer = config.flow_lm.lookup_table.tokenizer_path
        for source in (config.weights_path, config.weights_path_without_voice_cloning, tokenizer):
            file = HubFile.parse(source or "")
            one_hub.files[f"/{file.repo}/{file.path}"] = f"stand-in for {file}".encode()
    return one_hub


def _is_from(repo: str, weights: str) -> bool:
    return f"stand-in for hf://{repo}/" in Path(weights).read_text()


def test_a_published_variant_is_downloaded_with_voice_cloning(hub: Hub, asker: Asker) -> None:
    found = asker.ask("find", "german")
    assert (found["name"], found["can_clone"], found["reason"]) == ("german", True, "Kyutai's german")
    assert _is_from(GATED, found["weights"])
    assert found["tokenizer"].endswith("tokenizer.json")


def test_a_variant_in_the_cache_needs_no_hub(hub: Hub, asker: Asker, offline: Asker) -> None:
    online = asker.ask("find", "german")
    asked = list(hub.asked)
    assert asker.ask("find", "german") == online
    assert offline.ask("find", "german") == online
    assert hub.asked == asked


def test_offline_without_a_cache_a_variant_says_how_to_get_it(hub: Hub, offline: Asker) -> None:
    answer = offline.ask("find", "german")
    assert answer["error"] == "HubError"
    assert "HF_HUB_OFFLINE is set; unset it to download" in answer["text"]
    assert hub.asked == []


def test_a_gated_variant_speaks_without_voice_cloning_and_says_why(hub: Hub, asker: Asker) -> None:
    hub.gated = {GATED}
    found = asker.ask("find", "german")
    assert not found["can_clone"]
    assert _is_from(OPEN, found["weights"])
    assert "without voice cloning: kyutai/pocket-tts is gated" in found["reason"]
    assert f"accept its terms at {hub.url}/{GATED}, run `hf auth login`" in found["reason"]


def test_weights_without_cloning_in_the_cache_serve_while_the_hub_is_away(
    hub: Hub, asker: Asker, offline: Asker
) -> None:
    hub.gated = {GATED}
    before = asker.ask("find", "german")
    found = offline.ask("find", "german")
    assert found["weights"] == before["weights"]
    assert not found["can_clone"]
    assert "HF_HUB_OFFLINE" in found["reason"]


def test_a_variant_whose_every_repository_is_gated_names_the_way_in(hub: Hub, asker: Asker) -> None:
    hub.gated = {GATED, OPEN}
    answer = asker.ask("find", "german")
    assert answer["error"] == "HubGated"
    assert "accept its terms" in answer["text"]
    assert "`hf auth login`" in answer["text"]
    assert "or take `--variant embedded`, which needs no hub" in answer["text"]


def test_a_variant_the_hub_has_lost_is_an_error(hub: Hub, asker: Asker) -> None:
    answer = asker.ask("find", "french")
    assert answer["error"] == "HubError"
    assert "no such file (404)" in answer["text"]


def test_a_variant_whose_download_breaks_off_is_an_error(hub: Hub, asker: Asker) -> None:
    hub.mood = "broken"
    answer = asker.ask("find", "german")
    assert answer["error"] == "HubError"
    assert "check the connection and try again" in answer["text"]


def test_with_no_hub_a_variant_is_an_error_and_auto_speaks_anyway(tmp_path: Path) -> None:
    with Asker(NOWHERE, tmp_path) as asker:
        answer = asker.ask("find", "german")
        assert answer["error"] == "HubError"
        assert f"cannot be had from {NOWHERE}" in answer["text"]
        assert "or take `--variant embedded`, which needs no hub" in answer["text"]
        found = asker.ask("find", "auto")
        assert found["name"] == "embedded"
        assert f"cannot be had from {NOWHERE}" in found["reason"]
        assert "--variant embedded" not in found["reason"]


def test_auto_takes_the_english_model_of_a_hub_that_answers(hub: Hub, asker: Asker) -> None:
    found = asker.ask("find", "auto")
    assert (found["name"], found["can_clone"]) == ("english", True)
    assert "`--variant embedded` takes the small one" in found["reason"]


def test_auto_takes_the_english_model_without_cloning_when_that_is_gated(hub: Hub, asker: Asker) -> None:
    hub.gated = {GATED}
    found = asker.ask("find", "auto")
    assert (found["name"], found["can_clone"]) == ("english", False)
    assert "kyutai/pocket-tts is gated" in found["reason"]


def test_auto_takes_the_english_model_in_the_cache_without_asking(hub: Hub, asker: Asker, offline: Asker) -> None:
    asker.ask("find", "english")
    hub.asked.clear()
    for each in (asker, offline):
        found = each.ask("find", "auto")
        assert (found["name"], found["can_clone"]) == ("english", True)
        assert "found in the cache" in found["reason"]
    assert hub.asked == []


def test_auto_takes_what_the_cache_has_without_cloning_and_says_how_to_get_it(hub: Hub, asker: Asker) -> None:
    hub.gated = {GATED}
    asker.ask("find", "english")
    found = asker.ask("find", "auto")
    assert (found["name"], found["can_clone"]) == ("english", False)
    assert "`--variant english` asks the hub for them" in found["reason"]


def test_auto_does_not_wait_for_a_hub_that_never_answers(hub: Hub, asker: Asker) -> None:
    hub.mood = "silent"
    asker.ask("wait at most", 0.2)
    found = asker.ask("find", "auto")
    asker.ask("wait at most", 60.0)
    assert found["name"] == "embedded"
    assert f"{hub.url} did not answer within" in found["reason"]
    assert "`--variant english` takes Kyutai's English model once that is mended" in found["reason"]


def test_auto_speaks_as_the_embedded_voice_when_everything_is_gated(hub: Hub, asker: Asker) -> None:
    hub.gated = {GATED, OPEN}
    found = asker.ask("find", "auto")
    assert found["name"] == "embedded"
    assert f"{OPEN} is gated" in found["reason"]


def test_auto_speaks_as_the_embedded_voice_when_the_download_breaks_off(hub: Hub, asker: Asker) -> None:
    hub.mood = "broken"
    found = asker.ask("find", "auto")
    assert found["name"] == "embedded"
    assert "cannot be had from" in found["reason"]


def test_auto_offline_without_a_cache_is_the_embedded_voice(hub: Hub, offline: Asker) -> None:
    found = offline.ask("find", "auto")
    assert found["name"] == "embedded"
    assert "HF_HUB_OFFLINE is set and it is not in the cache" in found["reason"]
    assert hub.asked == []


def test_a_config_on_the_hub_brings_its_neighbours(hub: Hub, asker: Asker) -> None:
    for file in ("config.yaml", "model.safetensors", "tokenizer.model"):
        hub.files[f"/someone/voice/deep/{file}"] = (EMBEDDED / file).read_bytes()
    found = asker.ask("find", "auto", "hf://someone/voice/deep/config.yaml@v1")
    assert (found["name"], found["can_clone"]) == ("config", True)
    assert Path(found["weights"]).parts[-2:] == ("deep", "model.safetensors")


def test_the_embedded_checkpoint_has_all_its_files_and_three_voices() -> None:
    found = find_checkpoint("embedded")
    assert (found.name, found.can_clone, found.voices()) == ("embedded", True, ("angus", "clara", "fiona", "ross"))
    assert found.default_voice == "clara"
    assert found.weights.is_file()
    assert found.tokenizer.is_file()
    assert all(
        "transformer.layers.0.self_attn/cache" in read_tensors(Path(found.voice_source(voice)))
        for voice in found.voices()
    )
    assert "comes with Sayline, as asked; `--variant english` takes" in found.reason


def test_an_unknown_voice_is_told_the_names() -> None:
    with pytest.raises(
        UnknownVoice, match="no voice 'bob' for the model embedded; there are: angus, clara, fiona, ross"
    ):
        find_checkpoint("embedded").voice_source("bob")


def test_a_published_checkpoint_has_the_catalogues_voices() -> None:
    nothing = Path()
    found = Checkpoint("french_24l", variant_config("french_24l"), nothing, nothing, True, "")
    assert found.voices() == voice_names()
    assert found.default_voice == "estelle"
    assert found.voice_source("alba") == voice_state("french_24l", "alba")
    with pytest.raises(UnknownVoice, match="alba"):
        found.voice_source("clara")


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(UnknownVariant, match="did you mean embedded"):
        find_checkpoint("embeded")


def test_a_variant_and_a_config_together_are_refused() -> None:
    with pytest.raises(InputError, match=r"either the variant 'german' or the config 'a\.yaml', not both"):
        find_checkpoint("german", "a.yaml")


def _own_model(folder: Path, **replaced: str | None) -> Path:
    config = (EMBEDDED / "config.yaml").read_text(encoding="utf-8")
    for key, value in replaced.items():
        line = f"{key}: {value}\n" if value else ""
        config = config.replace(f"{key}: model.safetensors\n", line)
    (folder / "mine.yaml").write_text(config, encoding="utf-8")
    for file in ("model.safetensors", "tokenizer.model"):
        (folder / file).touch()
    return folder / "mine.yaml"


def test_paths_in_a_config_count_from_its_folder(tmp_path: Path) -> None:
    found = find_checkpoint(config=_own_model(tmp_path))
    assert (found.name, found.weights) == ("mine", tmp_path / "model.safetensors")
    assert found.tokenizer == tmp_path / "tokenizer.model"
    assert found.reason == f"the model of {tmp_path / 'mine.yaml'}, as asked"


def test_ones_own_model_has_the_voices_beside_it_or_none(tmp_path: Path) -> None:
    found = find_checkpoint(config=_own_model(tmp_path))
    assert (found.voices(), found.default_voice) == ((), "")
    with pytest.raises(UnknownVoice, match="there are: none; give an audio"):
        found.voice_source("anna")
    (tmp_path / "voices").mkdir()
    (tmp_path / "voices" / "anna.safetensors").touch()
    (tmp_path / "voices" / "notes.txt").touch()
    assert (found.voices(), found.default_voice) == (("anna",), "anna")
    assert found.voice_source("anna") == str(tmp_path / "voices" / "anna.safetensors")


def test_ones_own_model_may_have_only_weights_that_cannot_clone(tmp_path: Path) -> None:
    found = find_checkpoint(config=_own_model(tmp_path, weights_path=None))
    assert not found.can_clone
    assert "names no weights that can" in found.reason


def test_a_config_without_weights_is_refused(tmp_path: Path) -> None:
    config = _own_model(tmp_path, weights_path=None, weights_path_without_voice_cloning=None)
    with pytest.raises(CheckpointError, match="names no weights; set weights_path"):
        find_checkpoint(config=config)


def test_a_config_that_names_missing_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.safetensors: no such file"):
        find_checkpoint(config=_own_model(tmp_path, weights_path="none.safetensors"))


def test_a_missing_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: no such config file"):
        find_checkpoint(config=tmp_path / "none.yaml")
