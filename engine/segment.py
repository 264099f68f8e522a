"""What an utterance consists of: text segments and silences, and how their latents are sampled."""

from dataclasses import dataclass

from sayline_tts.engine.text.chunk import Word

# Of the flow head, for one frame: what one listener may cost the others of his batch.
MAX_DECODE_STEPS = 16


@dataclass(frozen=True, slots=True)
class Segment:
    """The piece of text that the model takes at once."""

    text: str
    tokens: tuple[int, ...]
    max_frames: int
    frames_after_eos: int
    words: tuple[Word, ...] = ()  # of which its listener wants to know when they are spoken
    owners: tuple[int, ...] = ()  # for each token the word that it belongs to; empty: that is not known


@dataclass(frozen=True, slots=True)
class Silence:
    """A pause between segments: so many frames of zeros, at least one."""

    frames: int


@dataclass(frozen=True, slots=True)
class Sampling:
    """How latents are drawn. `noise_clamp` bounds the noise on both sides, in units of the latent."""

    temperature: float
    noise_clamp: float | None
    eos_threshold: float
    decode_steps: int
    seed: int
