"""Locating a checkpoint: embedded, published, from a config, and what `auto` falls back to."""

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sayline_tts.engine.checkpoint.catalogue import variant_config, voice_names, voice_state
from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED, Checkpoint, find_checkpoint
from sayline_tts.engine.checkpoint.hub import HubFile
from sayline_tts.engine.checkpoint.safetensors_reader import read_tensors
from sayline_tts.engine.errors import CheckpointError, ConfigError, InputError, UnknownVariant, UnknownVoice
from tests.engine.checkpoint.fake_hub import FakeHub, HubProcess, running_hub

GATED, OPEN = "kyutai/pocket-tts", "kyutai/pocket-tts-without-voice-cloning"
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def module_hub() -> Iterator[FakeHub]:
    with running_hub() as hub:
        yield hub


@pytest.fixture(scope="module")
def online(module_hub: FakeHub, home: Path) -> Iterator[HubProcess]:
    with HubProcess(module_hub.url, home) as online:
        yield online


@pytest.fixture(scope="module")
def offline(module_hub: FakeHub, home: Path) -> Iterator[HubProcess]:
    with HubProcess(module_hub.url, home, offline=True) as online:
        yield online


@pytest.fixture
def hub(module_hub: FakeHub, home: Path) -> FakeHub:
    """A hub with two variants, and an empty cache."""
    module_hub.reset()
    shutil.rmtree(home / "hub", ignore_errors=True)
    for variant in ("english", "german"):
        config = variant_config(variant)
        tokenizer = config.flow_lm.lookup_table.tokenizer_path
        for source in (config.weights_path, config.weights_path_without_voice_cloning, tokenizer):
            file = HubFile.parse(source or "")
            module_hub.files[f"/{file.repo}/{file.path}"] = f"stand-in for {file}".encode()
    return module_hub


def _is_from(repo: str, weights: str) -> bool:
    return f"stand-in for hf://{repo}/" in Path(weights).read_text()


def test_published_variant_is_downloaded_with_voice_cloning(hub: FakeHub, online: HubProcess) -> None:
    found = online.call("find", "german")
    assert (found["name"], found["can_clone"], found["reason"]) == ("german", True, "Kyutai's german")
    assert _is_from(GATED, found["weights"])
    assert found["tokenizer"].endswith("tokenizer.json")


def test_cached_variant_sends_no_request(hub: FakeHub, online: HubProcess, offline: HubProcess) -> None:
    downloaded = online.call("find", "german")
    requests = list(hub.requests)
    assert online.call("find", "german") == downloaded
    assert offline.call("find", "german") == downloaded
    assert hub.requests == requests


def test_uncached_variant_offline_is_an_error_with_a_remedy(hub: FakeHub, offline: HubProcess) -> None:
    result = offline.call("find", "german")
    assert result["error"] == "HubError"
    assert "HF_HUB_OFFLINE is set; unset it to download" in result["text"]
    assert hub.requests == []


def test_gated_variant_falls_back_to_weights_without_cloning(hub: FakeHub, online: HubProcess) -> None:
    hub.gated = {GATED}
    found = online.call("find", "german")
    assert not found["can_clone"]
    assert _is_from(OPEN, found["weights"])
    assert "without voice cloning: kyutai/pocket-tts is gated" in found["reason"]
    assert f"accept its terms at {hub.url}/{GATED}, run `hf auth login`" in found["reason"]


def test_cached_weights_without_cloning_are_used_offline(hub: FakeHub, online: HubProcess, offline: HubProcess) -> None:
    hub.gated = {GATED}
    before = online.call("find", "german")
    found = offline.call("find", "german")
    assert found["weights"] == before["weights"]
    assert not found["can_clone"]
    assert "HF_HUB_OFFLINE" in found["reason"]


def test_fully_gated_variant_error_explains_access(hub: FakeHub, online: HubProcess) -> None:
    hub.gated = {GATED, OPEN}
    result = online.call("find", "german")
    assert result["error"] == "HubGated"
    assert "accept its terms" in result["text"]
    assert "`hf auth login`" in result["text"]
    assert "or use `--variant embedded`, which needs no hub" in result["text"]


def test_variant_missing_on_the_hub_is_an_error(hub: FakeHub, online: HubProcess) -> None:
    result = online.call("find", "french")
    assert result["error"] == "HubError"
    assert "no such file (404)" in result["text"]


