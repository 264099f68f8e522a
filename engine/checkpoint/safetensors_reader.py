"""Read tensors from a safetensors file, with error messages that name the cause."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from sayline_tts.engine.errors import CheckpointError


@dataclass(frozen=True)
class TensorSpec:
    """Shape and type of one tensor, as the file's header declares them."""

    shape: tuple[int, ...]
    dtype: str  # as the format spells it: F32, BF16, I64, ...


SelectTensors = Callable[[Mapping[str, TensorSpec]], Collection[str]]


def read_tensors(path: Path, select: SelectTensors | None = None) -> dict[str, torch.Tensor]:
    """Read tensors from a safetensors file; floating-point ones become float32. Raises `CheckpointError`.

    The header is checked against the size of the file before any tensor is allocated. `select` receives the declared
    tensors and returns the names to read; without it all are read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            # Copied: the reader's tensors map the file, which may change while the server runs.
            names = file.keys() if select is None else select(_tensor_specs(file))
            return {name: _float32(file.get_tensor(name)) for name in names}
    except SafetensorError as error:
        raise CheckpointError(f"{path}: {_describe_error(path, str(error))}") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); check the path") from error


def _tensor_specs(file: Any) -> dict[str, TensorSpec]:
    parts = ((name, file.get_slice(name)) for name in file.keys())  # noqa: SIM118
    return {name: TensorSpec(tuple(part.get_shape()), part.get_dtype()) for name, part in parts}


def _float32(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to(torch.float32 if tensor.is_floating_point() else tensor.dtype, copy=True)


def _describe_error(path: Path, error: str) -> str:
    size_bytes = path.stat().st_size
    if size_bytes == 0:
        return "the file is empty; download or export it again"
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
    if 8 + header_bytes > size_bytes or "invalid JSON" in error or "UTF-8" in error:
        return (
            f"not a safetensors file, or truncated within its header (which claims {header_bytes} bytes of "
            f"{size_bytes}); give a .safetensors file, or download it again"
        )
    if "not fully covered" in error:
        return f"its size of {size_bytes} bytes does not match its header; download or copy it again"
    return f"not a usable safetensors file ({error}); download or export it again"
