"""The audio of the scripted server: a continuous tone."""

import functools
import math
import struct

import numpy as np

from sayline_tts.server.audio.opus import OpusEncoder

FRAME_SAMPLES = 1920
FRAME_MS = 80.0
PERIOD_SAMPLES = 80  # of which a frame has a whole number
PEAK = 9000
TONE = struct.pack(
    f"<{FRAME_SAMPLES}h", *(round(PEAK * math.sin(n * math.tau / PERIOD_SAMPLES)) for n in range(FRAME_SAMPLES))
)

_packets: list[bytes] = []


def packet(number: int) -> bytes:
    """The tone's Opus packet of this number: the same in every context, since an encoder knows no other."""
    while len(_packets) <= number:
        _packets.append(encoder().encode(np.frombuffer(TONE, "<i2").astype(np.float32) / np.float32(32768)))
    return _packets[number]


@functools.cache
def encoder() -> OpusEncoder:
    return OpusEncoder()
