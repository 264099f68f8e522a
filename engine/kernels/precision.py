"""In which numbers a model computes. What is picked by itself is what the processor is built for."""

from enum import Enum

import torch

from sayline_tts.engine.errors import InputError


class Precision(Enum):
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    INT8 = "int8"  # products, each row in levels of its own

    @property
    def dtype(self) -> torch.dtype:
        """Of activations."""
        return torch.bfloat16 if self is Precision.BFLOAT16 else torch.float32

    @property
    def cache_dtype(self) -> torch.dtype:
        """Of keys and values: reading them is what limits attention."""
        return torch.float32 if self is Precision.FLOAT32 else torch.bfloat16

    @classmethod
    def choose(cls, name: str, device: torch.device) -> "Precision":
        """A precision by name; "auto" is the fastest on this device of those whose speech cannot be told apart.

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
            raise InputError("int8 is for processors; choose bfloat16 or float32")
        return precision


def _fastest(device: torch.device) -> Precision:
    """int8 where it is multiplied at two to six times the speed of any other. bfloat16 is what accelerators have:
    processors that have it have int8 too, and without AMX it may even be the slowest of all.
    """
    if device.type == "cuda":
        good = torch.cuda.is_bf16_supported(including_emulation=False)
        return Precision.BFLOAT16 if good else Precision.FLOAT32
    vnni = device.type == "cpu" and any(_capabilities().get(name) for name in ("avx512_vnni", "avx_vnni"))
    return Precision.INT8 if vnni else Precision.FLOAT32


def _capabilities() -> dict[str, bool]:
    found: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # older torch cannot tell
    return found
