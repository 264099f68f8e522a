"""Sent events that the client may not have received, kept until their audio has been played.

The oldest events are discarded when the buffer is full. They cannot be sent again, and `since` then returns None.
"""

from collections import deque
from dataclasses import dataclass

from sayline_tts.server.websocket.messages import Audio
from sayline_tts.server.websocket.outbox import EventSource, Outgoing

EVENT_BYTES = 200  # approximate size of an event besides its audio
MAX_EVENTS = 8_192


@dataclass(slots=True)
class _Entry:
    out: Outgoing | None  # None once discarded
    seq: int
    sent_ms: float  # of its context's audio, this event included
    size_bytes: int

    @property
    def is_audio(self) -> bool:
        return self.out is not None and isinstance(self.out.event, Audio)


class ReplayBuffer:
    def __init__(self, limit_bytes: float) -> None:
        self._limit_bytes = limit_bytes
        self._size_bytes = 0
        self._entries: deque[_Entry] = deque()  # of all contexts, in the order of sending
        self._by_source: dict[EventSource, deque[_Entry]] = {}

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def append(self, out: Outgoing, seq: int, sent_ms: float) -> None:
        """Keep an event that goes to the socket now."""
        assert out.source is not None, "only events of a context are kept"
        data_bytes = len(out.event.data) if isinstance(out.event, Audio) else 0
        entry = _Entry(out, seq, sent_ms, EVENT_BYTES + data_bytes)
        self._entries.append(entry)
        self._by_source.setdefault(out.source, deque()).append(entry)
        self._size_bytes += entry.size_bytes
        while self._size_bytes > self._limit_bytes or len(self._entries) > MAX_EVENTS:
            self._discard(self._entries.popleft())

    def on_played(self, source: EventSource, played_ms: float) -> None:
        """Discard what `source` sent up to this position: it has been received."""
        entries = self._by_source.get(source, deque())
        while entries and (entries[0].sent_ms < played_ms or (entries[0].is_audio and entries[0].sent_ms <= played_ms)):
            self._discard(entries[0])
        self._sweep()

    def drop(self, source: EventSource) -> None:
        """Discard everything of `source`."""
        for entry in list(self._by_source.get(source, ())):
            self._discard(entry)
        self._sweep()

    def since(self, source: EventSource, seq: int, next_seq: int) -> list[Outgoing] | None:
        """Events sent after number `seq`; `next_seq` has not been sent yet. None if some are no longer kept."""
        later = [entry for entry in self._by_source.get(source, ()) if entry.seq > seq]
        if seq >= next_seq or [entry.seq for entry in later] != list(range(seq + 1, next_seq)):
            return None
        return [entry.out for entry in later if entry.out is not None]

    def _discard(self, entry: _Entry) -> None:
        if entry.out is None:
            return
        source = entry.out.source
        assert source is not None
        entries = self._by_source[source]
        assert entries[0] is entry, "events of a context are discarded in order"
        entries.popleft()
        if not entries:
            del self._by_source[source]
        self._size_bytes -= entry.size_bytes
        entry.out = None

    def _sweep(self) -> None:
        while self._entries and self._entries[0].out is None:
            self._entries.popleft()
