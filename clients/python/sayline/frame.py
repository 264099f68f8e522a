"""A frame of audio, as read from a context."""

from dataclasses import dataclass, field

from sayline.errors import SaylineError


@dataclass(frozen=True, slots=True)
class Frame:
    """80 ms of audio that start at `start_ms`.

    Decoded from Opus, the first frame is shorter by the encoder's delay (6.5 ms), and the audio of the others is
    shifted by as much: concatenate the `pcm` of all frames and count samples where that matters.
    """

    context_id: str
    seq: int
    start_ms: float
    pcm_data: bytes | None = field(default=None, repr=False)
    opus_data: bytes | None = field(default=None, repr=False)

    @property
    def pcm(self) -> bytes:
        """16-bit little-endian mono samples. Raises `SaylineError` if they could not be decoded."""
        if self.pcm_data is None:
            raise SaylineError(
                "decoding Opus needs libopus: pip install 'sayline-client[opus]', or request context(format=\"pcm\")"
            )
        return self.pcm_data

    @property
    def packet(self) -> bytes:
        """The Opus packet as received. Raises `SaylineError` if packets were not requested."""
        if self.opus_data is None:
            raise SaylineError('this frame has no Opus packet: request packets with context(format="opus")')
        return self.opus_data
