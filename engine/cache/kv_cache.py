"""Keys and values of past positions on a processor, for many slots at once. Knows nothing of models.

A slot's past is a prefix, shared by all who began from the same voice, and a tail of its own. The tail is written in
place. With a context it is a ring: position p lies at place p % ring, so a reset is `position = 0`. Memory comes in
pages, each of some neighbouring slots and positions, mapped when first used and resident only where written: slots and
positions that nobody uses cost nothing, and nothing is ever moved.
"""

import math
import mmap
import threading
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sayline_tts.engine.cache.rope import Turns, rotary_frequencies
from sayline_tts.engine.kernels.attention import Parts, Span, ready

PAGE_SLOTS = 32
PAGE_POSITIONS = 64
ENDLESS = np.iinfo(np.int64).max // 2


@dataclass(frozen=True, slots=True)
class CacheShape:
    """What a cache is for: whose keys and values, and where they are kept in which numbers."""

    layers: int
    kv_heads: int
    head_dim: int
    max_period: float
    dtype: torch.dtype
    device: torch.device


@dataclass(frozen=True, eq=False)
class Prefix:
    """Keys and values `[layers, kv_heads, positions, head_dim]` that any number of slots may begin from."""

    keys: Tensor
    values: Tensor

    @property
    def positions(self) -> int:
        return self.keys.shape[2]


