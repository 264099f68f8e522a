import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sayline_tts.engine.segment import Sampling, Segment
from sayline_tts.engine.text.chunk import Word
from sayline_tts.server.fleet import wire
from sayline_tts.server.fleet.wire import WireError

SAMPLING = Sampling(0.7, None, -4.0, 1, 2**60)
SEGMENT = Segment("Hi there.", (1, 2), 30, 2, (Word("Hi", 0, 2, "Hi"), Word("there.", 3, 9, "there.")), (0, 1), 2)
FRONT = wire.FrontTick(
    7,
    [wire.VoicePart(b"h", 0, 2, b"ab")],
    [b"old"],
    [wire.Start(1, b"h", SAMPLING, 80.0, float("inf"), False, wire.State(3, 4, 5, b"1234", [True], 6, b""))],
    [wire.Part(1, 0, SEGMENT), wire.Part(1, 1, None, 4)],
    [wire.Position(1, float("inf"), 2.5)],
    [1],
    [2],
)
LOAD = wire.Load(10, 3, 1, 20, 4, 0, 1, 0, 500.0, False)
ENGINE = wire.EngineTick(
    9,
    7,
    LOAD,
    [
        wire.Frame(1, 1, True, b"1234", b"", b"12345678", 5, 6, 0),
        wire.SilentFrame(1),
        wire.SegmentEnd(1, b"", 5, 7),
        wire.Ended(1, True),
        wire.Reclaim(2),
        wire.Admitted(3),
    ],
)


@given(st.integers(1, 700))
def test_messages_arrive_as_they_were_sent_however_the_stream_is_cut(piece: int) -> None:
    data, decoder = wire.encode(FRONT) + wire.encode(ENGINE) + wire.encode(FRONT), wire.Decoder()
    bodies = [body for at in range(0, len(data), piece) for body in decoder.feed(data[at : at + piece])]
    assert wire.decode(bodies[0], wire.FrontTick) == wire.decode(bodies[2], wire.FrontTick) == FRONT
    assert wire.decode(bodies[1], wire.EngineTick) == ENGINE


@given(st.binary(max_size=200))
def test_garbage_is_refused(data: bytes) -> None:
    decoder = wire.Decoder()
    try:
        for body in decoder.feed(data):
            wire.decode(body, wire.FrontTick)
    except WireError:
        pass


def test_long_message_is_refused_before_it_is_read() -> None:
    with pytest.raises(WireError, match="are allowed"):
        list(wire.Decoder().feed((wire.MAX_MESSAGE_BYTES + 1).to_bytes(4, "big")))


def test_message_of_another_type_is_refused() -> None:
    (body,) = wire.Decoder().feed(wire.encode(FRONT))
    with pytest.raises(WireError, match="not a Hello"):
        wire.decode(body, wire.Hello)


def test_arrays_arrive_to_the_bit() -> None:
    array = np.array([0.1, -3e-9], np.float32)
    assert np.array_equal(wire.from_bytes(wire.to_bytes(array)), array)  # type: ignore[arg-type]
    assert wire.from_bytes(wire.to_bytes(None)) is None


def test_pause_needs_a_length() -> None:
    assert wire.silence(wire.Part(1, 0, None, 3)).frames == 3
    with pytest.raises(WireError, match="no length"):
        wire.silence(wire.Part(1, 0, None))


def test_room_is_bounded_by_capacity_and_by_slots() -> None:
    assert LOAD.free == 6
    assert wire.Load(10, 3, 1, 6, 4, 0, 1, 0, 0.0, False).free == 1


def test_proof_depends_on_secret_role_and_nonces() -> None:
    proofs = {
        wire.proof(*each)
        for each in [("a", "front", b"1"), ("b", "front", b"1"), ("a", "engine", b"1"), ("a", "front", b"2")]
    }
    assert len(proofs) == 4
