"""Keys and values of past positions, for many slots at once, and attention over them. Knows nothing of models.

A slot's past is a prefix, shared by all who began from the same voice, and a tail of its own. The tail is written in
place. With a context it is a ring: position p lies at place p % ring, and what a place holds follows from the newest
position alone, so a reset is `position = 0`. Memory comes in pages, each of some neighbouring slots and positions,
mapped when first used and resident only where written: slots and positions that nobody uses cost nothing, and nothing
is ever moved.
"""

import math
import mmap
import threading
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.glance import Glance, Parts
from engine.watch import Watch

PAGE_SLOTS = 32
NEAR = 3  # slots so near are read with those between them: cheaper than one more product for each page and layer
PAGE_POSITIONS = 64  # few enough that little is computed in vain, many enough that a pass is a few products


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
    `pass_length`. Otherwise they grow. Disjoint slots may be used by several threads at once if there is a context,
    and by processes forked from this one if it is `shared` too (without prefixes: those are each process's own).
    """

    def __init__(
        self, shape: CacheShape, slots: int, context: int | None = None, pass_length: int = 1, shared: bool = False
    ) -> None:
        self.shape, self.context, self._shared = shape, context, shared
        self._ring = None if context is None else context + pass_length - 1
        books = torch.device("cpu")
        self.positions = zeros((slots,), torch.long, books, shared)
        self._origins = zeros((slots,), torch.long, books, shared)  # where the tail begins: behind the prefix
        self._prefixes: list[Prefix | None] = [None] * slots
        self._page_positions = self._ring or PAGE_POSITIONS
        self._reach = NEAR if self._ring is None else 1  # a ring is one page, and long
        self._columns: list[list[Page]] = [[] for _ in range(0, slots, PAGE_SLOTS)]  # pages of the same slots
        self._mapping = threading.Lock()
        self._frequencies = rotary_frequencies(shape.head_dim, shape.max_period)
        if shared:  # now: what is mapped later the others do not see
            assert context is not None, "only rings are mapped whole"
            for column in range(len(self._columns)):
                self._pages(column, 1)

    def begin(self, slot: int, prefix: Prefix | None = None) -> None:
        """Forget what the slot held; go on behind `prefix`."""
        self._prefixes[slot] = prefix
        self._origins[slot] = self.positions[slot] = prefix.positions if prefix else 0

    def whole(self, slot: int) -> Prefix:
        """All that a slot without a context holds, as a prefix for others."""
        end = int(self.positions[slot] - self._origins[slot])
        pages, place = self._pages(slot // PAGE_SLOTS, end), slot % PAGE_SLOTS
        keys = torch.cat([page.keys[:, place] for page in pages], dim=2)[:, :, :end]
        values = torch.cat([page.values[:, place] for page in pages], dim=2)[:, :, :end]
        if prefix := self._prefixes[slot]:
            keys, values = torch.cat([prefix.keys, keys], dim=2), torch.cat([prefix.values, values], dim=2)
        return Prefix(keys.clone(), values.clone())

    def span(self, slots: Tensor, length: int) -> "Span | Glance":
        """The next `length` positions of `slots` `[rows]`: where they go, and what each of them may look at."""
        first = self.positions[slots] - self._origins[slots]  # [rows]
        if length == 1 and self._glances:
            return self._glance(slots, first)
        queries = first[:, None] + torch.arange(length)  # [rows, length], in the tail
        end = int(queries[:, -1].max()) + 1
        listed = slots.tolist()
        runs = self._runs(listed, end)
        groups = self._groups(listed)
        prefix_width = max((group.prefix.positions for group in groups), default=0)
        return Span(
            runs=runs,
            groups=groups,
            writes=self._writes(slots, queries if self._ring is None else queries % self._ring),
            prefix_width=prefix_width,
            mask=self._mask(slots, queries, len(runs[0].pages) * self._page_positions, prefix_width),
            rotation=rotation(queries + self._origins[slots, None], self._frequencies).to(self.shape.device),
            dtype=self.shape.dtype,
        )

    def _glance(self, slots: Tensor, first: Tensor) -> Glance:
        """The next position of each, behind `first` `[rows]` of its tail."""
        prefixes = [self._prefixes[slot] for slot in slots.tolist()]
        columns, places = np.divmod(slots.numpy(), PAGE_SLOTS)
        used, of_used = np.unique(columns, return_inverse=True)
        pages = [self._pages(column, int(first.max()) + 1) for column in used.tolist()]
        starts = PAGE_POSITIONS * np.arange(len(pages[0]))
        in_prefix = np.array([[prefix.positions if prefix else 0] for prefix in prefixes])
        of_tail = np.clip(first.numpy()[:, None] + 1 - starts, 0, PAGE_POSITIONS)
        head = self.shape.head_dim * self.shape.dtype.itemsize
        slot = self.shape.kv_heads * PAGE_POSITIONS * head

        def addresses(part: str) -> np.ndarray:
            shared = [[getattr(prefix, part).data_ptr() if prefix else 0] for prefix in prefixes]
            of_pages = np.array([[getattr(page, part).data_ptr() for page in column] for column in pages])
            return np.hstack([np.array(shared), of_pages[of_used] + slot * places[:, None]])

        parts = Parts(
            keys=addresses("keys"),
            values=addresses("values"),
            counts=np.hstack([in_prefix, of_tail]),
            layer_steps=np.hstack([self.shape.kv_heads * head * in_prefix, np.full_like(of_tail, PAGE_SLOTS * slot)]),
            head_steps=np.hstack([head * in_prefix, np.full_like(of_tail, PAGE_POSITIONS * head)]),
        )
        turned = rotation(self.positions[slots, None], self._frequencies)
        return Glance(parts, (prefixes, pages), turned)

    @property
    def _glances(self) -> bool:
        shape = self.shape
        return self._ring is None and shape.device.type == "cpu" and shape.dtype is torch.bfloat16

    def advance(self, slots: Tensor, lengths: Tensor | int) -> None:
        self.positions[slots] += lengths

    def _mask(self, slots: Tensor, queries: Tensor, width: int, prefix_width: int) -> Tensor:
        """What to add to scores: 0 where visible, else minus infinity. `[rows, length, prefix_width + width]`."""
        visible = visible_places(queries, width, self._ring, self.context)
        if prefix_width:
            shared = torch.arange(prefix_width) < self._origins[slots, None]  # [rows, prefix_width]
            visible = torch.cat([shared[:, None].expand(-1, queries.shape[1], -1), visible], dim=-1)
        return added_to_scores(visible, self.shape.dtype).to(self.shape.device)

    def _runs(self, slots: list[int], end: int) -> "list[Run]":
        """Rows whose slots lie near each other in a page are read where they are, without being copied together."""
        runs = []
        start = 0
        for row in range(1, len(slots) + 1):
            if row < len(slots) and self._near(slots[row - 1], slots[row]):
                continue
            column, first = divmod(slots[start], PAGE_SLOTS)
            last = slots[row - 1] % PAGE_SLOTS
            within = None
            if last - first != row - 1 - start:
                within = torch.tensor(slots[start:row]) - slots[start]
            runs.append(Run(self._pages(column, end), slice(start, row), slice(first, last + 1), within))
            start = row
        return runs

    def _near(self, slot: int, following: int) -> bool:
        return 0 < following - slot <= self._reach and slot // PAGE_SLOTS == following // PAGE_SLOTS

    def _writes(self, slots: Tensor, places: Tensor) -> "list[Write]":
        """Where new keys and values go: `places` `[rows, length]`."""
        columns, pages = (slots // PAGE_SLOTS)[:, None].expand_as(places), places // self._page_positions
        writes = []
        for column, page in sorted(set(zip(columns.flatten().tolist(), pages.flatten().tolist(), strict=True))):
            rows, at = ((columns == column) & (pages == page)).nonzero(as_tuple=True)
            within = places[rows, at] % self._page_positions
            writes.append(Write(self._columns[column][page], slots[rows] % PAGE_SLOTS, within, rows, at))
        return writes

    def _groups(self, slots: list[int]) -> "list[Group]":
        rows: dict[Prefix, list[int]] = {}
        for row, slot in enumerate(slots):
            if prefix := self._prefixes[slot]:
                rows.setdefault(prefix, []).append(row)
        return [
            Group(prefix, slice(None) if len(of) == len(slots) else torch.tensor(of)) for prefix, of in rows.items()
        ]

    def _pages(self, column: int, end: int) -> "list[Page]":
        """As many pages of a column as the first `end` positions need."""
        count = -(-end // self._page_positions) if self._ring is None else 1
        pages = self._columns[column]
        with self._mapping:
            while len(pages) < count:
                shape = self.shape
                size = (shape.layers, PAGE_SLOTS, shape.kv_heads, self._page_positions, shape.head_dim)
                keys, values = (zeros(size, shape.dtype, shape.device, self._shared) for _ in range(2))
                pages.append(Page(keys, values))
        return pages[:count]


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """`[layers, PAGE_SLOTS, kv_heads, positions, head_dim]`."""

    keys: Tensor
    values: Tensor


@dataclass(frozen=True, slots=True)
class Run:
    """Rows of a pass that are neighbours in their pages."""

    pages: list[Page]
    rows: slice
    places: slice  # in the pages
    within: Tensor | None  # which of these places are rows; None: all

    def keys(self, page: int, layer: int) -> Tensor:
        """`[places * kv_heads, positions, head_dim]`, without a copy."""
        return self.pages[page].keys[layer, self.places].flatten(0, 1)

    def values(self, page: int, layer: int) -> Tensor:
        return self.pages[page].values[layer, self.places].flatten(0, 1)

    def spread(self, x: Tensor) -> Tensor:
        """To each place what belongs to its row: `[rows, kv_heads, ...]` to `[places * kv_heads, ...]`."""
        x = x[self.rows]
        if self.within is not None:
            x = x.new_zeros(self.places.stop - self.places.start, *x.shape[1:]).index_copy_(0, self.within, x)
        return x.flatten(0, 1)

    def gather(self, x: Tensor, kv_heads: int) -> Tensor:
        """The way back: `[rows, kv_heads, ...]`."""
        by_place: Tensor = x.unflatten(0, (-1, kv_heads))
        return by_place if self.within is None else by_place[self.within]


@dataclass(frozen=True, slots=True)
class Write:
    """The new positions of a pass that go into one page: there `slots` and `places`, here `rows` and `at`."""

    page: Page
    slots: Tensor
    places: Tensor
    rows: Tensor
    at: Tensor


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of a pass that share a prefix."""

    prefix: Prefix
    rows: Tensor | slice


@dataclass(frozen=True, slots=True)
class Span:
    """One pass over some rows of a cache: made once, used by every layer."""

    runs: list[Run]
    groups: list[Group]
    writes: list[Write]
    prefix_width: int
    mask: Tensor  # [rows, length, prefix_width + tail_width], to be added
    rotation: Tensor  # [rows, length, 1, head_dim / 2], complex
    dtype: torch.dtype
    watch: Watch | None = None

    def attend(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Store keys and values `[rows, length, kv_heads, head_dim]`, then let `queries` `[rows, length, heads,
        head_dim]`, which are scaled already, look at all that they may. Returns what they hear, in their shape.
        """
        rows, length, heads, dim = queries.shape
        kv_heads = keys.shape[2]
        self._store(layer, keys, values)
        # The queries that share a key are as good as more queries of it: [rows, kv_heads, sharing * length, head_dim].
        q = queries.view(rows, length, kv_heads, -1, dim).permute(0, 2, 3, 1, 4).flatten(2, 3).contiguous()
        scores = self._scores(layer, q)
        by_query = scores.view(rows, kv_heads, -1, length, scores.shape[-1])
        by_query += self.mask[:, None, None]
        if self.watch is not None:
            self.watch.look(layer, by_query[..., self.prefix_width :])
        heard = self._hear(layer, torch.softmax(scores, dim=-1))
        heard = heard.view(rows, kv_heads, -1, length, dim).permute(0, 3, 1, 2, 4)
        return heard.reshape(rows, length, heads, dim)

    def _store(self, layer: int, keys: Tensor, values: Tensor) -> None:
        for write in self.writes:
            where = write.slots, slice(None), write.places
            write.page.keys[layer][where] = keys[write.rows, write.at]
            write.page.values[layer][where] = values[write.rows, write.at]

    def _scores(self, layer: int, q: Tensor) -> Tensor:
        """`[rows, kv_heads, queries, prefix_width + tail_width]`."""
        parts = []
        if self.groups:
            shared = q.new_zeros(*q.shape[:3], self.prefix_width)
            for group in self.groups:
                product = _by_head(q[group.rows]) @ group.prefix.keys[layer].mT
                shared[group.rows, :, :, : group.prefix.positions] = _by_row(product, q.shape[2])
            parts.append(shared)
        spread = [run.spread(q) for run in self.runs]
        for page in range(len(self.runs[0].pages)):
            found = [
                run.gather(torch.bmm(of, run.keys(page, layer).mT), q.shape[1])
                for run, of in zip(self.runs, spread, strict=True)
            ]
            parts.append(_joined(found, 0))
        return _joined(parts, -1)

    def _hear(self, layer: int, weights: Tensor) -> Tensor:
        """The values, weighed: `[rows, kv_heads, queries, head_dim]`."""
        tail = weights[..., self.prefix_width :]
        pages = len(self.runs[0].pages)
        sums = []
        for run in self.runs:
            parts = run.spread(tail).chunk(pages, dim=-1)
            products = [torch.bmm(part, run.values(page, layer)) for page, part in enumerate(parts)]
            heard_there = products[0] if pages == 1 else torch.stack(products).sum(dim=0)
            sums.append(run.gather(heard_there, weights.shape[1]))
        heard = _joined(sums, 0)
        for group in self.groups:
            part = _by_head(weights[group.rows, :, :, : group.prefix.positions])
            heard[group.rows] += _by_row(part @ group.prefix.values[layer], weights.shape[2])
        return heard


def visible_places(queries: Tensor, width: int, ring: int | None, context: int | None) -> Tensor:
    """Which of `width` places each of the newest positions `queries` `[rows, length]` may look at.

    `[rows, length, width]`, where the queries are. With a `ring` of so many places, a place holds the last position
    that came there.
    """
    held = torch.arange(width, device=queries.device)
    if ring is not None:
        newest = queries[:, -1:]
        held = newest - (newest - held) % ring  # [rows, width]: the position that each place holds
    age = queries[:, :, None] - held.view(-1, 1, width)  # [rows, length, width]
    visible = (age >= 0) & (age <= queries[:, :, None])
    return visible if context is None else visible & (age < context)


def added_to_scores(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where visible, else minus infinity."""
    mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return mask.masked_fill_(~visible, -math.inf)


def _joined(parts: list[Tensor], dim: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)


def _by_head(x: Tensor) -> Tensor:
    """`[rows, heads, queries, ...]` to `[heads, rows * queries, ...]`: all rows look at the same prefix."""
    return x.transpose(0, 1).flatten(1, 2)


def _by_row(x: Tensor, queries: int) -> Tensor:
    rows: Tensor = x.unflatten(1, (-1, queries)).transpose(0, 1)
    return rows


def rotary_frequencies(head_dim: int, max_period: float) -> Tensor:
    """Angular frequencies of rotary embedding (Su et al. 2022, arXiv:2104.09864), `[head_dim / 2]`, float32."""
    return torch.exp(torch.arange(head_dim // 2, dtype=torch.float32) * (-math.log(max_period) * 2 / head_dim))


def rotation(positions: Tensor, frequencies: Tensor) -> Tensor:
    """`[rows, length, 1, head_dim / 2]` complex factors. Angles in float64, so hours of speech stay exact."""
    angles = positions[..., None, None].double() * frequencies.double()
    return torch.polar(torch.ones_like(angles), angles).to(torch.complex64)


def zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, shared: bool = False) -> Tensor:
    """Zeros that become resident page by page, where they are written. `shared` with processes forked later."""
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    size = math.prod(shape) * dtype.itemsize
    kind = {}
    if hasattr(mmap, "MAP_PRIVATE"):
        kind["flags"] = (mmap.MAP_SHARED if shared else mmap.MAP_PRIVATE) | mmap.MAP_ANONYMOUS
    return torch.frombuffer(mmap.mmap(-1, size, **kind), dtype=dtype).view(shape)
