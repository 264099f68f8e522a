"""Numeric precision of a model, and which one is fastest on a device."""

from enum import Enum

import torch

from sayline_tts.engine.errors import InputError
from sayline_tts.engine.kernels.isa import requested_isa
from sayline_tts.engine.kernels.torch_internals import cpu_capabilities


class Precision(Enum):
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    INT8 = "int8"  # weights by output, activations by row; everything between products stays in float32

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of activations."""
        return torch.bfloat16 if self is Precision.BFLOAT16 else torch.float32

    @property
    def cache_dtype(self) -> torch.dtype:
        """Dtype of keys and values: attention is limited by reading them."""
        return torch.float32 if self is Precision.FLOAT32 else torch.bfloat16

    @classmethod
    def choose(cls, name: str, device: torch.device) -> "Precision":
        """Return a precision by name; "auto" is the fastest on this device of those that sound the same.

        Raises `InputError`.
        """
        if name == "auto":
            return _fastest(device)
        try:
            precision = cls(name)
        except ValueError:
            known = ", ".join(["auto", *(each.value for each in cls)])
            raise InputError(f"there is no precision {name!r}; choose one of {known}") from None
        if precision is cls.INT8 and device.type != "cpu":
            raise InputError("precision int8 needs a CPU; choose bfloat16 or float32")
        return precision


def _fastest(device: torch.device) -> Precision:
    """int8 where the processor multiplies it two to six times as fast as anything else.

    bfloat16 is for accelerators: processors that have it have int8 too, and without AMX it may be the slowest of all.
    """
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
        return Precision.BFLOAT16 if fast else Precision.FLOAT32
    requested, capabilities = requested_isa(), cpu_capabilities()
    has_vnni = any(capabilities.get(name) for name in ("avx512_vnni", "avx_vnni"))
    if requested is not None:
        has_vnni = has_vnni and requested.has_vnni
    return Precision.INT8 if device.type == "cpu" and has_vnni else Precision.FLOAT32
