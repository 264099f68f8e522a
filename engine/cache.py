"""Keys and values of past positions, for many slots at once. Knows nothing of models: only rows, positions, a ring.

A slot is a row that has its own position. Along time each slot is a ring of `capacity` places, position p lies at
place p % capacity; a cache that never fills is simply a ring that never turns. Writing happens in place.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

FIRST_POSITIONS = 256


class KeyValueCache:
    """Keys and values `[layers, slots, kv_heads, capacity, head_dim]` and the next position of every slot.

    `context` limits how far a query looks back (None: to the beginning). With a context the ring has a fixed
    capacity; without one, `reserve` makes room.
    """

    def __init__(self, layers: int, kv_heads: int, head_dim: int, max_period: float, context: int | None = None,
                 pass_length: int = 1, device: torch.device | str = "cpu") -> None:  # fmt: skip
        self.context = context
        capacity = 0 if context is None else context + pass_length - 1
        self.keys = torch.zeros(layers, 0, kv_heads, capacity, head_dim, device=device)
        self.values = torch.zeros_like(self.keys)
        self.positions = torch.zeros(0, dtype=torch.long)  # [slots], on the CPU: it is bookkeeping
        self.frequencies = rotary_frequencies(head_dim, max_period)

    @property
    def slots(self) -> int:
        return self.keys.shape[1]

    @property
    def capacity(self) -> int:
        return self.keys.shape[3]

    def reserve(self, slots: int, positions: int) -> None:
        """Make room for `slots` slots and, where there is no context, for `positions` positions in each.

        What must grow doubles, so that growing stays rare.
        """
        if slots > self.slots:
            slots = max(slots, 2 * self.slots)
            self.positions = torch.cat([self.positions, self.positions.new_zeros(slots - self.slots)])
        capacity = self.capacity
        if self.context is None and positions > capacity:
            capacity = max(positions, 2 * capacity, FIRST_POSITIONS)
        slots = max(slots, self.slots)
        if (slots, capacity) != (self.slots, self.capacity):
            self.keys, self.values = _grown(self.keys, slots, capacity), _grown(self.values, slots, capacity)

    def span(self, slots: Tensor, length: int) -> "Span":
        """The places of the next `length` positions of `slots` `[rows]`, and what each of them may look at."""
        first = self.positions[slots]  # [rows]
        positions = first[:, None] + torch.arange(length)  # [rows, length]
        newest = positions[:, -1:]  # [rows, 1]
        width = min(self.capacity, int(newest.max()) + 1)
        place = torch.arange(width)
        held = newest - (newest - place) % self.capacity  # [rows, width]: the position that each place holds
        age = positions[:, :, None] - held[:, None, :]  # [rows, length, width]
        visible = (held[:, None, :] >= 0) & (age >= 0)
        if self.context is not None:
            visible &= age < self.context
        device = self.keys.device
        return Span(
            cache=self,
            rows=rows_of(slots),
            slots=slots.to(device),
            places=(positions % self.capacity).to(device),
            width=width,
            mask=visible[:, None].to(device),
            rotation=rotation(positions, self.frequencies).to(device),
        )

    def advance(self, slots: Tensor, lengths: Tensor | int) -> None:
        self.positions[slots] += lengths


@dataclass(frozen=True, slots=True)
class Span:
    """One pass over some rows of a cache: made once, used by every layer."""

    cache: KeyValueCache
    rows: "Tensor | slice"  # where these slots lie, to read them
    slots: Tensor  # [rows], to write them
    places: Tensor  # [rows, length]
    width: int  # places to attend to
    mask: Tensor  # [rows, 1, length, width], true where visible
    rotation: Tensor  # [rows, length, 1, head_dim / 2], complex

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store `[rows, length, kv_heads, head_dim]`; return all that there is, `[rows, kv_heads, width, head_dim]`."""
        all_keys, all_values = self.cache.keys[layer], self.cache.values[layer]
        where = self.slots[:, None]
        all_keys[where, :, self.places] = keys
        all_values[where, :, self.places] = values
        return all_keys[self.rows, :, : self.width], all_values[self.rows, :, : self.width]


def rows_of(slots: Tensor) -> Tensor | slice:
    """Slots that lie side by side can be read without being copied together."""
    first, count = int(slots[0]), len(slots)
    side_by_side = torch.equal(slots, torch.arange(first, first + count))
    return slice(first, first + count) if side_by_side else slots


def rotary_frequencies(head_dim: int, max_period: float) -> Tensor:
    """Angular frequencies of rotary embedding (Su et al. 2022, arXiv:2104.09864), `[head_dim / 2]`, float32."""
    return torch.exp(torch.arange(head_dim // 2, dtype=torch.float32) * (-math.log(max_period) * 2 / head_dim))


def rotation(positions: Tensor, frequencies: Tensor) -> Tensor:
    """`[rows, length, 1, head_dim / 2]` complex factors. Angles in float64, so hours of speech stay exact."""
    angles = positions[..., None, None].double() * frequencies.double()
    return torch.polar(torch.ones_like(angles), angles).to(torch.complex64)


def _grown(old: Tensor, slots: int, capacity: int) -> Tensor:
    layers, kept_slots, heads, kept, dim = old.shape
    new = old.new_zeros(layers, slots, heads, capacity, dim)
    new[:, :kept_slots, :, :kept] = old
    return new
