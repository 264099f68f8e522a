"""Progress of one segment through its steps: which frames are kept, and where speech ends."""

from sayline_tts.engine.segment import Segment

# Before speech begins, the end-of-speech logit of some voices crosses the threshold, so end of speech counts from this
# frame of a segment on.
FIRST_FRAME_OF_EOS = 6


class SegmentProgress:
    """Progress of `segment`, which begins at `start_ms` of its utterance.

    `continues`: step the frame that ends speech too, so that the state can be continued.
    """

    def __init__(self, segment: Segment, start_ms: float, continues: bool) -> None:
        self.segment, self.start_ms = segment, start_ms
        self.over = False  # the last step has been made
        self._extra_steps = 1 if continues else 0
        self._steps = 0
        self._eos_step: int | None = None

    @property
    def attention_tokens(self) -> int:
        """Tokens of the segment if its attention is to be captured for word timestamps, else 0."""
        return len(self.segment.word_ids)

    @property
    def max_frames_left(self) -> int:
        return 0 if self.over else self.segment.max_frames - self._steps

    @property
    def min_frames(self) -> int:
        """Lower bound of the frames that the segment will have; exact once speech has ended."""
        eos_step = max(self._steps, FIRST_FRAME_OF_EOS) if self._eos_step is None else self._eos_step
        return min(self.segment.max_frames, eos_step + self.segment.frames_after_eos)

    @property
    def speech_ended(self) -> bool:
        """Whether the model has ended speech. The tail of the segment may still follow."""
        return self._eos_step is not None

    @property
    def discard(self) -> bool:
        """Whether the next frame lies behind the tail and only completes the state of the model."""
        return self._eos_step is not None and self._steps >= self._eos_step + self.segment.frames_after_eos

    @property
    def discard_on_eos(self) -> bool:
        """Whether the next frame is dropped if it turns out to end speech."""
        return self._eos_counts and self.segment.frames_after_eos == 0

    def step(self, is_eos: bool) -> bool:
        """Account for one step. Returns whether its frame is kept."""
        assert not self.over, "a step after the last one"
        if is_eos and self._eos_counts:
            self._eos_step = self._steps
        kept = not self.discard
        self._steps += 1
        ended = self._eos_step is not None and self._steps >= (
            self._eos_step + self.segment.frames_after_eos + self._extra_steps
        )
        self.over = ended or self._steps >= self.segment.max_frames
        return kept

    @property
    def _eos_counts(self) -> bool:
        """Whether end of speech is accepted at the next frame."""
        return self._eos_step is None and self._steps >= FIRST_FRAME_OF_EOS
