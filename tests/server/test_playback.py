from hypothesis import given
from hypothesis import strategies as st

from server.playback import Playback


class Clock:
    now_ms = 1000.0

    def __call__(self) -> float:
        return self.now_ms


def test_nothing_is_played_before_it_is_sent() -> None:
    clock = Clock()
    playback = Playback(clock)
    clock.now_ms += 5000
    assert playback.played_ms == 0
    playback.on_sent(80)
    assert playback.played_ms == 0
    clock.now_ms += 50
    assert playback.played_ms == 50
    clock.now_ms += 50
    assert playback.played_ms == 80


def test_a_listener_who_had_to_wait_does_not_catch_up() -> None:
    clock = Clock()
    playback = Playback(clock)
    playback.on_sent(80)
    clock.now_ms += 20_000  # the writer paused
    for _ in range(10):
        playback.on_sent(80)
    assert playback.played_ms == 80
    assert playback.unplayed_ms == 800


@given(st.lists(st.floats(0, 500) | st.none()))
def test_played_never_runs_back_nor_ahead(steps: list[float | None]) -> None:
    clock = Clock()
    playback = Playback(clock)
    before = 0.0
    for step in steps:
        if step is None:
            playback.on_sent(80)
        else:
            clock.now_ms += step
        assert before - 1e-6 <= playback.played_ms <= min(playback.sent_ms, clock.now_ms - 1000 + 1e-6)
        before = playback.played_ms
