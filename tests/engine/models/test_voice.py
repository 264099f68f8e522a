"""Voice files in both directions with the reference, and files that cannot be used."""

import os
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from pocket_tts.models.model_state import _import_model_state as reference_import
from pocket_tts.models.model_state import export_model_state as reference_export
from pocket_tts.models.tts_model import TTSModel as ReferenceModel

from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED
from sayline_tts.engine.errors import VoiceError
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.models.voice import Voice, load_voice_file
from tests.engine.reference import some_audio, write_embedded_config

SLT = EMBEDDED / "voices" / "clara.safetensors"


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> ReferenceModel:
    """The reference implementation with the embedded weights."""
    config = write_embedded_config(tmp_path_factory.mktemp("reference"))
    return ReferenceModel.load_model(config=config, temp=0.0)


def load(model: Model, path: Path) -> Voice:
    return load_voice_file(path, model.config.flow_lm.transformer)


def assert_same(a: Voice, b: Voice) -> None:
    torch.testing.assert_close(a.keys, b.keys, atol=1e-4, rtol=0)
    torch.testing.assert_close(a.values, b.values, atol=1e-4, rtol=0)


def test_voice_file_round_trip(model: Model, tmp_path: Path) -> None:
    voice = load(model, SLT)
    voice.save(tmp_path / "copy.safetensors")
    again = load(model, tmp_path / "copy.safetensors")
    assert torch.equal(again.keys, voice.keys)
    assert torch.equal(again.values, voice.values)


def test_reference_reads_our_files(model: Model, reference: ReferenceModel, tmp_path: Path) -> None:
    audio = some_audio(1.5)
    model.encode_voice(audio[0].numpy()).save(tmp_path / "ours.safetensors")
    ours = reference_import(tmp_path / "ours.safetensors", torch.device("cpu"))
    theirs = reference.get_state_for_audio_prompt(audio)
    assert ours.keys() == theirs.keys()
    for layer, tensors in theirs.items():
        assert ours[layer].keys() == tensors.keys()
        for name, tensor in tensors.items():
            torch.testing.assert_close(ours[layer][name], tensor, atol=1e-4, rtol=0)
    assert reference.generate_audio(ours, "Yes.", frames_after_eos=0).isfinite().all()


def test_we_read_files_of_the_reference(model: Model, reference: ReferenceModel, tmp_path: Path) -> None:
    audio = some_audio(1.5)
    reference_export(reference.get_state_for_audio_prompt(audio), tmp_path / "theirs.safetensors")
    assert_same(load(model, tmp_path / "theirs.safetensors"), model.encode_voice(audio[0].numpy()))


def test_older_files_give_their_length_by_a_shape(model: Model, tmp_path: Path) -> None:
    tensors = safetensors.torch.load_file(SLT)
    older = {}
    for name, tensor in tensors.items():
        layer, kind = name.split("/")
        if kind == "cache":  # with room behind what is filled, as it had
            older[name] = torch.cat([tensor, torch.full_like(tensor, torch.nan)], dim=2)
            older[f"{layer}/current_end"] = torch.zeros(tensor.shape[2])
    safetensors.torch.save_file(older, tmp_path / "older.safetensors")
    assert_same(load(model, tmp_path / "older.safetensors"), load(model, SLT))


def test_kill_while_saving_leaves_the_old_file(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "voice.safetensors"
    path.write_bytes(b"old")

    def killed(source: str, target: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        load(model, SLT).save(path)
    assert [each.name for each in tmp_path.iterdir()] == ["voice.safetensors"]
    assert path.read_bytes() == b"old"


def _fewer_heads(tensors: dict[str, torch.Tensor]) -> None:
    for name in [name for name in tensors if name.endswith("/cache")]:
        tensors[name] = tensors[name][:, :, :, :2].contiguous()


def _one_layer_less(tensors: dict[str, torch.Tensor]) -> None:
    for name in [name for name in tensors if ".layers.5." in name]:
        del tensors[name]


def _one_layer_more(tensors: dict[str, torch.Tensor]) -> None:
    tensors["transformer.layers.6.self_attn/cache"] = tensors["transformer.layers.5.self_attn/cache"].clone()


def _uneven(tensors: dict[str, torch.Tensor]) -> None:
    tensors["transformer.layers.2.self_attn/offset"] = torch.tensor([7])


def _too_long(tensors: dict[str, torch.Tensor]) -> None:
    tensors["transformer.layers.0.self_attn/offset"] = torch.tensor([10**9])


def _not_finite(tensors: dict[str, torch.Tensor]) -> None:
    tensors["transformer.layers.3.self_attn/cache"][0, 0, 0, 0, 0] = torch.nan


def _no_length(tensors: dict[str, torch.Tensor]) -> None:
    del tensors["transformer.layers.0.self_attn/offset"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_fewer_heads, "made for another model"),
        (_one_layer_less, "layer 5 is missing"),
        (_one_layer_more, "more than 6 layers"),
        (_uneven, "differ in length"),
        (_too_long, r"1000000000 positions but holds \d+;"),
        (_not_finite, "not finite"),
        (_no_length, "does not say how long"),
    ],
)
def test_voice_that_does_not_fit_is_refused_with_advice(
    model: Model, tmp_path: Path, damage: Any, message: str
) -> None:
    tensors = safetensors.torch.load_file(SLT)
    damage(tensors)
    safetensors.torch.save_file(tensors, tmp_path / "bad.safetensors")
    with pytest.raises(VoiceError, match=f"bad.safetensors: .*{message}.*sayline export-voice") as refused:
        load(model, tmp_path / "bad.safetensors")
    assert refused.value.code == "bad_voice"


@pytest.mark.parametrize("content", [b"", b"RIFF", SLT.read_bytes()[:-1000], b"\xff" * 4000])
def test_file_that_is_not_safetensors_is_refused(model: Model, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.safetensors").write_bytes(content)
    with pytest.raises(VoiceError, match=r"bad\.safetensors.*sayline export-voice"):
        load(model, tmp_path / "bad.safetensors")


def test_missing_file_is_reported(model: Model, tmp_path: Path) -> None:
    with pytest.raises(VoiceError, match="cannot be read"):
        load(model, tmp_path / "none.safetensors")