def test_interrupted_download_is_an_error(hub: FakeHub, online: HubProcess) -> None:
    hub.mode = "truncated"
    result = online.call("find", "german")
    assert result["error"] == "HubError"
    assert "check the connection and try again" in result["text"]


def test_unreachable_hub_fails_a_variant_but_not_auto(tmp_path: Path) -> None:
    with HubProcess(NOWHERE, tmp_path) as online:
        result = online.call("find", "german")
        assert result["error"] == "HubError"
        assert f"cannot be downloaded from {NOWHERE}" in result["text"]
        assert "or use `--variant embedded`, which needs no hub" in result["text"]
        found = online.call("find", "auto")
        assert found["name"] == "embedded"
        assert f"cannot be downloaded from {NOWHERE}" in found["reason"]
        assert "--variant embedded" not in found["reason"]


def test_auto_downloads_the_english_model(hub: FakeHub, online: HubProcess) -> None:
    found = online.call("find", "auto")
    assert (found["name"], found["can_clone"]) == ("english", True)
    assert "`--variant embedded` selects the small one" in found["reason"]


def test_auto_uses_weights_without_cloning_if_gated(hub: FakeHub, online: HubProcess) -> None:
    hub.gated = {GATED}
    found = online.call("find", "auto")
    assert (found["name"], found["can_clone"]) == ("english", False)
    assert "kyutai/pocket-tts is gated" in found["reason"]


def test_auto_uses_the_cached_english_model_without_a_request(
    hub: FakeHub, online: HubProcess, offline: HubProcess
) -> None:
    online.call("find", "english")
    hub.requests.clear()
    for each in (online, offline):
        found = each.call("find", "auto")
        assert (found["name"], found["can_clone"]) == ("english", True)
        assert "found in the cache" in found["reason"]
    assert hub.requests == []


def test_auto_uses_cached_weights_without_cloning_and_explains_it(hub: FakeHub, online: HubProcess) -> None:
    hub.gated = {GATED}
    online.call("find", "english")
    found = online.call("find", "auto")
    assert (found["name"], found["can_clone"]) == ("english", False)
    assert "`--variant english` requests them" in found["reason"]


def test_auto_times_out_on_an_unresponsive_hub(hub: FakeHub, online: HubProcess) -> None:
    hub.mode = "unresponsive"
    online.call("set timeout", 0.2)
    found = online.call("find", "auto")
    online.call("set timeout", 60.0)
    assert found["name"] == "embedded"
    assert f"{hub.url} did not answer within" in found["reason"]
    assert "`--variant english` selects Kyutai's English model once that is fixed" in found["reason"]


def test_auto_uses_the_embedded_model_if_everything_is_gated(hub: FakeHub, online: HubProcess) -> None:
    hub.gated = {GATED, OPEN}
    found = online.call("find", "auto")
    assert found["name"] == "embedded"
    assert f"{OPEN} is gated" in found["reason"]


def test_auto_uses_the_embedded_model_if_the_download_is_interrupted(hub: FakeHub, online: HubProcess) -> None:
    hub.mode = "truncated"
    found = online.call("find", "auto")
    assert found["name"] == "embedded"
    assert "cannot be downloaded from" in found["reason"]


def test_auto_uses_the_embedded_model_offline_without_a_cache(hub: FakeHub, offline: HubProcess) -> None:
    found = offline.call("find", "auto")
    assert found["name"] == "embedded"
    assert "HF_HUB_OFFLINE is set and it is not in the cache" in found["reason"]
    assert hub.requests == []


def test_relative_paths_in_a_hub_config_resolve_on_the_hub(hub: FakeHub, online: HubProcess) -> None:
    for file in ("config.yaml", "model.safetensors", "tokenizer.model"):
        hub.files[f"/someone/voice/deep/{file}"] = (EMBEDDED / file).read_bytes()
    found = online.call("find", "auto", "hf://someone/voice/deep/config.yaml@v1")
    assert (found["name"], found["can_clone"]) == ("config", True)
    assert Path(found["weights"]).parts[-2:] == ("deep", "model.safetensors")


