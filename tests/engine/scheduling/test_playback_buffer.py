"""How many frames may be held back before the codec, and when they have to go."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sayline_tts.engine.scheduling.playback_buffer import (
    MAX_HELD_FRAMES,
    STARTUP_LEAD_MS,
    PlaybackBuffer,
    PlaybackPosition,
)

FRAME_MS = 80.0


@pytest.mark.parametrize(
    ("max_lead_ms", "frames"), [(80, 0), (479, 0), (480, 1), (959, 3), (1000, 4), (1280, 6), (math.inf, 6)]
)
def test_more_frames_are_held_with_a_longer_lead(max_lead_ms: float, frames: int) -> None:
    assert PlaybackBuffer(PlaybackPosition(), FRAME_MS, max_lead_ms).holdable_frames == frames


def test_first_frames_are_not_held_and_held_frames_are_no_lead() -> None:
    buffer = PlaybackBuffer(PlaybackPosition(), FRAME_MS, 1000)
    for _ in range(3):
        assert not buffer.may_hold
        buffer.produce(1)
    assert buffer.may_hold
    buffer.hold(1)
    assert buffer.lead_ms == STARTUP_LEAD_MS
    assert not buffer.must_release
    buffer.release()
    assert (buffer.lead_ms, buffer.held_frames) == (STARTUP_LEAD_MS + FRAME_MS, 0)


def test_held_frames_have_to_go_when_the_listener_is_running_out() -> None:
    clock = PlaybackPosition()
    buffer = PlaybackBuffer(clock, FRAME_MS, 1000)
    buffer.produce(3)
    buffer.hold(2)
    clock.played_ms = 1.0
    assert buffer.must_release
    assert buffer.may_hold, "order is kept: a later frame does not overtake those that are held"


@given(st.floats(80, 5000), st.floats(40, 160))
def test_a_full_batch_keeps_within_the_lead_when_all_held_frames_go(max_lead_ms: float, frame_ms: float) -> None:
    """A row steps with at most a frame more than the low-water mark, and the segment may end with that step."""
    buffer = PlaybackBuffer(PlaybackPosition(), frame_ms, max_lead_ms)
    assert buffer.holdable_frames <= MAX_HELD_FRAMES
    if buffer.holdable_frames:
        lead_ms = buffer.low_water_ms + frame_ms + (buffer.holdable_frames + 1) * frame_ms
        assert lead_ms <= max_lead_ms + 1e-6
