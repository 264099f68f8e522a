"""Opus encoder: one packet per 80 ms frame.

Uses the libopus inside PyAV's wheel, so no system package is needed and all machines make the same packets. Without it,
uses the system's libopus.
"""

import ctypes.util
import functools
import threading
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from sayline_tts.engine.audio.bundled_libs import bundled_library
from sayline_tts.engine.audio.recording import SAMPLE_RATE_HZ, to_int16
from sayline_tts.engine.errors import InputError

FRAME_MS = 80
MAX_PACKET_BYTES = 4_000  # as libopus recommends; 80 ms at 48 kbit/s take about 440

ADVICE = 'install it ("apt install libopus0" or "brew install opus"), or install PyAV from its wheel ("pip install av")'

_importing = threading.Lock()


class OpusMissing(InputError):
    code = "opus_missing"


class OpusEncoder:
    """Encodes one mono stream. Not thread-safe. Raises `OpusMissing` if there is no libopus.

    Built on `opuslib.api`, because opuslib's `Encoder` frees itself in a `__del__` that fails at interpreter exit.

    48 kbit/s at complexity 0 sounds better than 32 kbit/s at complexity 5 and takes less than half the time (mean PESQ
    of three voices, worst PESQ, us per frame: 4.29, 4.22, 330 and 4.17, 3.75, 730). Application "audio" costs the same
    as "VoIP", which filters the voice.
    """

    def __init__(
        self, sample_rate_hz: int = SAMPLE_RATE_HZ, bitrate: int = 48_000, complexity: int = 0, frame_ms: int = FRAME_MS
    ) -> None:
        opuslib = load_opuslib()
        self.frame_samples = sample_rate_hz * frame_ms // 1000
        self._api = opuslib.api.encoder
        self._state = self._api.create_state(sample_rate_hz, 1, opuslib.APPLICATION_AUDIO)
        # Not at exit: a thread may still be encoding, and the process frees the memory anyway.
        weakref.finalize(self, self._api.destroy, self._state).atexit = False
        control = opuslib.api.ctl
        self._api.encoder_ctl(self._state, control.set_bitrate, bitrate)
        self._api.encoder_ctl(self._state, control.set_complexity, complexity)
        # Below complexity 7, libopus takes speech for music without this hint: PESQ 3.5 instead of 4.3.
        self._api.encoder_ctl(self._state, control.set_signal, opuslib.SIGNAL_VOICE)
        # Samples that players drop at the start: the encoder's lookahead, at this sample rate.
        self.pre_skip_samples: int = self._api.encoder_ctl(self._state, control.get_lookahead)

    def encode(self, pcm: npt.NDArray[np.float32]) -> bytes:
        """Encode one frame `[frame_samples]` to one packet. Clips at full scale; NaN becomes silence."""
        assert pcm.shape == (self.frame_samples,), pcm.shape
        whole = to_int16(pcm).tobytes()
        packet: bytes = self._api.encode(self._state, whole, self.frame_samples, MAX_PACKET_BYTES)
        return packet


@functools.cache
def load_opuslib() -> Any:
    """The module `opuslib` with `api.encoder`, `api.decoder` and `api.ctl`, bound to the libopus that was found."""
    with _importing, _patched_find_library(), warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # opuslib's `is not 0`, on its first import
        try:
            import opuslib
        except OSError as error:
            raise OpusMissing(f"libopus cannot be loaded ({error}); {ADVICE}.") from error
    # A variadic function; on Apple's processors its fixed arguments must be declared.
    opuslib.api.encoder.libopus_ctl.argtypes = (opuslib.api.encoder.EncoderPointer, ctypes.c_int)
    return opuslib


def find_libopus() -> str | None:
    wheel = bundled_library("opus")
    return str(wheel) if wheel else ctypes.util.find_library("opus")


@contextmanager
def _patched_find_library() -> Iterator[None]:
    """Make `ctypes.util.find_library`, which opuslib calls when imported, return our libopus."""
    path = find_libopus()
    if path is None:
        raise OpusMissing(f"libopus, which Opus encoding needs, was not found; {ADVICE}.")
    original = ctypes.util.find_library
    ctypes.util.find_library = lambda name: path if name == "opus" else original(name)
    try:
        yield
    finally:
        ctypes.util.find_library = original
