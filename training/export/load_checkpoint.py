"""Load the networks of a published checkpoint for training."""

from pathlib import Path
from typing import TypeVar

import safetensors.torch
from torch import Tensor, nn

from sayline_tts.engine.checkpoint.checkpoint import find_checkpoint
from sayline_tts.engine.checkpoint.config import load_config
from training.codec.network import Decoder, Encoder
from training.flow_lm.network import FlowLMNetwork

Half = TypeVar("Half", bound=nn.Module)


def load_tensors(config: Path, part: str) -> dict[str, Tensor]:
    """The tensors of `flow_lm` or `mimi` as float32, without that prefix."""
    tensors = safetensors.torch.load_file(find_checkpoint(config=config).weights)
    selected = {name.partition(".")[2]: tensor for name, tensor in tensors.items() if name.startswith(f"{part}.")}
    return {name: tensor.float() for name, tensor in selected.items()}


def load_flow_lm(config: Path) -> FlowLMNetwork:
    shape = load_config(config)
    network = FlowLMNetwork(shape.flow_lm, shape.mimi.quantizer.dimension, shape.mimi.voice_dim)
    network.load_state_dict(load_tensors(config, "flow_lm"))
    return network


def load_encoder(config: Path) -> Encoder:
    return _with_weights(Encoder(load_config(config).mimi), config)


def load_decoder(config: Path) -> Decoder:
    return _with_weights(Decoder(load_config(config).mimi), config)


def _with_weights(half: Half, config: Path) -> Half:
    tensors = load_tensors(config, "mimi")
    half.load_state_dict({name: tensors[name] for name in half.state_dict()})
    return half
