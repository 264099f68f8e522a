"""Exported checkpoints: precision, loading, voices."""

from pathlib import Path

import safetensors.torch
import torch
import yaml

from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED, find_checkpoint
from sayline_tts.engine.models.model import Model
from training.export.export import to_half_precision, write_checkpoint, write_voice


def test_sensitive_tensors_stay_in_float32() -> None:
    tensors = to_half_precision(
        {"flow_lm.out_eos.bias": torch.ones(1), "flow_lm.input_linear.weight": torch.ones(2, 2)}
    )
    assert tensors["flow_lm.out_eos.bias"].dtype == torch.float32
    assert tensors["flow_lm.input_linear.weight"].dtype == torch.float16


def test_written_checkpoint_loads_and_makes_voices(tmp_path: Path) -> None:
    tensors = safetensors.torch.load_file(EMBEDDED / "model.safetensors")
    config = yaml.safe_load((EMBEDDED / "config.yaml").read_text())
    flow_lm = {name.removeprefix("flow_lm."): part for name, part in tensors.items() if name.startswith("flow_lm.")}
    mimi = {name: part for name, part in tensors.items() if name.startswith("mimi.")}
    tokenizer = EMBEDDED / "tokenizer.model"
    path = write_checkpoint(tmp_path, flow_lm, config["flow_lm"], mimi, config["mimi"], tokenizer)
    model = Model.load(find_checkpoint(config=path), precision="float32")
    write_voice(model, model.flow_lm.embed_voice(torch.randn(5, 32)), tmp_path / "voices/new.safetensors")
    voice = model.load_voice("new")
    assert voice.positions == 6
    assert model.checkpoint.voices() == ("new",)
    assert model.checkpoint.max_prompt_s == 10
