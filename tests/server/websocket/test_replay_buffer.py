import pytest

from sayline_tts.server.websocket.outbox import Outgoing
from sayline_tts.server.websocket.protocol import Audio, Segment, ServerEvent
from sayline_tts.server.websocket.replay_buffer import EVENT_BYTES, MAX_EVENTS, History


class Speaker:
    def on_sent(self, event: ServerEvent) -> float:
        return 0.0


def keep(history: History, owner: Speaker, *seqs: int, data: bytes = b"") -> None:
    """Frames of 80 ms, every fifth event a segment."""
    for seq in seqs:
        frames = seq - seq // 5
        if seq % 5 == 4:
            event: ServerEvent = Segment("a", seq, "x", 0, 1, 0, 0)
        else:
            event, frames = Audio("a", seq, 0, data), frames + 1
        history.keep(Outgoing(event, owner), seq, 80.0 * frames)


def seqs(history: History, owner: Speaker, seq: int, next_seq: int) -> list[int] | None:
    found = history.since(owner, seq, next_seq)
    return None if found is None else [getattr(out.event, "seq", -1) for out in found]


def test_what_was_sent_behind_an_event_is_found_in_order() -> None:
    history, one, other = History(1e6), Speaker(), Speaker()
    keep(history, one, 0, 1, 2)
    keep(history, other, 0, 1)
    keep(history, one, 3)
    assert seqs(history, one, -1, 4) == [0, 1, 2, 3]
    assert seqs(history, one, 1, 4) == [2, 3]
    assert seqs(history, one, 3, 4) == []
    assert seqs(history, other, 0, 2) == [1]
    assert seqs(history, Speaker(), -1, 0) == []


@pytest.mark.parametrize("seq", [4, 9])
def test_an_event_that_was_never_sent_cannot_have_come(seq: int) -> None:
    history, one = History(1e6), Speaker()
    keep(history, one, 0, 1, 2, 3)
    assert seqs(history, one, seq, 4) is None


def test_what_was_heard_is_forgotten_with_all_before_it_and_nothing_behind() -> None:
    history, one = History(1e6), Speaker()
    keep(history, one, *range(10))  # frames end at 80, 160, 240, 320, a segment at 320, frames at 400, ...
    history.heard(one, 319)
    assert seqs(history, one, 2, 10) == [3, 4, 5, 6, 7, 8, 9]
    history.heard(one, 320)
    assert seqs(history, one, 3, 10) == [4, 5, 6, 7, 8, 9]
    assert seqs(history, one, 2, 10) is None
    history.heard(one, 321)  # something that came behind the segment
    assert seqs(history, one, 4, 10) == [5, 6, 7, 8, 9]
    assert seqs(history, one, 3, 10) is None
    history.heard(Speaker(), 1e9)


def test_where_there_is_no_room_the_oldest_goes_first() -> None:
    history, one, other = History(10 * (EVENT_BYTES + 1000)), Speaker(), Speaker()
    keep(history, one, 0, 1, data=bytes(1000))
    for number in range(8):
        history.keep(Outgoing(Audio("b", number, 0, bytes(1000)), other), number, 80.0 * number)
    assert seqs(history, one, -1, 2) == [0, 1]
    history.keep(Outgoing(Audio("b", 8, 0, bytes(1000)), other), 8, 640)
    assert seqs(history, one, -1, 2) is None
    assert seqs(history, one, 0, 2) == [1]
    assert history.size_bytes <= 10 * (EVENT_BYTES + 1000)


def test_who_keeps_nothing_has_no_memory_and_no_gap_where_all_has_come() -> None:
    history, one = History(0), Speaker()
    keep(history, one, 0, 1)
    assert history.size_bytes == 0
    assert seqs(history, one, 1, 2) == []
    assert seqs(history, one, 0, 2) is None


def test_a_context_can_be_dropped() -> None:
    history, one, other = History(1e6), Speaker(), Speaker()
    keep(history, one, 0, 1)
    keep(history, other, 0)
    history.drop(one)
    history.drop(one)
    assert seqs(history, other, -1, 1) == [0]
    history.drop(other)
    assert history.size_bytes == 0
    assert not history._kept


def test_small_events_have_a_bound_too() -> None:
    history, one, other = History(1e9), Speaker(), Speaker()
    keep(history, one, 0)
    for number in range(2 * MAX_EVENTS):
        keep(history, other, number)
        history.heard(other, 1e9)
    assert len(history._kept) <= MAX_EVENTS
