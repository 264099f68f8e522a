"""The parts of an utterance, text segments and silences, and how their latents are sampled."""

from dataclasses import dataclass, field

from sayline_tts.engine.text.chunk import Word

# Flow head steps for one frame. The bound limits what one utterance can cost the others of its batch.
MAX_DECODE_STEPS = 16
MAX_LOOKAHEAD_WORDS = 20


@dataclass(frozen=True, slots=True)
class Segment:
    """Text that the model takes in one prefill."""

    text: str
    tokens: tuple[int, ...]
    max_frames: int
    frames_after_eos: int
    words: tuple[Word, ...] = ()  # whose timestamps were requested
    # For each token the index of its word; empty: unknown, as without alignment heads. Follows from the rest.
    word_ids: tuple[int, ...] = field(default=(), compare=False)
    lookahead_words: int = 0  # of an open segment: how many words must lie ahead of the voice

    @property
    def open(self) -> bool:
        """Whether more words may follow while it is being spoken."""
        return self.lookahead_words > 0


@dataclass(frozen=True, slots=True)
class Silence:
    """A pause between segments: `frames` of zeros, at least one."""

    frames: int


@dataclass(frozen=True, slots=True)
class Sampling:
    """How latents are drawn. `noise_clamp` bounds the noise on both sides, in units of the latent."""

    temperature: float
    noise_clamp: float | None
    eos_threshold: float
    decode_steps: int
    seed: int