class KeyValueCache:
    """The past of `slots` slots: each one's next position, its prefix, and its tail.

    `context` limits how far a query looks back (None: to the beginning); then tails are rings, good for passes of
    `pass_length`, without prefixes. Otherwise they grow. Disjoint slots may be used by several threads at once if there
    is a context, and by processes forked from this one if it is `shared` too.
    """

    def __init__(
        self, shape: CacheShape, slots: int, context: int | None = None, pass_length: int = 1, shared: bool = False
    ) -> None:
        self.shape, self._context, self._shared = shape, context, shared
        self._ring = None if context is None else context + pass_length - 1
        self._page_positions = self._ring or PAGE_POSITIONS
        self.positions = zeros((slots,), torch.long, shape.device, shared)
        self._at = self.positions.numpy()
        self._prefixes: list[Prefix | None] = [None] * slots
        self._of_prefixes = np.zeros((3, slots), np.int64)  # positions of each slot's, and where keys and values lie
        self._columns: list[list[Page]] = [[] for _ in range(0, slots, PAGE_SLOTS)]  # pages of the same slots
        self._of_pages = np.zeros((2, len(self._columns), 0), np.int64)  # where their keys and values lie
        self._mapping = threading.Lock()
        self._turns = Turns(rotary_frequencies(shape.head_dim, shape.max_period))
        self._kind = np.empty(0, np.uint16 if shape.dtype is torch.bfloat16 else np.float32)
        ready(self._kind)
        if shared:  # now: what is mapped later the others do not see
            assert context is not None, "only rings are mapped whole"
            for column in range(len(self._columns)):
                self._pages(column, 1)

    def begin(self, slot: int, prefix: Prefix | None = None) -> None:
        """Forget what the slot held; go on behind `prefix`."""
        self._prefixes[slot] = prefix
        self._of_prefixes[:, slot] = (
            (0, 0, 0) if prefix is None else (prefix.positions, prefix.keys.data_ptr(), prefix.values.data_ptr())
        )
        self._at[slot] = _length(prefix)

    def whole(self, slot: int) -> Prefix:
        """All that a slot without a context holds, as a prefix for others."""
        prefix, whole = self._prefixes[slot], int(self.positions[slot])
        pages, place = self._pages(slot // PAGE_SLOTS, whole - _length(prefix)), slot % PAGE_SLOTS
        before = [prefix] if prefix else []
        keys = [each.keys for each in before] + [page.keys[:, place] for page in pages]
        values = [each.values for each in before] + [page.values[:, place] for page in pages]
        return Prefix(*(torch.cat(parts, dim=2)[:, :, :whole].clone() for parts in (keys, values)))

    def span(self, slots: Tensor, lengths: Tensor | int) -> Span:
        """The next `lengths` positions, `[rows]` or of all the same, of `slots` `[rows]`."""
        rows = slots.numpy()
        positions = self._at[rows]
        new = np.empty_like(positions)
        new[:] = lengths
        parts, pages = self._parts(rows, positions, new)
        return Span(
            parts=parts,
            lengths=new,
            free=np.full_like(new, ENDLESS) if self._context is None else np.maximum(self._context - 1 - positions, 0),
            owners=([self._prefixes[slot] for slot in rows.tolist()], pages),
            kind=self._kind,
            rotation=self._turns.behind(positions, new),
        )

    def advance(self, slots: Tensor, lengths: Tensor | int) -> None:
        self._at[slots.numpy()] += lengths if isinstance(lengths, int) else lengths.numpy()

    def _parts(self, slots: np.ndarray, positions: np.ndarray, new: np.ndarray) -> "tuple[Parts, list[list[Page]]]":
        """A row's prefix, then its pages; of a ring the older places, then the newer, which begin it again."""
        in_prefix, *shared = self._of_prefixes[:, slots]
        ends = positions + new - in_prefix  # of tails
        columns, places = slots // PAGE_SLOTS, slots % PAGE_SLOTS
        size, most = self._page_positions, int(ends.max())
        pages = [self._pages(column, most) for column in set(columns.tolist())]
        parts = 1 + (2 if self._ring else len(pages[0]))
        counts, firsts = np.empty((2, len(slots), parts), np.int64)
        counts[:, 0], firsts[:, 0] = in_prefix, 0
        if self._context is None:
            counts[:, 1:] = np.clip(ends[:, None] - size * np.arange(parts - 1), 0, size)
            firsts[:, 1:] = 0
        else:
            seen = np.minimum(ends, self._context - 1 + new)
            firsts[:, 1], firsts[:, 2] = (ends - seen) % size, 0
            counts[:, 1] = np.minimum(seen, size - firsts[:, 1])
            counts[:, 2] = seen - counts[:, 1]
        position = self.shape.head_dim * self.shape.dtype.itemsize
        slot = self.shape.kv_heads * size * position
        at, steps = np.empty((2, 2, len(slots), parts), np.int64)
        at[:, :, 0] = shared
        at[:, :, 1:] = self._of_pages[:, columns, : parts - 1] + (slot * places)[:, None] + position * firsts[:, 1:]
        steps[0, :, 0], steps[0, :, 1:] = self.shape.kv_heads * position * in_prefix, PAGE_SLOTS * slot
        steps[1, :, 0], steps[1, :, 1:] = position * in_prefix, size * position
        return Parts(at[0], at[1], counts, steps[0], steps[1]), pages

    def _pages(self, column: int, end: int) -> "list[Page]":
        """As many pages of a column as the first `end` positions need."""
        count = -(-end // self._page_positions) if self._ring is None else 1
        pages = self._columns[column]
        if len(pages) < count:
            with self._mapping:
                while len(pages) < count:
                    self._map(column)
        return pages[:count]

    def _map(self, column: int) -> None:
        """One page more."""
        shape, pages, known = self.shape, self._columns[column], self._of_pages
        size = (shape.layers, PAGE_SLOTS, shape.kv_heads, self._page_positions, shape.head_dim)
        page = Page(*(zeros(size, shape.dtype, shape.device, self._shared) for _ in range(2)))
        more = np.zeros((2, known.shape[1], max(known.shape[2], len(pages) + 1)), np.int64)
        more[:, :, : known.shape[2]] = known
        more[:, column, len(pages)] = page.keys.data_ptr(), page.values.data_ptr()
        self._of_pages = more
        pages.append(page)


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """`[layers, PAGE_SLOTS, kv_heads, positions, head_dim]`."""

    keys: Tensor
    values: Tensor


def _length(prefix: Prefix | None) -> int:
    return prefix.positions if prefix else 0


def zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, shared: bool = False) -> Tensor:
    """Zeros that become resident page by page, where they are written. `shared` with processes forked later."""
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    size = math.prod(shape) * dtype.itemsize
    kind = {}
    if hasattr(mmap, "MAP_PRIVATE"):
        kind["flags"] = (mmap.MAP_SHARED if shared else mmap.MAP_PRIVATE) | mmap.MAP_ANONYMOUS
    return torch.frombuffer(mmap.mmap(-1, size, **kind), dtype=dtype).view(shape)
