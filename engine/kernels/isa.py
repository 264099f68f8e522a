"""Instruction sets of the int8 microkernel, and which of them is used.

The best one that the processor has is used, unless the environment variable `SAYLINE_ISA` names a lesser one:
`avx512_vnni`, `avx_vnni`, `avx2` or `generic`. It is read once, at import.
"""

import os
from typing import NamedTuple

from sayline_tts.engine.errors import InputError

VARIABLE = "SAYLINE_ISA"


class Isa(NamedTuple):
    """How a processor accumulates products of bytes, and the microkernel's shape that its registers allow."""

    name: str
    features: tuple[str, ...]  # any of these sets of LLVM features, joined by "+", is enough; none: every processor
    lanes: int  # int32 accumulators per register
    vectors: int  # registers side by side in a panel
    mr: int  # rows of the microkernel: with `vectors` registers each they fill the register file
    max_weight: float  # largest quantized weight, such that no intermediate sum saturates

    @property
    def nr(self) -> int:
        """Outputs per panel."""
        return self.lanes * self.vectors

    @property
    def narrow(self) -> "Isa":
        """The same for panels half as wide, for layers with few outputs."""
        return self._replace(vectors=self.vectors // 2, mr=self.mr * 2)

    @property
    def has_vnni(self) -> bool:
        return self.name.endswith("vnni")

    def is_supported(self, features: str) -> bool:
        """Whether a processor with these LLVM features, `+avx2,-sse4a`, can run it."""
        available = set(features.split(","))
        return not self.features or any({f"+{each}" for each in need.split("+")} <= available for need in self.features)


AVX512_VNNI = Isa("avx512_vnni", ("avx512vnni",), 16, 4, 6, 127)
AVX_VNNI = Isa("avx_vnni", ("avxvnni", "avx512vnni+avx512vl"), 8, 2, 6, 127)
AVX2 = Isa("avx2", ("avx2",), 8, 2, 4, 63)  # adds pairs of products in 16 bits: 2 * 255 * 63 < 2^15
GENERIC = Isa("generic", (), 4, 4, 4, 127)
ISAS = (AVX512_VNNI, AVX_VNNI, AVX2, GENERIC)  # best first


def requested_isa() -> Isa | None:
    """The one that `SAYLINE_ISA` names; None where it is unset or empty. Raises `InputError`."""
    name = os.environ.get(VARIABLE, "")
    if not name:
        return None
    for isa in ISAS:
        if isa.name == name:
            return isa
    raise InputError(
        f"{VARIABLE}={name!r} is not an instruction set; use one of {', '.join(each.name for each in ISAS)}"
    )


def choose_isa(features: str, requested: Isa | None = None) -> Isa:
    """The requested instruction set, or the best of a processor with these LLVM features. Raises `InputError`."""
    supported = [isa for isa in ISAS if isa.is_supported(features)]
    if requested is None:
        return supported[0]
    if requested not in supported:
        names = ", ".join(isa.name for isa in supported)
        raise InputError(
            f"{VARIABLE}={requested.name}: this processor does not have it; use one of {names}, or unset it"
        )
    return requested
