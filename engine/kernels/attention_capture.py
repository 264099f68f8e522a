"""Capture of attention scores during a pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class AttentionCapture:
    """Scores of some heads for the first `width` positions behind the prefix, for the last query of some rows.

    The scores are computed anyway, so layers without captured heads cost nothing.
    """

    heads: Mapping[int, tuple[int, ...]]  # captured heads of each layer
    rows: Sequence[int]
    width: int
    scores: list[Tensor] = field(default_factory=list)  # of each head [captured rows, width]

    def record(self, layer: int, scores: Tensor) -> None:
        """Keep the captured scores of `[rows, heads, width]`; those behind a row's last position are undefined."""
        self.scores.extend(scores[self.rows, head] for head in self.heads[layer])
