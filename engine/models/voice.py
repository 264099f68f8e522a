"""`Voice`: the keys and values of FlowLM after a voice prompt, immutable, and its file format.

The format is that of the published voices: for every layer `transformer.layers.N.self_attn/cache`
`[2, 1, positions, kv_heads, head_dim]` and `/offset` (older files: `/current_end`, whose length is the offset).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from sayline_tts.engine.checkpoint.atomic_write import atomic_write
from sayline_tts.engine.checkpoint.config import FlowLMTransformerConfig
from sayline_tts.engine.checkpoint.safetensors_reader import TensorSpec, read_tensors
from sayline_tts.engine.errors import CheckpointError, VoiceError

# A voice has three tensors per layer. Parsing a header takes many times its size in memory.
MAX_HEADER_BYTES = 256 * 1024
# Real voices stay below 100. Far larger values overflow to infinity in a product, and a slot's stale values
# are multiplied by zero for the slot's next user: zero times infinity is NaN.
MAX_VALUE = 1e4
FLOATING = ("F16", "BF16", "F32", "F64")
NUMBERS = (*FLOATING, "I32", "I64")


@dataclass(frozen=True, eq=False, repr=False)
class Voice:
    """Keys and values `[layers, kv_heads, positions, head_dim]`, float32, on the CPU."""

    keys: Tensor
    values: Tensor

    @classmethod
    def from_cache(cls, keys: Tensor, values: Tensor) -> "Voice":
        """Copy keys and values of any dtype and device from a cache."""
        return cls(keys.float().cpu(), values.float().cpu())

    @property
    def positions(self) -> int:
        return self.keys.shape[2]

    def save(self, path: Path) -> None:
        """Write the voice file atomically: a killed process leaves either the old file or the new one."""
        atomic_write(path, self.to_bytes())

    def to_bytes(self) -> bytes:
        """Return a voice file that this project and the reference implementation can read."""
        tensors = {}
        for layer in range(self.keys.shape[0]):
            name = f"transformer.layers.{layer}.self_attn"
            both = torch.stack([self.keys[layer], self.values[layer]])  # [2, heads, positions, dim]
            tensors[f"{name}/cache"] = both.transpose(1, 2)[:, None].contiguous().clone()
            tensors[f"{name}/offset"] = torch.tensor([self.positions])
            tensors[f"{name}/pad"] = torch.tensor([0])
        return safetensors.torch.save(tensors)


def load_voice_file(path: Path, shape: FlowLMTransformerConfig, max_positions: int | None = None) -> Voice:
    """Read a voice file made for a model of this shape.

    The header is checked before any memory is allocated. Raises `VoiceError` if the file does not fit the model.
    """
    try:
        _check_header_size(path)
        tensors = read_tensors(path, lambda announced: _fitting(announced, shape, path.name))
    except CheckpointError as error:
        raise VoiceError(f"{error}; {_ADVICE}") from None
    keys, values = [], []
    for layer in range(shape.num_layers):
        name = _layer(layer)
        cache = tensors[f"{name}/cache"]
        positions = _positions(tensors, name, cache.shape[2], path.name)
        keys.append(cache[0, 0, :positions].transpose(0, 1))
        values.append(cache[1, 0, :positions].transpose(0, 1))
    lengths = {part.shape[1] for part in keys}
    if len(lengths) != 1:
        raise VoiceError(f"{path.name}: damaged: its layers differ in length; {_ADVICE}")
    if max_positions is not None and max(lengths) > max_positions:
        raise VoiceError(f"{path.name}: {max(lengths)} positions long, {max_positions} are allowed; {_ADVICE}")
    voice = Voice(torch.stack(keys), torch.stack(values))
    if not all((part.abs() <= MAX_VALUE).all() for part in (voice.keys, voice.values)):  # also false for NaN
        raise VoiceError(f"{path.name}: damaged: it holds numbers that are not finite, or far too large; {_ADVICE}")
    return voice


_ADVICE = "make it again for this model with `sayline export-voice`"


def _layer(layer: int) -> str:
    return f"transformer.layers.{layer}.self_attn"


def _check_header_size(path: Path) -> None:
    try:
        with path.open("rb") as file:
            header_bytes = int.from_bytes(file.read(8), "little")
    except OSError:
        return  # `read_tensors` reports it
    if MAX_HEADER_BYTES < header_bytes <= path.stat().st_size:
        raise VoiceError(f"{path.name}: its header takes {header_bytes} bytes, more than a voice has; {_ADVICE}")


def _fitting(announced: Mapping[str, TensorSpec], shape: FlowLMTransformerConfig, file: str) -> Collection[str]:
    """Return the names of the tensors to read. Raises `VoiceError` if the file does not fit the model's shape."""
    heads, dim = shape.kv_heads, shape.head_dim
    wanted = []
    for layer in range(shape.num_layers):
        name = _layer(layer)
        cache = announced.get(f"{name}/cache")
        if cache is None:
            raise VoiceError(f"{file}: not a voice for this model: layer {layer} is missing; {_ADVICE}")
        if len(cache.shape) != 5 or cache.shape[:2] != (2, 1) or cache.shape[3:] != (heads, dim):
            expected = f"[2, 1, positions, {heads}, {dim}]"
            raise VoiceError(
                f"{file}: made for another model: layer {layer} is {list(cache.shape)}, "
                f"this model needs {expected}; {_ADVICE}"
            )
        if cache.dtype not in FLOATING:
            raise VoiceError(f"{file}: not a voice: layer {layer} holds {cache.dtype}; {_ADVICE}")
        lengths = (f"{name}/offset", f"{name}/current_end")
        known = [length for length in lengths if length in announced and announced[length].dtype in NUMBERS]
        wanted += [f"{name}/cache", *known]
    if f"{_layer(shape.num_layers)}/cache" in announced:
        raise VoiceError(f"{file}: made for a model with more than {shape.num_layers} layers; {_ADVICE}")
    return wanted


def _positions(tensors: dict[str, Tensor], name: str, capacity: int, file: str) -> int:
    offset, current_end = tensors.get(f"{name}/offset"), tensors.get(f"{name}/current_end")
    if offset is not None and offset.numel() == 1 and offset.dtype in (torch.int32, torch.int64):
        positions = int(offset.item())
    elif current_end is not None and current_end.dim() >= 1:
        positions = current_end.shape[0]
    else:
        raise VoiceError(f"{file}: damaged: it does not say how long it is; {_ADVICE}")
    if not 0 < positions <= capacity:
        raise VoiceError(
            f"{file}: damaged: it gives its length as {positions} positions but holds {capacity}; {_ADVICE}"
        )
    return positions
