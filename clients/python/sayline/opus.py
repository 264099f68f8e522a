"""Decode Opus packets with libopus: the system's, or the one in PyAV's wheel (`pip install 'sayline-client[opus]'`)."""

import ctypes
import ctypes.util
import functools
from importlib.util import find_spec
from pathlib import Path

from sayline.errors import ProtocolError

MAX_PACKET_MS = 120  # limit of the format
OK = 0


class OpusDecoder:
    """Decoder of one stream; the first `pre_skip_samples` are discarded."""

    def __init__(self, sample_rate_hz: int, pre_skip_samples: int) -> None:
        library = load_libopus()
        assert library is not None, "check `load_libopus` first"
        self._decode = library.opus_decode
        self._state = ctypes.create_string_buffer(
            library.opus_decoder_get_size(1)
        )  # garbage-collected, so it need not be freed
        if library.opus_decoder_init(self._state, sample_rate_hz, 1) != OK:
            raise ProtocolError(f"Opus does not support the server's sample rate of {sample_rate_hz} Hz")
        self._max_samples = sample_rate_hz * MAX_PACKET_MS // 1000
        self._pcm = (ctypes.c_int16 * self._max_samples)()
        self._skip_bytes = 2 * pre_skip_samples

    def decode(self, packet: bytes) -> bytes:
        """Decode one packet to 16-bit samples. Raises `ProtocolError`."""
        samples = self._decode(self._state, packet, len(packet), self._pcm, self._max_samples, 0) if packet else -1
        if samples < 0:
            raise ProtocolError(
                f"the server sent {len(packet)} bytes that are no Opus packet: report this to its operator"
            )
        pcm = ctypes.string_at(self._pcm, 2 * samples)[self._skip_bytes :]
        self._skip_bytes = max(0, self._skip_bytes - 2 * samples)
        return pcm


@functools.cache
def load_libopus() -> ctypes.CDLL | None:
    """Load libopus, or return None if it is not available."""
    for path in candidates():
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue
        library.opus_decoder_init.argtypes = (ctypes.c_void_p, ctypes.c_int32, ctypes.c_int)
        library.opus_decode.argtypes = (
            ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32, ctypes.c_void_p, ctypes.c_int, ctypes.c_int,
        )  # fmt: skip
        return library
    return None


def candidates() -> list[str]:
    found = ctypes.util.find_library("opus")
    wheel = find_spec("av")  # located, not imported
    places = [Path(place) for place in wheel.submodule_search_locations or ()] if wheel else []
    inside = [
        path for place in places for path in (*place.parent.glob("av.libs/*opus*"), *place.glob(".dylibs/*opus*"))
    ]
    return [
        *([found] if found else []),
        *(str(path) for path in inside if path.name.startswith(("libopus-", "libopus."))),
    ]
