"""Page allocation for a static cache. The bookkeeping is on the host, so it never waits for the device."""

import torch
from torch import Tensor

from sayline_tts.engine.cache.kv_cache import CacheShape, Prefix
from sayline_tts.engine.cache.static_cache import StaticCache

PAGE_POSITIONS = 64
# Initial memory per slot: a voice of 10 s, a usual segment's text and its speech take about 300 positions.
# Longer ones use pages that others leave.
SLOT_POSITIONS = 512
COLUMNS = 128  # initial pages per slot: more than the longest voice plus the longest segment need


class StaticPages(StaticCache):
    """A paged cache. A slot starts with a copy of its prefix in its first pages."""

    def __init__(self, shape: CacheShape, slots: int, columns: int = COLUMNS) -> None:
        pages = 1 + slots * (SLOT_POSITIONS // PAGE_POSITIONS)  # page 0 takes the writes of padding rows
        table = torch.zeros(slots + 1, columns, dtype=torch.long, device=shape.device)
        super().__init__(shape, pages, PAGE_POSITIONS, table)
        self.reallocations = 0  # how often tensors were reallocated
        self._table = self._new_table(columns)
        self._lengths = [0] * slots
        self._pages_of_slot: list[list[int]] = [[] for _ in range(slots)]
        self._prefixes: list[Prefix | None] = [None] * slots
        self._free = list(range(pages - 1, 0, -1))
        self._dirty_slots: set[int] = set()  # slots whose block table is not yet on the device

    @property
    def columns(self) -> int:
        """Capacity of a slot's block table, in pages."""
        return self._table.shape[1]

    def reset(self, slot: int, prefix: Prefix | None = None) -> None:
        """Free the slot's pages and start behind `prefix`."""
        length = prefix.positions if prefix else 0
        keep = -(-length // PAGE_POSITIONS)
        self._free += self._pages_of_slot[slot][keep:]
        del self._pages_of_slot[slot][keep:]
        self._table[slot, keep:] = 0
        self._dirty_slots.add(slot)
        if prefix is not None and prefix is not self._prefixes[slot]:
            self._prefixes[slot] = None
            self._allocate(slot, length)
            self._copy_prefix(slot, prefix)
        self._prefixes[slot] = prefix
        self._lengths[slot] = length
        self.positions[slot].fill_(length)

    def reserve(self, slots: list[int], lengths: list[int]) -> int:
        """Allocate pages for the next `lengths` positions of `slots` before their pass; return the columns it needs."""
        longest, max_length = max(lengths), 0
        for slot, length in zip(slots, lengths, strict=True):
            max_length = max(max_length, self._lengths[slot] + longest)
            self._lengths[slot] += length
            self._allocate(slot, self._lengths[slot])
        columns = -(-max_length // PAGE_POSITIONS)
        if columns > self.columns:  # a shorter row is padded behind its end
            self._widen(columns)
        for slot in self._dirty_slots:
            self.table[slot].copy_(self._table[slot], non_blocking=True)
        self._dirty_slots.clear()
        return columns

    def export_prefix(self, slot: int) -> Prefix:
        """Copy everything a slot holds into a new prefix. Waits for the device."""
        pages = torch.tensor(self._pages_of_slot[slot], dtype=torch.long, device=self.shape.device)
        length = self._lengths[slot]
        keys, values = (
            part.index_select(1, pages).flatten(1, 2)[:, :length].transpose(1, 2).contiguous()
            for part in (self.keys, self.values)
        )  # [layers, kv_heads, positions, head_dim]
        return Prefix(keys, values)

    def _allocate(self, slot: int, length: int) -> None:
        """Give the slot pages for `length` positions."""
        pages = self._pages_of_slot[slot]
        while len(pages) * PAGE_POSITIONS < length:
            if not self._free:
                self._enlarge()
            if len(pages) == self.columns:
                self._widen(len(pages) + 1)
            pages.append(self._free.pop())
            self._table[slot, len(pages) - 1] = pages[-1]
            self._dirty_slots.add(slot)

    def _copy_prefix(self, slot: int, prefix: Prefix) -> None:
        for page, start in zip(self._pages_of_slot[slot], range(0, prefix.positions, PAGE_POSITIONS), strict=True):
            for part, all_pages in ((prefix.keys, self.keys), (prefix.values, self.values)):
                some = part[:, :, start : start + PAGE_POSITIONS].transpose(1, 2)  # [layers, positions, kv_heads, dim]
                all_pages[:, page, : some.shape[1]].copy_(some)

    def _enlarge(self) -> None:
        """Add half as many pages again."""
        before = self.keys.shape[1]
        more = -(-before // 2)
        self.keys = torch.cat([self.keys, self._new_pages(more)], dim=1)
        self.values = torch.cat([self.values, self._new_pages(more)], dim=1)
        self._free += range(before + more - 1, before - 1, -1)
        self.reallocations += 1

    def _widen(self, columns: int) -> None:
        """Enlarge the block tables."""
        columns = max(columns, 2 * self.columns)
        wider = self._new_table(columns)
        wider[:, : self.columns] = self._table
        self._table = wider
        self.table = wider.to(self.shape.device)
        self.reallocations += 1

    def _new_table(self, columns: int) -> Tensor:
        rows = len(self.positions)
        return torch.zeros(rows, columns, dtype=torch.long, pin_memory=self.shape.device.type == "cuda")
