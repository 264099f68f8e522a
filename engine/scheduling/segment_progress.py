"""Progress of one segment through its steps: which frames are kept, where speech ends, and how its text grows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from sayline_tts.engine.scheduling.word_position import WordLimit
from sayline_tts.engine.segment import Segment

# Before speech begins, the end-of-speech logit of some voices crosses the threshold, so end of speech counts from this
# frame of a segment on.
FIRST_FRAME_OF_EOS = 6
# Frames between two extensions of an open segment, unless the voice needs the words at once. Each extension is a
# prefill of the whole segment.
EXTENSION_FRAMES = 6


@dataclass(frozen=True, slots=True, eq=False)
class Rewind:
    """Go back in a segment and make its last frames again, with other noise."""

    frames: int  # that are forgotten
    latents: Sequence[Tensor]  # [dim] each: the one before them, then those that take their place
    seed: int | None  # of the noise from here on; None: go on with the noise of before


class SegmentProgress:
    """Progress of `segment`, which begins at `start_ms` of its utterance.

    `continues`: step the frame that ends speech too, so that the state can be continued.

    While the segment is open, `grow` hands in longer versions of it, of which the newest waits until `extend`. Frames
    are made as long as enough words lie ahead of the voice, and end of speech is not believed.
    """

    def __init__(self, segment: Segment, start_ms: float, continues: bool) -> None:
        self.segment, self.start_ms = segment, start_ms  # `segment`: the text that the model has been given
        self.over = False  # the last step has been made
        self._refused_word: int | None = None  # the last step reached it too early, so its frame does not exist
        self.word = -1  # of an open segment: the index of the word that is being spoken
        self._grown: Segment | None = None
        self._max_frames = segment.max_frames
        self._extra_steps = 1 if continues else 0
        self._steps = 0
        self._extended_at = 0  # step
        self._eos_step: int | None = None
        self._rewind: Rewind | None = None  # before the next step
        self._retried_until = 0  # step

    # Text that grows

    def grow(self, segment: Segment) -> None:
        """Take a longer version of the text; the next extension gives it to the model."""
        assert self.newest.open, "a closed segment does not grow"
        self._grown = segment

    def extend(self) -> int:
        """Continue with the newest text. Returns the number of frames so far, which its prefill repeats."""
        assert self._grown is not None, "nothing to extend the segment by"
        self.segment, self._grown, self._refused_word = self._grown, None, None
        self._max_frames, self._extended_at = max(self.segment.max_frames, self._steps + 1), self._steps
        return self._steps

    def follow(self, segment: Segment) -> None:
        """Note which version of the text the engine has given to its model, whose steps this progress only follows."""
        newest = self.newest
        self.segment, self._grown = segment, None if segment is newest else newest
        self._max_frames = max(segment.max_frames, self._steps + 1)

    @property
    def frames(self) -> int:
        """Steps made so far."""
        return self._steps

    @property
    def stopped(self) -> bool:
        """Whether the last step made no frame, because it reached a word that may not begin yet."""
        return self._refused_word is not None

    @property
    def newest(self) -> Segment:
        """The newest version of the text."""
        return self.segment if self._grown is None else self._grown

    @property
    def awaits_text(self) -> bool:
        """Whether too few words lie ahead of the voice, even in the newest text."""
        return self._lacks_words(self.newest)

    @property
    def words_until_wait(self) -> int:
        """How many words the voice can begin before it has to wait for text; 0 if the text is closed."""
        segment = self.newest
        return max(0, len(segment.words) - 1 - max(self.word, 0) - segment.lookahead_words) if segment.open else 0

    @property
    def must_extend(self) -> bool:
        """Whether the next step has to extend the segment."""
        return self._grown is not None and self._lacks_words(self.segment)

    @property
    def may_extend(self) -> bool:
        """Whether there is new text and the last extension was long enough ago."""
        return self._grown is not None and self._steps - self._extended_at >= EXTENSION_FRAMES

    @property
    def word_limit(self) -> WordLimit | None:
        """How far the next frame may go; the first one always exists. None: to the end, or attention is not known."""
        segment = self.segment
        if not segment.open or not segment.word_ids or not self._steps:
            return None
        return WordLimit(segment.word_ids, self.word, len(segment.words) - 1 - segment.lookahead_words)

    def _lacks_words(self, segment: Segment) -> bool:
        if not segment.open:
            return False
        next_word = max(self.word, 0) if self._refused_word is None else self._refused_word
        return len(segment.words) - 1 - next_word < segment.lookahead_words or self._steps >= segment.max_frames

    # Frames

    @property
    def attention_tokens(self) -> int:
        """Tokens of the segment if its attention is to be captured for word timestamps, else 0."""
        return len(self.segment.word_ids)

    @property
    def max_frames_left(self) -> int:
        return 0 if self.over else max(0, self._max_frames - self._steps)

    @property
    def min_frames(self) -> int:
        """Lower bound of the frames that the segment will have; exact once speech has ended."""
        if self.newest.open:
            return self._steps
        eos_step = max(self._steps, FIRST_FRAME_OF_EOS) if self._eos_step is None else self._eos_step
        return min(self._max_frames, eos_step + self.segment.frames_after_eos)

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

    def step(self, is_eos: bool, attention: np.ndarray | None = None, given: bool = False) -> bool:
        """Account for one step. Returns whether its frame is kept. `given`: it is, wherever in the text it is."""
        assert not self.over, "a step after the last one"
        if attention is not None and (limit := self.word_limit) is not None:
            reached = limit.reached(attention)
            if reached > limit.last and not given:
                self._refused_word = reached
                return False
            self.word = min(reached, limit.last)
        if is_eos and self._eos_counts:
            self._eos_step = self._steps
        kept = not self.discard
        self._steps += 1
        ended = self._eos_step is not None and self._steps >= (
            self._eos_step + self.segment.frames_after_eos + self._extra_steps
        )
        self.over = ended or (self._steps >= self._max_frames and not self.segment.open)
        return kept

    def rewind(self, rewind: Rewind) -> None:
        """Go back before the next step. The frames that replace the forgotten ones are accounted for by `step`."""
        if rewind.seed is not None:
            self._retried_until = max(self._retried_until, self._steps)
        self._steps -= rewind.frames
        assert self._steps > 0, "the first frame of a segment is made by its prefill"
        if self._eos_step is not None and self._eos_step >= self._steps:
            self._eos_step = None
        self._rewind, self.over = rewind, False

    def take_rewind(self) -> Rewind | None:
        """Return how the next step has to go back first, once."""
        rewind, self._rewind = self._rewind, None
        return rewind

    @property
    def retries(self) -> bool:
        """Whether the next frame is one that was made before."""
        return self._steps < self._retried_until

    @property
    def _eos_counts(self) -> bool:
        """Whether end of speech is accepted at the next frame."""
        return self._eos_step is None and self._steps >= FIRST_FRAME_OF_EOS and not self.segment.open
