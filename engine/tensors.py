"""Read the tensors of a safetensors file, and say what is wrong with one that cannot be read."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from engine.errors import CheckpointError


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a safetensors file, floating ones as float32. Raises `CheckpointError`.

    The reader holds the header against the size of the file before it makes room for any tensor.
    """
    try:
        with safe_open(path, framework="pt") as file:
            # Copied, because the reader's tensors are windows on the file, which may change under a server.
            return {name: _float32(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(f"{path}: {_fault(path, str(error))}") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); check the path") from error


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
