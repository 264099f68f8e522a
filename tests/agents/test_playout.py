from sayline.agents.playout import Playout


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def wait(self, ms: float) -> None:
        self.now_s += ms / 1000


def test_speech_is_heard_as_time_goes_by_and_no_further_than_it_was_given() -> None:
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


def test_a_speech_waits_for_the_one_before() -> None:
    clock = Clock()
    playout = Playout(clock)
    playout.give("a", 100)
    playout.give("b", 100)
    clock.wait(150)
    assert (round(playout.played_ms("a")), round(playout.played_ms("b"))) == (100, 50)


def test_what_comes_late_leaves_a_silence_that_is_not_counted() -> None:
    clock = Clock()
    playout = Playout(clock)
    playout.give("a", 100)
    clock.wait(300)
    playout.give("a", 100)
    clock.wait(50)
    assert round(playout.played_ms("a")) == 150


def test_a_player_that_begins_late_is_believed() -> None:
    clock = Clock()
    playout = Playout(clock)
    playout.give("a", 1000)
    clock.wait(200)
    playout.begin()
    clock.wait(50)
    assert round(playout.played_ms("a")) == 50


def test_after_a_stop_the_next_speech_begins_at_once() -> None:
    clock = Clock()
    playout = Playout(clock)
    playout.give("a", 1000)
    clock.wait(100)
    playout.stop()
    playout.give("b", 1000)
    clock.wait(100)
    assert (playout.played_ms("a"), round(playout.played_ms("b"))) == (0, 100)


def test_a_speech_that_nobody_knows_was_heard_to_its_end() -> None:
    playout = Playout(Clock())
    playout.give("a", 100)
    playout.forget("a")
    assert (playout.played_ms("a"), playout.is_heard("a"), playout.is_heard("b")) == (0, True, True)
