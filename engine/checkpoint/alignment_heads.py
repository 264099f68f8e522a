"""Alignment heads: the attention heads of FlowLM that attend to the word being spoken.

They are a property of the weights, so each checkpoint has its own. In each frame such a head attends to the word of
that frame or, in a pause, to the next word. `catalogue.yaml` lists them for most published models;
`sayline calibrate` finds them for any other model and keeps them in the data folder. A file `alignment.yaml` next to
the weights belongs to the checkpoint.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml
from pydantic import ValidationError

from sayline_tts.engine.checkpoint.atomic_write import atomic_write
from sayline_tts.engine.checkpoint.config import FlowLMTransformerConfig, StrictModel
from sayline_tts.engine.errors import CheckpointError

ALIGNMENT_FILE = "alignment.yaml"
FILE_HEADER = "# Written by `sayline calibrate`: alignment heads (layer.head, from 0) of the weights {weights}.\n"


@dataclass(frozen=True)
class AlignmentHeads:
    """Pairs of layer and head, counted from 0, whose attention is averaged.

    `lead_ms`: how long, on average, they attend to a word before it becomes audible.
    """

    heads: tuple[tuple[int, int], ...]
    lead_ms: float = 0.0

    @classmethod
    def parse(cls, heads: str, lead_ms: float = 0.0) -> "AlignmentHeads":
        """Parse "3.8 2.0": `layer.head`, separated by blanks. Raises `ValueError`."""
        pairs = [tuple(map(int, head.split("."))) for head in heads.split()]
        if not pairs or any(len(pair) != 2 for pair in pairs):
            raise ValueError(f"{heads!r} names no heads as layer.head, like 3.8 2.0")
        return cls(tuple((layer, head) for layer, head in pairs), lead_ms)

    def __str__(self) -> str:
        return " ".join(f"{layer}.{head}" for layer, head in self.heads)

    @cached_property
    def by_layer(self) -> Mapping[int, tuple[int, ...]]:
        """The heads of each layer that has any."""
        grouped = defaultdict(list)
        for layer, head in self.heads:
            grouped[layer].append(head)
        return {layer: tuple(heads) for layer, heads in grouped.items()}


class _AlignmentFile(StrictModel):
    heads: str  # "": no head is reliable enough
    lead_ms: float = 0.0
    score: float | None = None  # of these heads; informational


def read_heads(path: Path, shape: FlowLMTransformerConfig) -> AlignmentHeads | None:
    """Read an alignment file. None: it names no heads, because none follows the words.

    Raises `CheckpointError` if the file is malformed or names a head that the model does not have.
    """
    try:
        found = _AlignmentFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        heads = AlignmentHeads.parse(found.heads, found.lead_ms) if found.heads else None
        for layer, head in heads.heads if heads else ():
            if not (0 <= layer < shape.num_layers and 0 <= head < shape.num_heads):
                raise ValueError(f"the model has no head {layer}.{head}")
    except (OSError, ValueError, ValidationError, yaml.YAMLError) as error:
        raise CheckpointError(f"{path}: {error}; remove it, or run `sayline calibrate` again") from None
    return heads


def write_heads(path: Path, weights: Path, heads: AlignmentHeads | None, score: float) -> None:
    """Write an alignment file for these weights. Raises `OSError`."""
    found = _AlignmentFile(heads=str(heads or ""), lead_ms=heads.lead_ms if heads else 0.0, score=round(score, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    header = FILE_HEADER.format(weights=weights.resolve())
    atomic_write(path, (header + yaml.safe_dump(found.model_dump(), sort_keys=False)).encode())
