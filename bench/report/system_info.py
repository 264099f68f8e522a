"""The machine that was measured, from /proc; what is missing stays empty."""

import os
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from sayline_tts.engine.device import usable_cores

CPUINFO = Path("/proc/cpuinfo")
# CPU features that decide the speed of matrix products.
RELEVANT_FLAGS = (
    "avx2",
    "avx512f",
    "avx512_bf16",
    "avx512_vnni",
    "avx_vnni",
    "amx_bf16",
    "amx_int8",
    "bf16",
    "i8mm",
    "asimd",
)


@dataclass(frozen=True, slots=True)
class SystemInfo:
    cpu: str
    cores: int
    flags: tuple[str, ...]
    memory_gb: float
    system: str
    python: str
    torch: str
    sayline: str

    @classmethod
    def here(cls) -> "SystemInfo":
        cpuinfo = _cpuinfo()
        return cls(
            cpu=cpuinfo.get("model name", platform.processor() or platform.machine()) + _family(cpuinfo),
            cores=usable_cores(),
            flags=tuple(
                flag for flag in RELEVANT_FLAGS if flag in cpuinfo.get("flags", cpuinfo.get("features", "")).split()
            ),
            memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            system=f"{platform.system()} {platform.release()}",
            python=platform.python_version(),
            torch=_version("torch"),
            sayline=_version("sayline"),
        )


def _cpuinfo() -> dict[str, str]:
    """Return the fields of the first core."""
    try:
        lines = CPUINFO.read_text().partition("\n\n")[0].splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _family(cpuinfo: dict[str, str]) -> str:
    """Virtual machines hide the model name, but not its family and model numbers."""
    if "cpu family" not in cpuinfo:
        return ""
    return f" (family {cpuinfo['cpu family']} model {cpuinfo.get('model', '?')})"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
