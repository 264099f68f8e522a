"""A model whose speech is known in advance: token after token, each for some frames, then the end of speech."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch

from sayline_tts.engine.checkpoint.alignment_heads import AlignmentHeads
from sayline_tts.engine.engine import Engine
from sayline_tts.engine.execution.frame_queues import FrameJob
from sayline_tts.engine.execution.model_runner import BatchOutput, ModelRunner
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.scheduling.scheduler import Batch, Row
from sayline_tts.engine.segment import Segment
from sayline_tts.engine.text.chunk import Word
from tests.server.fakes import FakeDecodeQueue, FakeModel, frame


class ScriptedModel(FakeModel):
    """Has room for slow speech, and ends it itself. A word is as many tokens as its spoken form has parts."""

    def segment(
        self, text: str, words: Sequence[Word] = (), lookahead_words: int = 0, continues: bool = False
    ) -> Segment:
        segment = super().segment(text, words, lookahead_words, continues)
        frames = 20 + 8 * len(segment.tokens)
        return Segment(text, segment.tokens, frames, 1, segment.words, segment.word_ids, lookahead_words)


@dataclass(frozen=True)
class Prefilled:
    """A prefill: frames of the segment before it, the token that was being said, and all tokens with the new ones."""

    frames: int
    token: int
    tokens: int


class ScriptedRunner:
    """Speaks each token for `frames[i % len(frames)]` frames; 0: skips it. Records what it says and what it may say.

    Like FlowLM it knows nothing but the text that it was given and how far it has come, and a frame that is dropped has
    not been made. Where the text ends it ends speech, or goes on forever with the last token if the text is open.
    """

    def __init__(self, frames: Sequence[int]) -> None:
        self._frames = frames
        self.decode_queue = FakeDecodeQueue(lambda: None)
        self.prefills: list[Prefilled] = []
        self.said: list[list[int]] = []  # of each segment: tokens, frame by frame
        self.missing_text = 0  # frames in an open segment that nothing was left for
        self._text: list[int] = []
        self._is_open = False
        self._left = 0  # frames of the current token
        self._token = 0

    def run(self, batch: Batch) -> BatchOutput:
        (row,) = batch.rows
        if row.prefill is not None:
            self._prefill(row)
        before = self._token, self._left
        is_eos = self._advance()
        attention = None
        if row.attention_tokens:
            attention = np.eye(row.attention_tokens, dtype=np.float32)[min(self._token, row.attention_tokens - 1)]
        audio: Future[np.ndarray] | None = None
        if row.word_limit is not None and attention is not None and row.word_limit.exceeded(attention):
            self._token, self._left = before
        else:
            self.missing_text += is_eos and self._is_open
            self.said[-1].append(-1 if is_eos else self._token)
            if not (row.discard or row.held):
                audio = self._decode(row.slot, len(self.said[-1]))
        assert row.rewind is None, "nothing was wrong"
        return BatchOutput(torch.tensor([[len(self.said[-1])]]), [is_eos], [audio], [attention], cost_ms=1.0)

    def decode(self, job: FrameJob, latent: torch.Tensor) -> Future[np.ndarray]:
        return self._decode(job.slot, int(latent))

    def close(self) -> None:
        pass

    def _decode(self, slot: int, number: int) -> Future[np.ndarray]:
        return self.decode_queue.put(slot, frame(0, number))

    def _prefill(self, row: Row) -> None:
        assert row.prefill is not None
        if row.prefill.frames is None:
            self.said.append([])
            self._token, self._left = -1, 0
        else:
            assert self._is_open, "a closed segment is not extended"
            assert row.prefill.frames == len(self.said[-1]), "an extension repeats all frames so far"
            said = slice(self._token + 1 if row.attention_tokens else 0)  # an estimate may be wrong about that
            assert list(row.prefill.tokens[said]) == self._text[said], "said words changed"
        self._text, self._is_open = list(row.prefill.tokens), row.prefill.open
        self.prefills.append(Prefilled(len(self.said[-1]), self._token, len(self._text)))

    def _advance(self) -> bool:
        """Go on by a frame. Returns whether there is nothing left to say."""
        if self._left:
            self._left -= 1
            return False
        following = self._token + 1
        while following < len(self._text) and not self._frames[following % len(self._frames)]:
            following += 1
        if following >= len(self._text):
            return True
        self._token, self._left = following, self._frames[following % len(self._frames)] - 1
        return False


class ScriptedEngine(Engine):
    """The real engine with the scripted model and one slot; `now_s`: its clock."""

    def __init__(self, frames: Sequence[int], has_heads: bool = True) -> None:
        model = ScriptedModel()
        model.heads = AlignmentHeads(((0, 0),)) if has_heads else None
        self.now_ms = 0.0
        self._init_scheduling(cast(Model, model), 1, 0, None, lambda: self.now_ms / 1000)
        self.runner = ScriptedRunner(frames)
        self._runner = cast(ModelRunner, self.runner)
