import pytest

from sayline_tts.server.websocket.messages import Audio, Segment, ServerEvent
from sayline_tts.server.websocket.outbox import Outgoing
from sayline_tts.server.websocket.replay_buffer import EVENT_BYTES, MAX_EVENTS, ReplayBuffer


class Source:
    def on_sent(self, out: Outgoing) -> None:
        pass


def fill(buffer: ReplayBuffer, source: Source, *seqs: int, data: bytes = b"") -> None:
    """Frames of 80 ms, every fifth event a segment."""
    for seq in seqs:
        frames = seq - seq // 5
        if seq % 5 == 4:
            event: ServerEvent = Segment("a", seq, "x", 0, 1, 0, 0)
        else:
            event, frames = Audio("a", seq, 0, data), frames + 1
        buffer.append(Outgoing(event, source), seq, 80.0 * frames)


def seqs(buffer: ReplayBuffer, source: Source, seq: int, next_seq: int) -> list[int] | None:
    found = buffer.since(source, seq, next_seq)
    return None if found is None else [getattr(out.event, "seq", -1) for out in found]


def test_since_returns_later_events_in_order() -> None:
    buffer, one, other = ReplayBuffer(1e6), Source(), Source()
    fill(buffer, one, 0, 1, 2)
    fill(buffer, other, 0, 1)
    fill(buffer, one, 3)
    assert seqs(buffer, one, -1, 4) == [0, 1, 2, 3]
    assert seqs(buffer, one, 1, 4) == [2, 3]
    assert seqs(buffer, one, 3, 4) == []
    assert seqs(buffer, other, 0, 2) == [1]
    assert seqs(buffer, Source(), -1, 0) == []


@pytest.mark.parametrize("seq", [4, 9])
def test_since_an_unsent_event_is_none(seq: int) -> None:
    buffer, one = ReplayBuffer(1e6), Source()
    fill(buffer, one, 0, 1, 2, 3)
    assert seqs(buffer, one, seq, 4) is None


def test_played_audio_is_discarded_with_everything_before_it() -> None:
    buffer, one = ReplayBuffer(1e6), Source()
    fill(buffer, one, *range(10))  # frames end at 80, 160, 240, 320, a segment at 320, frames at 400, ...
    buffer.on_played(one, 319)
    assert seqs(buffer, one, 2, 10) == [3, 4, 5, 6, 7, 8, 9]
    buffer.on_played(one, 320)
    assert seqs(buffer, one, 3, 10) == [4, 5, 6, 7, 8, 9]
    assert seqs(buffer, one, 2, 10) is None
    buffer.on_played(one, 321)  # so audio after the segment was played
    assert seqs(buffer, one, 4, 10) == [5, 6, 7, 8, 9]
    assert seqs(buffer, one, 3, 10) is None
    buffer.on_played(Source(), 1e9)


def test_full_buffer_discards_the_oldest_event() -> None:
    buffer, one, other = ReplayBuffer(10 * (EVENT_BYTES + 1000)), Source(), Source()
    fill(buffer, one, 0, 1, data=bytes(1000))
    for number in range(8):
        buffer.append(Outgoing(Audio("b", number, 0, bytes(1000)), other), number, 80.0 * number)
    assert seqs(buffer, one, -1, 2) == [0, 1]
    buffer.append(Outgoing(Audio("b", 8, 0, bytes(1000)), other), 8, 640)
    assert seqs(buffer, one, -1, 2) is None
    assert seqs(buffer, one, 0, 2) == [1]
    assert buffer.size_bytes <= 10 * (EVENT_BYTES + 1000)


def test_buffer_of_size_zero_can_resume_only_without_missed_events() -> None:
    buffer, one = ReplayBuffer(0), Source()
    fill(buffer, one, 0, 1)
    assert buffer.size_bytes == 0
    assert seqs(buffer, one, 1, 2) == []
    assert seqs(buffer, one, 0, 2) is None


def test_drop_discards_the_events_of_one_context() -> None:
    buffer, one, other = ReplayBuffer(1e6), Source(), Source()
    fill(buffer, one, 0, 1)
    fill(buffer, other, 0)
    buffer.drop(one)
    buffer.drop(one)
    assert seqs(buffer, other, -1, 1) == [0]
    buffer.drop(other)
    assert buffer.size_bytes == 0
    assert not buffer._entries


def test_number_of_events_is_bounded() -> None:
    buffer, one, other = ReplayBuffer(1e9), Source(), Source()
    fill(buffer, one, 0)
    for number in range(2 * MAX_EVENTS):
        fill(buffer, other, number)
        buffer.on_played(other, 1e9)
    assert len(buffer._entries) <= MAX_EVENTS
