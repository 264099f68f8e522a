"""In which numbers a model computes. What is picked by itself is what the processor is built for."""

from enum import Enum

import torch

from engine.errors import InputError


class Precision(Enum):
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    INT8 = "int8"  # FlowLM's products, with a scale for each row; all else as in bfloat16

    @property
    def dtype(self) -> torch.dtype:
        """Of activations in the codec, and of keys and values."""
        return torch.float32 if self is Precision.FLOAT32 else torch.bfloat16

    @property
    def of_codec(self) -> "Precision":
        return Precision.BFLOAT16 if self is Precision.INT8 else self

    @classmethod
    def choose(cls, name: str, device: torch.device) -> "Precision":
        """A precision by name; "auto" is bfloat16 where the processor multiplies it fast, else float32.

        Raises `InputError`.
        """
        if name == "auto":
            return cls.BFLOAT16 if _multiplies_bfloat16(device) else cls.FLOAT32
        try:
            precision = cls(name)
        except ValueError:
            known = ", ".join(["auto", *(each.value for each in cls)])
            raise InputError(f"there is no precision {name!r}; choose one of {known}") from None
        if precision is cls.INT8 and (
            device.type != "cpu" or "fbgemm" not in torch.backends.quantized.supported_engines
        ):
            raise InputError("int8 is for x86 processors; choose bfloat16 or float32")
        return precision


def _multiplies_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # older torch cannot tell
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
