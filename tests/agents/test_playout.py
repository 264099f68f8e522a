from sayline.agents.playout import Playout


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def wait(self, ms: float) -> None:
        self.now_s += ms / 1000


def test_position_advances_with_time_up_to_the_audio_given() -> None:
    clock = Clock()
    playout = Playout(clock)
    playout.give("a", 80)
    playout.give("a", 80)
    assert playout.played_ms("a") == 0
    clock.wait(100)
    assert round(playout.played_ms("a")) == 100
    assert not playout.is_heard("a")
    clock.wait(100)
    assert round(playout.played_ms("a")) == 160
    assert playout.is_heard("a")


def test_speech_starts_after_the_previous_one() -> None:
    clock = Clock()
    playout = Playout(clock)
    playout.give("a", 100)
    playout.give("b", 100)
    clock.wait(150)
    assert (round(playout.played_ms("a")), round(playout.played_ms("b"))) == (100, 50)


def test_underrun_silence_is_not_counted() -> None:
    clock = Clock()
    playout = Playout(clock)
    playout.give("a", 100)
    clock.wait(300)
    playout.give("a", 100)
    clock.wait(50)
    assert round(playout.played_ms("a")) == 150


def test_late_start_shifts_the_position() -> None:
    clock = Clock()
    playout = Playout(clock)
    playout.give("a", 1000)
    clock.wait(200)
    playout.begin()
    clock.wait(50)
    assert round(playout.played_ms("a")) == 50


def test_next_speech_starts_at_once_after_stop() -> None:
    clock = Clock()
    playout = Playout(clock)
    playout.give("a", 1000)
    clock.wait(100)
    playout.stop()
    playout.give("b", 1000)
    clock.wait(100)
    assert (playout.played_ms("a"), round(playout.played_ms("b"))) == (0, 100)


def test_unknown_speech_counts_as_heard() -> None:
    playout = Playout(Clock())
    playout.give("a", 100)
    playout.forget("a")
    assert (playout.played_ms("a"), playout.is_heard("a"), playout.is_heard("b")) == (0, True, True)
