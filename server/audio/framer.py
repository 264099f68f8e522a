"""Sound as the engine makes it becomes frames as the wire has them: at another speed, each encoded. Knows no loop.

One thread at a time.
"""

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sayline_tts.engine.audio.recording import to_pcm
from sayline_tts.engine.audio.time_stretch import Tempo
from sayline_tts.server.audio.opus import OpusEncoder

OPUS_BYTES_PER_MS, PCM_BYTES_PER_MS = 6.0, 48.0  # about; exactly, at 24 kHz

Samples = npt.NDArray[np.float32]


class Framer:
    """`on_encoded` is told how many ms each frame took to encode."""

    def __init__(
        self, format: str, speed: float, sample_rate_hz: int, frame_samples: int, on_encoded: Callable[[float], None]
    ) -> None:
        self._encode: Callable[[Samples], bytes] = (
            OpusEncoder(sample_rate_hz).encode if format == "opus" else lambda pcm: to_pcm(pcm)
        )
        self._speed, self._sample_rate_hz, self._frame_samples = speed, sample_rate_hz, frame_samples
        self._on_encoded = on_encoded
        self._tempo = self._new_tempo()
        self._rest = np.zeros(0, np.float32)  # less than a frame

    def feed(self, pcm: Samples) -> list[bytes]:
        """The frames that this completes."""
        if self._speed == 1:
            return [self._encoded(pcm)]
        self._rest = np.concatenate([self._rest, self._tempo.feed(pcm)])
        count = len(self._rest) // self._frame_samples
        whole, self._rest = np.split(self._rest, [count * self._frame_samples])
        return [self._encoded(frame) for frame in whole.reshape(count, self._frame_samples)]

    def end_part(self) -> list[bytes]:
        """A segment or a pause is over, and more may not come for long: what is left of it, filled up with silence."""
        if self._speed == 1:
            return []
        rest = np.concatenate([self._rest, self._tempo.end()])
        missing = -len(rest) % self._frame_samples
        self._rest, self._tempo = np.pad(rest, (0, missing)), self._new_tempo()
        return self.feed(np.zeros(0, np.float32))

    def _new_tempo(self) -> Tempo:
        return Tempo(self._speed, self._sample_rate_hz)

    def _encoded(self, frame: Samples) -> bytes:
        began_s = time.perf_counter()
        data = self._encode(frame)
        self._on_encoded((time.perf_counter() - began_s) * 1000)
        return data
