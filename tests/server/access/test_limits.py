"""What each caller may use, on a clock that only moves when it is told to."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sayline_tts.engine.errors import InputError
from sayline_tts.server.access.keys import KeyRevoked
from sayline_tts.server.access.limits import FEWEST_TO_SWEEP, Bucket, Caller, Ledger, Limited, Limits, VoiceNotAllowed


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(clock: Clock) -> Ledger:
    return Ledger(clock)


def caller(name: str = "ann", **limits: object) -> Caller:
    return Caller(name, msgspec.convert(limits, Limits), account=name)


def refused(ledger: Ledger, who: Caller, chars: int) -> Limited:
    with pytest.raises(Limited) as caught:
        ledger.take_chars(who, chars)
    return caught.value


def test_without_limits_everything_is_allowed(ledger: Ledger) -> None:
    for _ in range(100):
        ledger.take_context(caller())
        ledger.take_chars(caller(), 1_000_000)
    ledger.check_voice(caller(), "anybody")
    assert ledger.contexts(caller()) == 100


def test_contexts_are_counted_until_they_are_released(ledger: Ledger) -> None:
    ann = caller(contexts=2)
    first = ledger.take_context(ann)
    with ledger.take_context(ann):
        with pytest.raises(Limited, match="2 contexts are open and this key may have 2") as caught:
            ledger.take_context(ann)
        assert (caught.value.code, caught.value.retry_after_ms) == ("rate_limited", 1000)
    assert ledger.contexts(ann) == 1
    ledger.take_context(ann)
    first.release()
    first.release()
    assert ledger.contexts(ann) == 1


def test_callers_do_not_share_their_limits(ledger: Ledger) -> None:
    ann, bob = caller("ann", contexts=1, chars_per_minute=60), caller("bob", contexts=1, chars_per_minute=60)
    for who in (ann, bob):
        ledger.take_context(who)
        ledger.take_chars(who, 60)
    assert ledger.contexts(caller("eve")) == 0


def test_a_minute_s_worth_may_come_at_once_and_then_as_the_clock_gives(ledger: Ledger, clock: Clock) -> None:
    ann = caller(chars_per_minute=60)
    ledger.take_chars(ann, 60)
    error = refused(ledger, ann, 5)
    assert (error.code, error.retry_after_ms) == ("rate_limited", 5000)
    clock.now_s += 4.5
    assert refused(ledger, ann, 5).retry_after_ms == 500
    clock.now_s += 0.5
    ledger.take_chars(ann, 5)
    refused(ledger, ann, 1)


def test_what_was_not_used_does_not_pile_up(ledger: Ledger, clock: Clock) -> None:
    ann = caller(chars_per_minute=60)
    clock.now_s += 3600
    ledger.take_chars(ann, 60)
    refused(ledger, ann, 1)


def test_what_is_refused_is_not_counted(ledger: Ledger) -> None:
    ann = caller(chars_per_minute=60)
    ledger.take_chars(ann, 50)
    for _ in range(5):
        refused(ledger, ann, 11)
    ledger.take_chars(ann, 10)


def test_a_text_longer_than_a_minute_s_worth_is_never_taken(ledger: Ledger) -> None:
    error = refused(ledger, caller(chars_per_minute=60), 61)
    assert (error.code, error.retry_after_ms) == ("text_limit", None)
    assert "in pieces" in str(error)


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(1, 100)), max_size=50))
def test_on_average_no_more_than_the_limit_is_taken(steps: list[tuple[float, int]]) -> None:
    bucket, now_s, taken = Bucket(0.0), 0.0, 0
    for pause_s, count in steps:
        now_s += pause_s
        wait_s = bucket.take(count, 100, now_s)
        if not wait_s:
            taken += count
        assert taken <= 100 + now_s * 100 / 60 + 1e-6
        assert 0 <= wait_s <= 60


def test_a_limit_that_changes_holds_at_once(clock: Clock) -> None:
    limits = [{"chars_per_minute": 60, "contexts": 2}]
    ledger = Ledger(clock, current=lambda who: caller(who.name, **limits[-1]))
    ledger.take_chars(caller(), 60)
    ledger.take_context(caller())
    limits.append({"chars_per_minute": 120, "contexts": 1})
    ledger.take_chars(caller(), 60)
    with pytest.raises(Limited):
        ledger.take_context(caller())


def test_who_may_not_go_on_gets_nothing(clock: Clock) -> None:
    def revoked(who: Caller) -> Caller:
        raise KeyRevoked("revoked")

    ledger = Ledger(clock, revoked)
    for attempt in (
        lambda: ledger.take_context(caller()),
        lambda: ledger.take_chars(caller(), 1),
        lambda: ledger.check_voice(caller(), "alba"),
    ):
        with pytest.raises(KeyRevoked):
            attempt()
    assert ledger.contexts(caller()) == 0


def test_only_voices_that_are_allowed_may_be_used(ledger: Ledger) -> None:
    ann = caller(voices=("alba", "eve"))
    ledger.check_voice(ann, "eve")
    with pytest.raises(VoiceNotAllowed, match="'bob'; it may with alba, eve"):
        ledger.check_voice(ann, "bob")
    with pytest.raises(VoiceNotAllowed, match="alba, eve only"):
        ledger.check_own_voice(ann)
    ledger.check_own_voice(caller())
    assert ann.limits.allowed_voices(("alba", "bob")) == ("alba",)
    assert caller().limits.allowed_voices(("alba", "bob")) == ("alba", "bob")


def test_accounts_that_owe_nothing_are_forgotten(ledger: Ledger, clock: Clock) -> None:
    busy = ledger.take_context(caller("busy"))
    ledger.take_chars(caller("slow", chars_per_minute=10), 10)
    for number in range(5 * FEWEST_TO_SWEEP):
        clock.now_s += 0.001
        ledger.take_context(caller(f"address {number}")).release()
    assert len(ledger._accounts) <= FEWEST_TO_SWEEP
    assert ledger.contexts(caller("busy")) == 1
    refused(ledger, caller("slow", chars_per_minute=10), 10)
    busy.release()
    assert ledger.contexts(caller("busy")) == 0


def test_an_account_that_was_forgotten_is_not_given_back_to_another(ledger: Ledger) -> None:
    held = ledger.take_context(caller("held", contexts=1))
    for number in range(3 * FEWEST_TO_SWEEP):
        ledger.take_context(caller(f"address {number}")).release()
    with pytest.raises(Limited):
        ledger.take_context(caller("held", contexts=1))
    held.release()
    ledger.take_context(caller("held", contexts=1))


@pytest.mark.parametrize("limits", [{"contexts": 0}, {"chars_per_minute": -1}, {"voices": []}, {"watts": 5}])
def test_limits_that_cannot_be_are_no_limits(limits: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(limits, Limits)


def test_errors_are_mistakes_of_the_peer() -> None:
    assert issubclass(Limited, InputError)
    assert issubclass(VoiceNotAllowed, InputError)


def test_a_hash_of_a_key_is_not_shown() -> None:
    assert "f00d" not in repr(Caller("ann", Limits(), "ann", "f00d"))
