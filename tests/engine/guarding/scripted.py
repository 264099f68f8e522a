"""A model that speaks word after word, each for some frames, and makes the faults that it is told to make."""

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from enum import Enum
from typing import cast

import numpy as np
import torch

from sayline_tts.engine.checkpoint.alignment_heads import AlignmentHeads
from sayline_tts.engine.engine import Engine
from sayline_tts.engine.execution.frame_queues import FrameJob
from sayline_tts.engine.execution.model_runner import BatchOutput, ModelRunner
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.scheduling.scheduler import Batch, Row
from tests.bench.writer.scripted import ScriptedModel
from tests.server.fakes import FRAME_SAMPLES, FakeDecodeQueue


class Mistake(Enum):
    SKIP = "pass over the word"
    SKIP_THREE = "pass over it and the two behind it"
    STOP = "end speech instead of it"
    BACK = "say the two words before it again"
    LINGER = "stay on the word before it"


LINGERING_FRAMES = 20


class SlippingRunner:
    """Speaks each word of a segment for `frames` frames. Its state is in its latents: word, frames left of it.

    `slips`: by word, the mistakes that it makes there, one at each try, before it says the word.
    """

    def __init__(self, frames: int, slips: Mapping[int, Sequence[Mistake]]) -> None:
        self._frames, self._slips = frames, slips
        self.decode_queue = FakeDecodeQueue(lambda: None)
        self.rewinds = 0
        self.decoded: list[int] = []  # the word of each frame that the codec was given; -1: after the end
        self._made = Counter[int]()  # slips at each word
        self._state = -1, 0
        self._words = 0

    def run(self, batch: Batch) -> BatchOutput:
        (row,) = batch.rows
        if row.prefill is not None:
            self._state, self._words = (-1, 0), len(row.prefill.tokens)
        if row.rewind is not None:
            self.rewinds += row.rewind.seed is not None
            word, left = row.rewind.latents[-1].tolist()
            self._state = int(word), int(left)
        is_eos = self._advance()
        latent = torch.tensor([self._state], dtype=torch.float32)
        attention = self._attention(row)
        held = row.held or row.discard or (row.discard_on_eos and is_eos)
        audio = None if held else self._decode(row.slot, latent[0])
        return BatchOutput(latent, [is_eos], [audio], [attention], cost_ms=1.0)

    def decode(self, job: FrameJob, latent: torch.Tensor) -> Future[np.ndarray]:
        return self._decode(job.slot, latent)

    def close(self) -> None:
        pass

    def _decode(self, slot: int, latent: torch.Tensor) -> Future[np.ndarray]:
        word = int(latent[0])
        self.decoded.append(word)
        return self.decode_queue.put(slot, np.full(FRAME_SAMPLES, (word + 2) / 100, np.float32))

    def _attention(self, row: Row) -> np.ndarray | None:
        if not row.attention_tokens:
            return None
        said = min(max(self._state[0], 0), row.attention_tokens - 1)
        return np.asarray(np.arange(row.attention_tokens) == said, np.float32)

    def _advance(self) -> bool:
        """Go on by a frame. Returns whether speech has ended."""
        word, left = self._state
        if left:
            self._state = word, left - 1
            return False
        following = word + 1
        if following >= self._words:
            return True
        mistakes = self._slips.get(following, ())
        if word >= 0 and self._made[following] < len(mistakes):
            mistake = mistakes[self._made[following]]
            self._made[following] += 1
            skipped = {Mistake.SKIP: 1, Mistake.SKIP_THREE: 3}.get(mistake, 0)
            if mistake is Mistake.STOP or following + skipped >= self._words:
                return True
            match mistake:
                case Mistake.SKIP | Mistake.SKIP_THREE:
                    following += skipped
                case Mistake.BACK:
                    following = max(0, word - 1)
                case Mistake.LINGER:
                    self._state = word, LINGERING_FRAMES
                    return False
        self._state = following, self._frames - 1
        return False


class SlippingEngine(Engine):
    """The real engine with the scripted model and one slot."""

    def __init__(self, frames: int, slips: Mapping[int, Sequence[Mistake]] | None = None) -> None:
        model = ScriptedModel()
        model.heads = AlignmentHeads(((0, 0),))
        self.now_ms = 0.0
        self._init_scheduling(cast(Model, model), 1, 0, None, lambda: self.now_ms / 1000)
        self.runner = SlippingRunner(frames, slips or {})
        self._runner = cast(ModelRunner, self.runner)


def words_in_order(decoded: Sequence[int]) -> list[int]:
    """The words as they were said, each run of frames once."""
    said = [word for word in decoded if word >= 0]
    return [word for index, word in enumerate(said) if index == 0 or word != said[index - 1]]