def test_embedded_checkpoint_is_complete() -> None:
    found = find_checkpoint("embedded")
    assert (found.name, found.can_clone, found.voices()) == ("embedded", True, ("adam", "clara", "nora", "ross"))
    assert found.default_voice == "clara"
    assert found.weights.is_file()
    assert found.tokenizer.is_file()
    assert all(
        "transformer.layers.0.self_attn/cache" in read_tensors(Path(found.voice_source(voice)))
        for voice in found.voices()
    )
    assert str(found.voice_description("clara")).startswith("A woman")
    assert found.voice_description("nobody") is None
    assert replace(found, voice_folder=None).voice_description("alba") is None
    assert "comes with Sayline, as requested; `--variant english` selects" in found.reason


def test_weights_are_identified_by_their_content(tmp_path: Path) -> None:
    checkpoint = find_checkpoint("embedded")
    digest = hashlib.sha256(checkpoint.weights.read_bytes()).hexdigest()
    assert checkpoint.weights_sha256 == digest
    (tmp_path / digest).touch()  # as in the hub's cache
    (tmp_path / "model.safetensors").symlink_to(digest)
    assert replace(checkpoint, weights=tmp_path / "model.safetensors").weights_sha256 == digest


def test_unknown_voice_error_lists_names() -> None:
    with pytest.raises(UnknownVoice, match="no voice 'bob' for the model embedded; there are: adam, clara, nora, ross"):
        find_checkpoint("embedded").voice_source("bob")


def test_published_checkpoint_has_the_voices_of_the_catalogue() -> None:
    nothing = Path()
    found = Checkpoint("french_24l", variant_config("french_24l"), nothing, nothing, True, "")
    assert found.voices() == voice_names()
    assert found.default_voice == "estelle"
    assert found.voice_source("alba") == voice_state("french_24l", "alba")
    with pytest.raises(UnknownVoice, match="alba"):
        found.voice_source("clara")


def test_unknown_variant_is_rejected() -> None:
    with pytest.raises(UnknownVariant, match="did you mean embedded"):
        find_checkpoint("embeded")


def test_variant_together_with_config_is_rejected() -> None:
    with pytest.raises(InputError, match=r"either the variant 'german' or the config 'a\.yaml', not both"):
        find_checkpoint("german", "a.yaml")


def _custom_model(folder: Path, **replaced: str | None) -> Path:
    config = (EMBEDDED / "config.yaml").read_text(encoding="utf-8")
    for key, value in replaced.items():
        line = f"{key}: {value}\n" if value else ""
        config = config.replace(f"{key}: model.safetensors\n", line)
    (folder / "mine.yaml").write_text(config, encoding="utf-8")
    for file in ("model.safetensors", "tokenizer.model"):
        (folder / file).touch()
    return folder / "mine.yaml"


def test_relative_paths_in_a_config_resolve_against_its_folder(tmp_path: Path) -> None:
    found = find_checkpoint(config=_custom_model(tmp_path))
    assert (found.name, found.weights) == ("mine", tmp_path / "model.safetensors")
    assert found.tokenizer == tmp_path / "tokenizer.model"
    assert found.reason == f"the model of {tmp_path / 'mine.yaml'}, as requested"


def test_custom_model_has_the_voices_next_to_it(tmp_path: Path) -> None:
    found = find_checkpoint(config=_custom_model(tmp_path))
    assert (found.voices(), found.default_voice) == ((), "")
    with pytest.raises(UnknownVoice, match="there are: none; give an audio"):
        found.voice_source("anna")
    (tmp_path / "voices").mkdir()
    (tmp_path / "voices" / "anna.safetensors").touch()
    (tmp_path / "voices" / "notes.txt").touch()
    assert (found.voices(), found.default_voice) == (("anna",), "anna")
    assert found.voice_source("anna") == str(tmp_path / "voices" / "anna.safetensors")


def test_custom_model_may_lack_cloning_weights(tmp_path: Path) -> None:
    found = find_checkpoint(config=_custom_model(tmp_path, weights_path=None))
    assert not found.can_clone
    assert "names no weights that can clone" in found.reason


def test_config_without_weights_is_rejected(tmp_path: Path) -> None:
    config = _custom_model(tmp_path, weights_path=None, weights_path_without_voice_cloning=None)
    with pytest.raises(CheckpointError, match="names no weights; set weights_path"):
        find_checkpoint(config=config)


def test_config_with_missing_weights_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.safetensors: no such file"):
        find_checkpoint(config=_custom_model(tmp_path, weights_path="none.safetensors"))


def test_missing_config_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: no such config file"):
        find_checkpoint(config=tmp_path / "none.yaml")
