"""A piece of audio, as the reader of a context gets it."""

from dataclasses import dataclass

from sayline.errors import SaylineError


@dataclass(frozen=True, slots=True)
class Frame:
    """80 ms of audio: 16-bit little-endian mono PCM, or one Opus packet, as the context asked for."""

    context_id: str
    seq: int
    start_ms: float
    format: str
    data: bytes

    @property
    def pcm(self) -> bytes:
        return self._data_as("pcm")

    @property
    def packet(self) -> bytes:
        return self._data_as("opus")

    def _data_as(self, format: str) -> bytes:
        if self.format != format:
            raise SaylineError(f'this frame is {self.format}: ask for {format} with context(format="{format}")')
        return self.data
