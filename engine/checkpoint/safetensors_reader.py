"""Read the tensors of a safetensors file, and say what is wrong with one that cannot be read."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from sayline_tts.engine.errors import CheckpointError


@dataclass(frozen=True)
class Announced:
    """What a file's header says of one tensor."""

    shape: tuple[int, ...]
    dtype: str  # as the format writes it: F32, BF16, I64, ...


Choose = Callable[[Mapping[str, Announced]], Collection[str]]


def read_tensors(path: Path, choose: Choose | None = None) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file, floating ones as float32. Raises `CheckpointError`.

    The reader holds the header against the size of the file before it makes room for any tensor. Then `choose` sees
    what is announced, and names the tensors to read; without it, all are.
    """
    try:
        with safe_open(path, framework="pt") as file:
            # Copied, because the reader's tensors are windows on the file, which may change under a server.
            names = file.keys() if choose is None else choose(_announced(file))
            return {name: _float32(file.get_tensor(name)) for name in names}
    except SafetensorError as error:
        raise CheckpointError(f"{path}: {_fault(path, str(error))}") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); check the path") from error


def _announced(file: Any) -> dict[str, Announced]:
    parts = ((name, file.get_slice(name)) for name in file.keys())  # noqa: SIM118
    return {name: Announced(tuple(part.get_shape()), part.get_dtype()) for name, part in parts}


def _float32(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to(torch.float32 if tensor.is_floating_point() else tensor.dtype, copy=True)


def _fault(path: Path, error: str) -> str:
    size_bytes = path.stat().st_size
    if size_bytes == 0:
        return "the file is empty; fetch or export it again"
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
    if 8 + header_bytes > size_bytes or "invalid JSON" in error or "UTF-8" in error:
        return (
            f"not a safetensors file, or one cut off in its header (which would take {header_bytes} bytes of "
            f"{size_bytes}); give a .safetensors file, or fetch it again"
        )
    if "not fully covered" in error:
        return f"its {size_bytes} bytes are not what its header announces: fetch or copy it again"
    return f"not a usable safetensors file ({error}); fetch or export it again"
