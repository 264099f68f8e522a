import random

from sayline_tts.server.fleet.placement import Candidate, choose
from sayline_tts.server.fleet.wire import Load


def engine(
    speaking: int = 0, placed: int = 0, kind: str = "a", draining: bool = False, capacity: int = 10, slots: int = 20
) -> Candidate:
    return Candidate(kind, Load(capacity, speaking, 0, slots, speaking, 0, 1, 0, 0.0, draining), placed)


def pick(*engines: Candidate, resumes: str | None = None, seed: int = 0) -> Candidate | None:
    return choose(engines, lambda each: each, random.Random(seed), resumes)


def test_of_two_the_one_with_more_slack_is_chosen() -> None:
    idle, busy = engine(2), engine(6)
    assert pick(idle, busy) is pick(busy, idle) is idle


def test_what_was_placed_since_the_last_report_counts() -> None:
    assert pick(engine(2, placed=5), other := engine(6)) is other
    assert pick(engine(2, placed=8)) is None


def test_slack_is_a_share_of_the_capacity() -> None:
    small, large = engine(1, capacity=4), engine(20, capacity=100, slots=200)
    assert pick(small, large) is large


def test_full_and_draining_engines_are_left_out() -> None:
    assert pick(engine(10), engine(draining=True)) is None
    assert pick(engine(10), engine(draining=True), resumes="a") is not None


def test_admitted_utterance_needs_only_a_slot_and_prefers_its_kind() -> None:
    full, other = engine(10), engine(0, kind="b")
    assert pick(full, other, resumes="a") is full
    assert pick(engine(draining=True), other, resumes="a") is other
    assert pick(engine(20, capacity=40), resumes="a") is None


def test_every_engine_gets_some() -> None:
    engines = [engine(1) for _ in range(4)]
    chosen = {id(pick(*engines, seed=seed)) for seed in range(60)}
    assert len(chosen) == 4


def test_full_engine_that_is_drawn_is_passed_over() -> None:
    full, idle = engine(10), engine(3)
    assert all(pick(full, idle, full, seed=seed) is idle for seed in range(20))
    assert pick(full, full, full) is None
