"""Where some attention heads look, written down on the way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class AttentionCapture:
    """How some heads score the first `width` positions of some rows' tails, for the last position of each in a pass.

    What is written down are scores that are computed anyway: layers that are not watched pay nothing.
    """

    heads: Mapping[int, tuple[int, ...]]  # of each layer
    rows: Sequence[int]  # that are watched
    width: int
    scores: list[Tensor] = field(default_factory=list)  # of each head [watched, width]

    def record(self, layer: int, scores: Tensor) -> None:
        """`scores` `[rows, heads, width]`; behind what a row holds they mean nothing."""
        self.scores.extend(scores[self.rows, head] for head in self.heads[layer])
