"""Pages of a static cache given to slots as they grow. The host keeps the books, so it never asks the device."""

import torch
from torch import Tensor

from sayline_tts.engine.cache.kv_cache import CacheShape, Prefix
from sayline_tts.engine.cache.static_cache import StaticCache

PAGE_POSITIONS = 64
# Of memory for each slot, at first: a voice of 10 s, a usual segment's text and its speech are some 300. Those who need
# more take what others leave.
SLOT_POSITIONS = 512
COLUMNS = 128  # pages that a slot can have, at first: more than the longest voice and the longest segment need


class StaticPages(StaticCache):
    """A slot's past is a prefix, copied into its first pages, and what came after it."""

    def __init__(self, shape: CacheShape, slots: int, columns: int = COLUMNS) -> None:
        pages = 1 + slots * (SLOT_POSITIONS // PAGE_POSITIONS)  # the first is where nobody's positions go
        table = torch.zeros(slots + 1, columns, dtype=torch.long, device=shape.device)
        super().__init__(shape, pages, PAGE_POSITIONS, table)
        self.moved = 0  # times that its tensors had to be made anew
        self._table = self._new_table(columns)
        self._ends = [0] * slots
        self._owned: list[list[int]] = [[] for _ in range(slots)]
        self._prefixes: list[Prefix | None] = [None] * slots
        self._free = list(range(pages - 1, 0, -1))
        self._changed: set[int] = set()  # slots whose pages the device does not know yet

    @property
    def columns(self) -> int:
        """Pages that a slot can have."""
        return self._table.shape[1]

    def begin(self, slot: int, prefix: Prefix | None = None) -> None:
        """Forget what the slot held; go on behind `prefix`."""
        end = prefix.positions if prefix else 0
        keep = -(-end // PAGE_POSITIONS)
        self._free += self._owned[slot][keep:]
        del self._owned[slot][keep:]
        self._table[slot, keep:] = 0
        self._changed.add(slot)
        if prefix is not None and prefix is not self._prefixes[slot]:
            self._prefixes[slot] = None
            self._give(slot, end)
            self._load(slot, prefix)
        self._prefixes[slot] = prefix
        self._ends[slot] = end
        self.positions[slot].fill_(end)

    def reserve(self, slots: list[int], lengths: list[int]) -> int:
        """Pages for the next `lengths` positions of `slots`, before their pass; it needs so many columns."""
        longest, most = max(lengths), 0
        for slot, length in zip(slots, lengths, strict=True):
            most = max(most, self._ends[slot] + longest)
            self._ends[slot] += length
            self._give(slot, self._ends[slot])
        columns = -(-most // PAGE_POSITIONS)
        if columns > self.columns:  # a shorter row, filled up behind its end
            self._widen(columns)
        for slot in self._changed:
            self.table[slot].copy_(self._table[slot], non_blocking=True)
        self._changed.clear()
        return columns

    def whole(self, slot: int) -> Prefix:
        """All that a slot holds, as a prefix for others. Waits for the device."""
        pages = torch.tensor(self._owned[slot], dtype=torch.long, device=self.shape.device)
        end = self._ends[slot]
        keys, values = (
            part.index_select(1, pages).flatten(1, 2)[:, :end].transpose(1, 2).contiguous()
            for part in (self.keys, self.values)
        )  # [layers, kv_heads, positions, head_dim]
        return Prefix(keys, values)

    def _give(self, slot: int, end: int) -> None:
        """As many pages as `end` positions need."""
        owned = self._owned[slot]
        while len(owned) * PAGE_POSITIONS < end:
            if not self._free:
                self._enlarge()
            if len(owned) == self.columns:
                self._widen(len(owned) + 1)
            owned.append(self._free.pop())
            self._table[slot, len(owned) - 1] = owned[-1]
            self._changed.add(slot)

    def _load(self, slot: int, prefix: Prefix) -> None:
        for page, start in zip(self._owned[slot], range(0, prefix.positions, PAGE_POSITIONS), strict=True):
            for part, all_pages in ((prefix.keys, self.keys), (prefix.values, self.values)):
                some = part[:, :, start : start + PAGE_POSITIONS].transpose(1, 2)  # [layers, positions, kv_heads, dim]
                all_pages[:, page, : some.shape[1]].copy_(some)

    def _enlarge(self) -> None:
        """Half as many pages again."""
        before = self.keys.shape[1]
        more = -(-before // 2)
        self.keys = torch.cat([self.keys, self._new_pages(more)], dim=1)
        self.values = torch.cat([self.values, self._new_pages(more)], dim=1)
        self._free += range(before + more - 1, before - 1, -1)
        self.moved += 1

    def _widen(self, columns: int) -> None:
        """Room for slots of more pages."""
        columns = max(columns, 2 * self.columns)
        wider = self._new_table(columns)
        wider[:, : self.columns] = self._table
        self._table = wider
        self.table = wider.to(self.shape.device)
        self.moved += 1

    def _new_table(self, columns: int) -> Tensor:
        rows = len(self.positions)
        return torch.zeros(rows, columns, dtype=torch.long, pin_memory=self.shape.device.type == "cuda")
