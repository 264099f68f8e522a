"""Results of the engine benchmark. Importing this does not load torch."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

WORDS_ROWS = 16


@dataclass(frozen=True, slots=True)
class StepTime:
    rows: int
    step_ms: float
    flow_ms: float
    codec_ms: float


@dataclass(frozen=True, slots=True)
class EngineTimes:
    model: str
    precision: str
    threads: int
    load_s: float
    voice_s: float | None  # to encode 5 s of audio as a voice
    steps: tuple[StepTime, ...]
    prefill_ms: dict[int, float]  # by number of simultaneous new utterances: until each has its first audio
    alone_x: float  # one listener, times real time
    words_x: float  # cost of word timestamps: FlowLM time of a step of `WORDS_ROWS` rows with and without

    def most_rows(self, frame_ms: float = 80.0, share: float = 0.9) -> int:
        """Return the largest measured batch whose step takes at most `share` of a frame."""
        return max((step.rows for step in self.steps if step.step_ms <= share * frame_ms), default=1)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        values = {field.name: content[field.name] for field in fields(cls)}
        values["steps"] = tuple(StepTime(**step) for step in content["steps"])
        values["prefill_ms"] = {int(rows): time_ms for rows, time_ms in content["prefill_ms"].items()}
        return cls(**values)
