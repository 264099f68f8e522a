"""Attention of a pass over some rows of a KV cache on a CPU: metadata of the pass, and attention as layers call it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sayline_tts.engine.kernels.attention_capture import AttentionCapture
from sayline_tts.engine.kernels.paged_attention import AttentionBatch, paged_attention


@dataclass(frozen=True, slots=True)
class AttentionMetadata:
    """One pass over some rows of a cache: made once, used by every layer."""

    batch: AttentionBatch
    keep_alive: tuple[object, ...]  # owners of the memory that the block table points to
    capture: AttentionCapture | None = None

    def attend(self, layer: int, qkv: Tensor, heads: int) -> Tensor:
        """Store new keys and values and attend, for new positions packed row after row.

        `qkv` `[positions..., heads + 2 * kv_heads, head_dim]`: queries (scaled already), keys and values. float32 is
        rotated in place. Returns `[positions..., heads, head_dim]`.
        """
        dim = qkv.shape[-1]
        flat = qkv.float().contiguous().view(len(self.batch.cos_sin), -1, dim)
        out = torch.empty(len(flat), heads, dim)
        with self.captured_scores(layer, heads) as scores:
            paged_attention(flat.numpy(), layer, self.batch, out.numpy(), scores)
        return out.view(*qkv.shape[:-2], heads, dim)

    @contextmanager
    def captured_scores(self, layer: int, heads: int) -> Iterator[np.ndarray]:
        """Memory for this layer's scores `[rows, heads, width]`, of width 0 unless captured; recorded afterwards."""
        capture = self.capture if self.capture and layer in self.capture.heads else None
        scores = torch.empty(len(self.batch.query_lengths), heads, capture.width if capture else 0)
        yield scores.numpy()
        if capture:
            capture.record(layer, scores)
