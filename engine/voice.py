"""`Voice`: immutable speaker conditioning, the keys and values that FlowLM holds after a voice prompt.

The file format is that of the published voices: for every layer `transformer.layers.N.self_attn/cache`
`[2, 1, positions, kv_heads, head_dim]` and `/offset` (older files: `/current_end`, whose length is the offset).
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from engine.config import FlowLMTransformerConfig
from engine.errors import CheckpointError, VoiceError
from engine.tensors import read_tensors


@dataclass(frozen=True, eq=False, repr=False)
class Voice:
    """Keys and values `[layers, kv_heads, positions, head_dim]`, float32, on the CPU."""

    keys: Tensor
    values: Tensor

    @property
    def positions(self) -> int:
        return self.keys.shape[2]

    def save(self, path: Path) -> None:
        """Write a voice file that this project and the reference implementation read.

        Through a temporary file and a rename, so that a kill leaves a whole file or none.
        """
        tensors = {}
        for layer in range(self.keys.shape[0]):
            name = f"transformer.layers.{layer}.self_attn"
            both = torch.stack([self.keys[layer], self.values[layer]])  # [2, heads, positions, dim]
            tensors[f"{name}/cache"] = both.transpose(1, 2)[:, None].contiguous().clone()
            tensors[f"{name}/offset"] = torch.tensor([self.positions])
            tensors[f"{name}/pad"] = torch.tensor([0])
        data = safetensors.torch.save(tensors)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as part:
            try:
                part.write(data)
                part.close()
                os.chmod(part.name, 0o644)  # as an ordinary file, not private like a temporary one
                os.replace(part.name, path)
            except BaseException:
                os.unlink(part.name)
                raise


def load_voice_file(path: Path, shape: FlowLMTransformerConfig) -> Voice:
    """Read a voice file made for a model of this shape. Raises `VoiceError` where it does not fit."""
    try:
        tensors = read_tensors(path)
    except CheckpointError as error:
        raise VoiceError(f"{error}; {_ADVICE}") from None
    heads, dim = shape.kv_heads, shape.head_dim
    keys, values = [], []
    for layer in range(shape.num_layers):
        name = f"transformer.layers.{layer}.self_attn"
        cache = tensors.get(f"{name}/cache")
        if cache is None:
            raise VoiceError(f"{path.name}: not a voice for this model: layer {layer} is missing; {_ADVICE}")
        if cache.dim() != 5 or cache.shape[:2] != (2, 1) or cache.shape[3:] != (heads, dim):
            expected = f"[2, 1, positions, {heads}, {dim}]"
            raise VoiceError(
                f"{path.name}: made for another model: layer {layer} is {list(cache.shape)}, "
                f"this model needs {expected}; {_ADVICE}"
            )
        positions = _positions(tensors, name, cache.shape[2], path)
        keys.append(cache[0, 0, :positions].transpose(0, 1))
        values.append(cache[1, 0, :positions].transpose(0, 1))
    if f"transformer.layers.{shape.num_layers}.self_attn/cache" in tensors:
        raise VoiceError(f"{path.name}: made for a model of more than {shape.num_layers} layers; {_ADVICE}")
    if len({part.shape[1] for part in keys}) != 1:
        raise VoiceError(f"{path.name}: damaged: its layers differ in length; {_ADVICE}")
    voice = Voice(torch.stack(keys), torch.stack(values))
    if not (voice.keys.isfinite().all() and voice.values.isfinite().all()):
        raise VoiceError(f"{path.name}: damaged: it holds numbers that are not finite; {_ADVICE}")
    return voice


_ADVICE = "make it again for this model with `sayline export-voice`"


def _positions(tensors: dict[str, Tensor], name: str, capacity: int, path: Path) -> int:
    offset, current_end = tensors.get(f"{name}/offset"), tensors.get(f"{name}/current_end")
    if offset is not None and offset.numel() == 1:
        positions = int(offset.item())
    elif current_end is not None and current_end.dim() >= 1:
        positions = current_end.shape[0]
    else:
        raise VoiceError(f"{path.name}: damaged: it does not say how long it is; {_ADVICE}")
    if not 0 < positions <= capacity:
        raise VoiceError(f"{path.name}: damaged: says {positions} positions but holds {capacity}; {_ADVICE}")
    return positions
