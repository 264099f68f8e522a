"""A piece of audio, as the reader of a context gets it."""

from dataclasses import dataclass, field

from sayline.errors import SaylineError


@dataclass(frozen=True, slots=True)
class Frame:
    """80 ms of audio, which begin at `start_ms`.

    Where it came as Opus, the first frame is shorter by what the encoder looks ahead (6.5 ms), and the sound of the
    others lies so much earlier: join the `pcm` of all, and count samples where that matters.
    """

    context_id: str
    seq: int
    start_ms: float
    pcm_data: bytes | None = field(default=None, repr=False)
    opus_data: bytes | None = field(default=None, repr=False)

    @property
    def pcm(self) -> bytes:
        """16-bit little-endian mono samples."""
        if self.pcm_data is None:
            raise SaylineError(
                "decoding Opus needs libopus: pip install 'sayline-client[opus]', or ask for context(format=\"pcm\")"
            )
        return self.pcm_data

    @property
    def packet(self) -> bytes:
        """The Opus packet as it came."""
        if self.opus_data is None:
            raise SaylineError('this frame has no Opus packet: ask for them with context(format="opus")')
        return self.opus_data
