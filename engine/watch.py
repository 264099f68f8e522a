"""Where some attention heads look, written down on the way."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Watch:
    """How some heads of some rows score the first `width` positions of their tails, in a pass.

    What is written down are scores that are computed anyway: rows and layers that are not watched pay nothing.
    """

    heads: Mapping[int, tuple[int, ...]]  # of each layer
    rows: Tensor  # [watched]
    queries: Tensor  # [watched], which one of its row
    width: int
    scores: list[Tensor] = field(default_factory=list)  # of each head [watched, width]

    def look(self, layer: int, scores: Tensor) -> None:
        """`scores` `[rows, kv_heads, sharing, length, positions of tails]`."""
        sharing = scores.shape[2]
        for head in self.heads.get(layer, ()):
            of_head = scores[:, head // sharing, head % sharing, :, : self.width]
            self.scores.append(of_head[self.rows, self.queries].float())
