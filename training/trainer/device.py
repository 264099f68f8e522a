"""The device on which trainings compute: the CPU, or an accelerator.

It becomes torch's default device, so networks, optimizers and random numbers are created there. What comes from NumPy
is moved by `to_device`. Checkpoints can be read on any device.
"""

from dataclasses import fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

Batch = TypeVar("Batch", bound=Any)


def use_device(name: str, threads: int) -> None:
    """Compute on this device from now on. `threads`: CPU threads."""
    torch.set_num_threads(threads)
    torch.set_default_device(name)
    torch.set_float32_matmul_precision("high")


def current_device() -> torch.device:
    return torch.get_default_device()


def to_device(tensor: Tensor) -> Tensor:
    return tensor.to(current_device())


def batch_to_device(batch: Batch) -> Batch:
    """Move all tensors of a dataclass."""
    moved: Batch = replace(batch, **{field.name: to_device(getattr(batch, field.name)) for field in fields(batch)})
    return moved


def seeded_generator(seed: int) -> torch.Generator:
    return torch.Generator(current_device()).manual_seed(seed)
