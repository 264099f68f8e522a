"""The native libraries bundled in PyAV's wheel: those of FFmpeg, and libopus."""

import ctypes
import functools
from pathlib import Path

import av

MAX_ALLOCATION_BYTES = 64 * 2**20  # far above any packet or index of audio; FFmpeg's default limit is 2 GB


def bundled_library(name: str) -> Path | None:
    """The wheel's `lib<name>`: in `av.libs` next to the package or, on macOS, in `.dylibs` inside it."""
    package = Path(av.__file__).parent
    found = [*package.parent.glob(f"av.libs/lib{name}-*.so*"), *package.glob(f".dylibs/lib{name}.*dylib")]
    return found[0] if found else None


@functools.cache
def limit_allocations() -> None:
    """Limit the size of a single FFmpeg allocation in this process to what audio needs.

    FFmpeg trusts the lengths inside a file: a 96 KB WAV with a comment declared as 2 GB took 4 s and 2 GB of memory to
    reject. PyAV has no setting for this; if PyAV uses the system's FFmpeg, the default limit remains.
    """
    if path := bundled_library("avutil"):
        set_limit = ctypes.CDLL(str(path)).av_max_alloc
        set_limit.argtypes, set_limit.restype = (ctypes.c_size_t,), None
        set_limit(MAX_ALLOCATION_BYTES)


@functools.cache
def use_one_thread() -> None:
    """Keep FFmpeg from starting one idle thread per processor for each resampler.

    PyAV has no setting for this; if PyAV uses the system's FFmpeg, the threads are started.
    """
    if path := bundled_library("avutil"):
        ctypes.CDLL(str(path)).av_cpu_force_count(ctypes.c_int(1))
