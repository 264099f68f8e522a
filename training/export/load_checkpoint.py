"""What trainings begin with where there is a checkpoint already: its parts, as they are trained."""

from pathlib import Path
from typing import TypeVar

import safetensors.torch
from torch import Tensor, nn

from sayline_tts.engine.checkpoint.checkpoint import find_checkpoint
from sayline_tts.engine.checkpoint.config import load_config
from training.codec.codec_network import Decoder, Encoder
from training.flow_lm.flow_network import FlowNetwork

Half = TypeVar("Half", bound=nn.Module)


def tensors_of(config: Path, part: str) -> dict[str, Tensor]:
    """Of `flow_lm` or `mimi`, under the names that they have within it."""
    tensors = safetensors.torch.load_file(find_checkpoint(config=config).weights)
    within = {name.partition(".")[2]: each for name, each in tensors.items() if name.startswith(f"{part}.")}
    return {name: each.float() for name, each in within.items()}


def flow_network(config: Path) -> FlowNetwork:
    shape = load_config(config)
    network = FlowNetwork(shape.flow_lm, shape.mimi.quantizer.dimension, shape.mimi.voice_dim)
    network.load_state_dict(tensors_of(config, "flow_lm"))
    return network


def encoder(config: Path) -> Encoder:
    return _filled(Encoder(load_config(config).mimi), config)


def decoder(config: Path) -> Decoder:
    return _filled(Decoder(load_config(config).mimi), config)


def _filled(half: Half, config: Path) -> Half:
    tensors = tensors_of(config, "mimi")
    half.load_state_dict({name: tensors[name] for name in half.state_dict()})
    return half
