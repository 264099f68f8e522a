"""What was sent in one session and may not have come: kept until it was heard, as far as there is room.

Knows no socket. What is forgotten for want of room cannot be sent again, and `since` says so.
"""

from collections import deque
from dataclasses import dataclass

from sayline_tts.server.websocket.outbox import Outgoing, Owner
from sayline_tts.server.websocket.protocol import Audio

EVENT_BYTES = 200  # an event's own, about, beside its data and text
MAX_EVENTS = 8_192


@dataclass(slots=True)
class _Kept:
    out: Outgoing | None  # None: not any more
    seq: int
    sent_ms: float  # of its context's audio, with this
    size_bytes: int

    @property
    def is_audio(self) -> bool:
        return self.out is not None and isinstance(self.out.event, Audio)


class History:
    def __init__(self, limit_bytes: float) -> None:
        self._limit_bytes = limit_bytes
        self._size_bytes = 0
        self._kept: deque[_Kept] = deque()  # of all contexts, in order
        self._by_owner: dict[Owner, deque[_Kept]] = {}

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def keep(self, out: Outgoing, seq: int, sent_ms: float) -> None:
        """An event with this `seq` of its context leaves for the socket."""
        assert out.owner is not None, "only a context's events are kept"
        data_bytes = len(out.event.data) if isinstance(out.event, Audio) else 0
        kept = _Kept(out, seq, sent_ms, EVENT_BYTES + data_bytes)
        self._kept.append(kept)
        self._by_owner.setdefault(out.owner, deque()).append(kept)
        self._size_bytes += kept.size_bytes
        while self._size_bytes > self._limit_bytes or len(self._kept) > MAX_EVENTS:
            self._forget(self._kept.popleft())

    def heard(self, owner: Owner, played_ms: float) -> None:
        """Its audio has come so far, and so has all that was sent before that."""
        mine = self._by_owner.get(owner, deque())
        while mine and (mine[0].sent_ms < played_ms or (mine[0].is_audio and mine[0].sent_ms <= played_ms)):
            self._forget(mine[0])
        self._sweep()

    def drop(self, owner: Owner) -> None:
        """Nothing of it will be asked for again."""
        for kept in list(self._by_owner.get(owner, ())):
            self._forget(kept)
        self._sweep()

    def since(self, owner: Owner, seq: int, next_seq: int) -> list[Outgoing] | None:
        """What was sent behind the event `seq`; `next_seq` was not sent yet. None: not all of that is left."""
        later = [kept for kept in self._by_owner.get(owner, ()) if kept.seq > seq]
        if seq >= next_seq or [kept.seq for kept in later] != list(range(seq + 1, next_seq)):
            return None
        return [kept.out for kept in later if kept.out is not None]

    def _forget(self, kept: _Kept) -> None:
        if kept.out is None:
            return
        owner = kept.out.owner
        assert owner is not None
        mine = self._by_owner[owner]
        assert mine[0] is kept, "a context's events are forgotten in their order"
        mine.popleft()
        if not mine:
            del self._by_owner[owner]
        self._size_bytes -= kept.size_bytes
        kept.out = None

    def _sweep(self) -> None:
        while self._kept and self._kept[0].out is None:
            self._kept.popleft()
