from hypothesis import given
from hypothesis import strategies as st

from sayline_tts.server.synthesis.playback import Playback


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


def test_listener_does_not_catch_up_after_an_underrun() -> None:
    clock = Clock()
    playback = Playback(clock)
    playback.on_sent(80)
    clock.now_ms += 20_000  # the writer paused
    for _ in range(10):
        playback.on_sent(80)
    assert playback.played_ms == 80
    assert playback.sent_ms == 880


def test_report_corrects_the_estimate_and_the_clock_continues_from_it() -> None:
    clock = Clock()
    playback = Playback(clock)
    for _ in range(20):
        playback.on_sent(80)
    clock.now_ms += 1000
    playback.on_ack(400)  # the player had begun late
    assert playback.played_ms == 400
    clock.now_ms += 100
    assert playback.played_ms == 500
    playback.on_ack(800)  # and plays a little faster since
    assert playback.played_ms == 800


def test_nobody_hears_faster_than_real_time() -> None:
    clock = Clock()
    playback = Playback(clock)
    for _ in range(20):
        playback.on_sent(80)
    clock.now_ms += 300
    playback.on_ack(1600)
    assert playback.played_ms == 300


def test_nobody_hears_what_was_not_sent() -> None:
    clock = Clock()
    playback = Playback(clock)
    playback.on_sent(80)
    clock.now_ms += 5000
    playback.on_ack(4000)
    assert playback.played_ms == 80


def test_report_below_an_earlier_one_is_ignored() -> None:
    clock = Clock()
    playback = Playback(clock)
    for _ in range(20):
        playback.on_sent(80)
    clock.now_ms += 1000
    playback.on_ack(700)
    clock.now_ms += 100
    playback.on_ack(300)
    assert playback.played_ms == 800
    playback.on_ack(750)
    assert playback.played_ms == 750


@given(st.lists(st.floats(0, 500) | st.none() | st.floats(0, 5000).map(lambda ms: ("played", ms))))
def test_played_never_decreases_without_reports_nor_exceeds_real_time_with_them(
    steps: list[float | tuple[str, float] | None],
) -> None:
    clock = Clock()
    playback = Playback(clock)
    before = 0.0
    for step in steps:
        if isinstance(step, tuple):
            playback.on_ack(step[1])
            before = 0.0
        elif step is None:
            playback.on_sent(80)
        else:
            clock.now_ms += step
        assert before - 1e-6 <= playback.played_ms <= min(playback.sent_ms, clock.now_ms - 1000) + 1e-6
        before = playback.played_ms


def test_lost_audio_does_not_count_as_played() -> None:
    clock = Clock()
    playback = Playback(clock)
    playback.on_sent(1000)
    clock.now_ms += 600
    playback.rewind(400)
    assert (playback.sent_ms, playback.played_ms) == (400, 400)
    clock.now_ms += 100
    assert playback.underrun_ms == 100
    playback.on_sent(80)
    assert (playback.played_ms, playback.underrun_ms) == (400, 0)


def test_what_another_server_has_sent_is_taken_for_played() -> None:
    clock = Clock()
    playback = Playback(clock, 400.0)
    assert playback.played_ms == playback.sent_ms == 400
    playback.on_sent(80)
    clock.now_ms += 50
    assert playback.played_ms == 450
    playback.on_ack(350)
    assert playback.played_ms == 350
