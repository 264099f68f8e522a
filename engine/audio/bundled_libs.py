"""The native libraries inside PyAV's wheel: FFmpeg's and libopus. Knows nothing of what they are used for."""

import ctypes
import functools
from pathlib import Path

import av

MAX_ALLOCATION_BYTES = 64 * 2**20  # far above any packet or index of audio; FFmpeg's own limit is 2 GB


def bundled_library(name: str) -> Path | None:
    """The wheel's `lib<name>`: in `av.libs` beside the package, on macOS in `.dylibs` inside it."""
    package = Path(av.__file__).parent
    found = [*package.parent.glob(f"av.libs/lib{name}-*.so*"), *package.glob(f".dylibs/lib{name}.*dylib")]
    return found[0] if found else None


@functools.cache
def limit_allocations() -> None:
    """Let no single allocation of FFmpeg, in this process, be larger than audio needs.

    It believes the lengths inside a file: in a WAV of 96 KB a comment of "2 GB" took 4 s and 2 GB to refuse.
    PyAV has no setting for it; where PyAV uses the system's FFmpeg, the limit stays as it was.
    """
    if path := bundled_library("avutil"):
        set_limit = ctypes.CDLL(str(path)).av_max_alloc
        set_limit.argtypes, set_limit.restype = (ctypes.c_size_t,), None
        set_limit(MAX_ALLOCATION_BYTES)


@functools.cache
def use_one_thread() -> None:
    """FFmpeg starts a thread for each processor with each resampler, and they have nothing to do.

    PyAV has no setting for it; where PyAV uses the system's FFmpeg, they are started.
    """
    if path := bundled_library("avutil"):
        ctypes.CDLL(str(path)).av_cpu_force_count(ctypes.c_int(1))
