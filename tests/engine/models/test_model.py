"""Checkpoints that do not match their config, and text as segments."""

from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED, find_checkpoint
from sayline_tts.engine.errors import CheckpointError, TextError, VoiceError
from sayline_tts.engine.models.model import Model
from tests.engine.reference import some_audio, write_embedded_config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"flow_lm__transformer__num_layers": 7}, "layers.6.* is missing"),
        ({"flow_lm__transformer__num_layers": 5}, "is not in the config"),
        ({"flow_lm__transformer__d_model": 512}, "the config says"),
        ({"flow_lm__flow__type": "drifting"}, "time_embed.* is not in the config"),
        ({"flow_lm__z_dim": 64}, "z_proj.weight is missing"),
    ],
)
def test_weights_of_another_shape_are_refused_by_name(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    checkpoint = find_checkpoint(config=write_embedded_config(tmp_path, **changes))
    with pytest.raises(CheckpointError, match=message.replace(".", r"\.").replace(r"\.*", ".*")):
        Model.load(checkpoint)


def test_tokenizer_of_another_size_is_refused(tmp_path: Path) -> None:
    tensors = safetensors.torch.load_file(EMBEDDED / "model.safetensors")
    tensors["flow_lm.conditioner.embed.weight"] = torch.zeros(601, 256)
    safetensors.torch.save_file(tensors, tmp_path / "wide.safetensors")
    config = write_embedded_config(
        tmp_path, flow_lm__lookup_table__n_bins=600, weights_path=str(tmp_path / "wide.safetensors")
    )
    with pytest.raises(CheckpointError, match="600"):
        Model.load(find_checkpoint(config=config))


def test_weights_without_cloning_explain_how_to_get_those_with_it(model: Model) -> None:
    closed = replace(model, checkpoint=replace(model.checkpoint, can_clone=False))
    with pytest.raises(VoiceError, match=r"cannot clone.*clara.*accept the terms"):
        closed.encode_voice(some_audio(1.0)[0].numpy())
    assert closed.load_voice("clara").positions == model.load_voice("clara").positions


def test_segment_has_its_frame_limit_and_frames_after_eos(model: Model) -> None:
    segment = model.segment("Yes")
    assert segment.max_frames == -(-(len(segment.tokens) / 3 + 2) * 12.5 // 1)
    assert segment.frames_after_eos == model.config.model_recommended_frames_after_eos
    assert model.segment("Yes", after_eos=9).frames_after_eos == 9
    config = model.config.model_copy(update={"model_recommended_frames_after_eos": None})
    guessing = replace(model, checkpoint=replace(model.checkpoint, config=config))
    assert guessing.segment("Yes").frames_after_eos == 5
    assert guessing.segment("Yes, and this goes on for longer").frames_after_eos == 3
    assert guessing.segment("Yes, and this goes on for longer", continues=True).frames_after_eos == 1
    assert guessing.segment("Yes", after_eos=1, continues=True).frames_after_eos == 0


def test_blank_text_is_refused(model: Model) -> None:
    for text in ("", " \n", "\x00"):
        with pytest.raises(TextError):
            model.segments(text)


def test_float16_weights_are_converted_to_float32(model: Model) -> None:
    kinds = {tensor.dtype for tensor in safetensors.torch.load_file(EMBEDDED / "model.safetensors").values()}
    assert torch.float16 in kinds
    assert {each.dtype for each in [*model.flow_lm.parameters(), *model.mimi.parameters()]} == {torch.float32}


def test_passage_without_punctuation_is_refused_early(model: Model) -> None:
    with pytest.raises(TextError, match=r"has no punctuation to split it at; add full stops or commas"):
        model.segments("a" * 1_000_000)
    assert len(model.segments("A sentence. " * 5000)) == 5000 / 8
