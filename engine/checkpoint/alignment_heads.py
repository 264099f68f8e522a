"""Which heads of a model look at the word that is being spoken. Facts about weights, so each checkpoint has its own.

A few heads of FlowLM follow the text: at each frame they look at the word of that frame or, in a pause, at the one to
come. For some published models they are known (`catalogue.yaml`); `sayline calibrate` finds those of any other and
writes them beside its weights.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml
from pydantic import ValidationError

from sayline_tts.engine.checkpoint.atomic_write import write_whole
from sayline_tts.engine.checkpoint.config import FlowLMTransformerConfig, Strict
from sayline_tts.engine.errors import CheckpointError

FILE = "alignment.yaml"
FOUND_BY = "# By `sayline calibrate`: heads (layer.head, from 0) that follow the text, of the weights in this folder.\n"


@dataclass(frozen=True)
class AlignmentHeads:
    """`heads`: layer and head, counted from 0; their mean counts. Before a word is heard they look at it for
    `lead_ms`, in the mean.
    """

    heads: tuple[tuple[int, int], ...]
    lead_ms: float = 0.0

    @classmethod
    def parse(cls, heads: str, lead_ms: float = 0.0) -> "AlignmentHeads":
        """From "3.8 2.0". Raises `ValueError`."""
        pairs = [tuple(map(int, head.split("."))) for head in heads.split()]
        if not pairs or any(len(pair) != 2 for pair in pairs):
            raise ValueError(f"{heads!r} names no heads as layer.head, like 3.8 2.0")
        return cls(tuple((layer, head) for layer, head in pairs), lead_ms)

    def __str__(self) -> str:
        return " ".join(f"{layer}.{head}" for layer, head in self.heads)

    @cached_property
    def by_layer(self) -> Mapping[int, tuple[int, ...]]:
        found = defaultdict(list)
        for layer, head in self.heads:
            found[layer].append(head)
        return {layer: tuple(heads) for layer, heads in found.items()}


class _File(Strict):
    heads: str  # "": none was found that can be trusted
    lead_ms: float = 0.0
    score: float | None = None  # of these heads, for people


def read_heads(weights: Path, shape: FlowLMTransformerConfig) -> AlignmentHeads | None:
    """What lies beside the weights; None: nothing does, or none can be trusted. Raises `CheckpointError`."""
    path = weights.with_name(FILE)
    try:
        found = _File.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        heads = AlignmentHeads.parse(found.heads, found.lead_ms) if found.heads else None
        for layer, head in heads.heads if heads else ():
            if not (0 <= layer < shape.num_layers and 0 <= head < shape.num_heads):
                raise ValueError(f"the model has no head {layer}.{head}")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, ValidationError, yaml.YAMLError) as error:
        raise CheckpointError(f"{path}: {error}; remove it, or run `sayline calibrate` again") from None
    return heads


def write_heads(weights: Path, heads: AlignmentHeads | None, score: float) -> Path:
    """Beside the weights. Raises `OSError`."""
    path = weights.with_name(FILE)
    found = _File(heads=str(heads or ""), lead_ms=heads.lead_ms if heads else 0.0, score=round(score, 3))
    write_whole(path, (FOUND_BY + yaml.safe_dump(found.model_dump(), sort_keys=False)).encode())
    return path
