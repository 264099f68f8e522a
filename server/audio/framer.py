"""Turn the engine's samples into encoded protocol frames, optionally at another speed. Not thread-safe."""

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sayline_tts.engine.audio.recording import to_pcm
from sayline_tts.engine.audio.time_stretch import TimeStretcher
from sayline_tts.server.audio.formats import Encoder
from sayline_tts.server.audio.opus import OpusEncoder

OPUS_BYTES_PER_MS, PCM_BYTES_PER_MS = 6.0, 48.0  # Opus: approximately; PCM: at 24 kHz

Samples = npt.NDArray[np.float32]


def bytes_per_ms(format: str) -> float:
    return OPUS_BYTES_PER_MS if format == "opus" else PCM_BYTES_PER_MS


class Framer:
    """`on_encoded` gets the encoding time of each frame in ms. `encoder` replaces that of `format`."""

    def __init__(
        self,
        format: str,
        speed: float,
        sample_rate_hz: int,
        frame_samples: int,
        on_encoded: Callable[[float], None],
        encoder: Encoder | None = None,
    ) -> None:
        if encoder is not None:
            self._encode: Callable[[Samples], bytes] = encoder.encode
        elif format == "opus":
            self._encode = OpusEncoder(sample_rate_hz).encode
        else:
            self._encode = to_pcm
        self._speed, self._sample_rate_hz, self._frame_samples = speed, sample_rate_hz, frame_samples
        self._on_encoded = on_encoded
        self._stretcher = self._new_stretcher()
        self._pending = np.zeros(0, np.float32)  # less than one frame

    def feed(self, pcm: Samples) -> list[bytes]:
        """The encoded frames that are complete with `pcm`."""
        if self._speed == 1:
            return [self._encode_timed(pcm)]
        self._pending = np.concatenate([self._pending, self._stretcher.feed(pcm)])
        count = len(self._pending) // self._frame_samples
        whole, self._pending = np.split(self._pending, [count * self._frame_samples])
        return [self._encode_timed(frame) for frame in whole.reshape(count, self._frame_samples)]

    def end_part(self) -> list[bytes]:
        """Flush at the end of a segment or pause, padding with silence: the next part may not follow soon."""
        if self._speed == 1:
            return []
        rest = np.concatenate([self._pending, self._stretcher.end()])
        missing = -len(rest) % self._frame_samples
        self._pending, self._stretcher = np.pad(rest, (0, missing)), self._new_stretcher()
        return self.feed(np.zeros(0, np.float32))

    def _new_stretcher(self) -> TimeStretcher:
        return TimeStretcher(self._speed, self._sample_rate_hz)

    def _encode_timed(self, frame: Samples) -> bytes:
        start_s = time.perf_counter()
        data = self._encode(frame)
        self._on_encoded((time.perf_counter() - start_s) * 1000)
        return data
