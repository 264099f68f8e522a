"""What an engine has to know to go on with an utterance that another engine began.

It steps through the current segment again, with the latents that were made, so that FlowLM's state is that of the
other engine. It decodes the last frames again for the codec's state. The first new frame is then the one that the other
engine would have made: to the last bit if both have the same weights, precision and kernels, and without a seam in any
case.
"""

from dataclasses import dataclass, replace

from torch import Tensor


@dataclass(frozen=True, slots=True)
class NoisePosition:
    """Where the noise of an utterance stands: so many frames have been drawn since `seed`."""

    seed: int
    draws: int = 0

    def next(self) -> "NoisePosition":
        return replace(self, draws=self.draws + 1)


@dataclass(frozen=True, slots=True, eq=False)
class GivenFrame:
    """A frame that has been made elsewhere: its latent `[dim]`, on FlowLM's scale, and whether speech ended at it."""

    latent: Tensor
    is_eos: bool


@dataclass(frozen=True, slots=True, eq=False)
class Resumption:
    """Where an utterance stands. The first segment that is added is its current one if frames are `given`."""

    frames: int  # before the current segment, silent ones included
    noise: NoisePosition  # at the beginning of the current segment
    given: tuple[GivenFrame, ...]  # of the current segment
    decoded_frames: int  # in all: those with a latent
    history: Tensor  # [frames, dim], FlowLM's scale: the last `codec_history_frames` of those; what the codec remembers
