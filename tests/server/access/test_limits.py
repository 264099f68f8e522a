"""Quotas on a simulated clock."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sayline_tts.engine.errors import InputError
from sayline_tts.server.access.keys import KeyRevoked
from sayline_tts.server.access.limits import (
    MIN_ACCOUNTS_TO_SWEEP,
    Caller,
    LeakyBucket,
    Limits,
    Quotas,
    RateLimited,
    VoiceNotAllowed,
)
from tests.server.access.clock import Clock


def caller(name: str = "ann", **limits: object) -> Caller:
    return Caller(name, msgspec.convert(limits, Limits), account=name)


def refused(quotas: Quotas, client: Caller, chars: int) -> RateLimited:
    with pytest.raises(RateLimited) as caught:
        quotas.charge_chars(client, chars)
    return caught.value


def test_unlimited_caller_is_never_refused(quotas: Quotas) -> None:
    for _ in range(100):
        quotas.open_context(caller())
        quotas.charge_chars(caller(), 1_000_000)
    quotas.check_voice(caller(), "anybody")
    assert quotas.contexts(caller()) == 100


def test_contexts_count_until_released(quotas: Quotas) -> None:
    ann = caller(contexts=2)
    first = quotas.open_context(ann)
    with quotas.open_context(ann):
        with pytest.raises(RateLimited, match=r"context limit of this key reached \(2 of 2 open\)") as caught:
            quotas.open_context(ann)
        assert (caught.value.code, caught.value.retry_after_ms) == ("rate_limited", 1000)
    assert quotas.contexts(ann) == 1
    quotas.open_context(ann)
    first.release()
    first.release()
    assert quotas.contexts(ann) == 1


def test_quotas_are_per_caller(quotas: Quotas) -> None:
    ann, bob = caller("ann", contexts=1, chars_per_minute=60), caller("bob", contexts=1, chars_per_minute=60)
    for client in (ann, bob):
        quotas.open_context(client)
        quotas.charge_chars(client, 60)
    assert quotas.contexts(caller("eve")) == 0


def test_burst_of_one_minute_is_allowed_then_rate_applies(quotas: Quotas, clock: Clock) -> None:
    ann = caller(chars_per_minute=60)
    quotas.charge_chars(ann, 60)
    error = refused(quotas, ann, 5)
    assert (error.code, error.retry_after_ms) == ("rate_limited", 5000)
    clock.now_s += 4.5
    assert refused(quotas, ann, 5).retry_after_ms == 500
    clock.now_s += 0.5
    quotas.charge_chars(ann, 5)
    refused(quotas, ann, 1)


def test_unused_quota_does_not_accumulate(quotas: Quotas, clock: Clock) -> None:
    ann = caller(chars_per_minute=60)
    clock.now_s += 3600
    quotas.charge_chars(ann, 60)
    refused(quotas, ann, 1)


def test_refused_request_is_not_counted(quotas: Quotas) -> None:
    ann = caller(chars_per_minute=60)
    quotas.charge_chars(ann, 50)
    for _ in range(5):
        refused(quotas, ann, 11)
    quotas.charge_chars(ann, 10)


def test_text_over_the_minute_limit_cannot_be_retried(quotas: Quotas) -> None:
    error = refused(quotas, caller(chars_per_minute=60), 61)
    assert (error.code, error.retry_after_ms) == ("text_limit", None)
    assert "split it" in str(error)


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(1, 100)), max_size=50))
def test_average_rate_never_exceeds_the_limit(steps: list[tuple[float, int]]) -> None:
    bucket, now_s, taken = LeakyBucket(0.0), 0.0, 0
    for pause_s, count in steps:
        now_s += pause_s
        wait_s = bucket.take(count, 100, now_s)
        if not wait_s:
            taken += count
        assert taken <= 100 + now_s * 100 / 60 + 1e-6
        assert 0 <= wait_s <= 60


def test_changed_limit_applies_at_once(clock: Clock) -> None:
    limits = [{"chars_per_minute": 60, "contexts": 2}]
    quotas = Quotas(clock, current=lambda client: caller(client.name, **limits[-1]))
    quotas.charge_chars(caller(), 60)
    quotas.open_context(caller())
    limits.append({"chars_per_minute": 120, "contexts": 1})
    quotas.charge_chars(caller(), 60)
    with pytest.raises(RateLimited):
        quotas.open_context(caller())


def test_revoked_caller_is_refused_everything(clock: Clock) -> None:
    def revoked(client: Caller) -> Caller:
        raise KeyRevoked("revoked")

    quotas = Quotas(clock, revoked)
    for attempt in (
        lambda: quotas.open_context(caller()),
        lambda: quotas.charge_chars(caller(), 1),
        lambda: quotas.check_voice(caller(), "alba"),
    ):
        with pytest.raises(KeyRevoked):
            attempt()
    assert quotas.contexts(caller()) == 0


def test_only_allowed_voices_may_be_used(quotas: Quotas) -> None:
    ann = caller(voices=("alba", "eve"))
    quotas.check_voice(ann, "eve")
    with pytest.raises(VoiceNotAllowed, match="'bob'; use one of: alba, eve"):
        quotas.check_voice(ann, "bob")
    with pytest.raises(VoiceNotAllowed, match="custom voices; use one of: alba, eve"):
        quotas.check_custom_voice(ann)
    quotas.check_custom_voice(caller())
    assert ann.limits.allowed_voices(("alba", "bob")) == ("alba",)
    assert caller().limits.allowed_voices(("alba", "bob")) == ("alba", "bob")


def test_idle_accounts_are_dropped(quotas: Quotas, clock: Clock) -> None:
    busy = quotas.open_context(caller("busy"))
    quotas.charge_chars(caller("slow", chars_per_minute=10), 10)
    for number in range(5 * MIN_ACCOUNTS_TO_SWEEP):
        clock.now_s += 0.001
        quotas.open_context(caller(f"address {number}")).release()
    assert len(quotas._accounts) <= MIN_ACCOUNTS_TO_SWEEP
    assert quotas.contexts(caller("busy")) == 1
    refused(quotas, caller("slow", chars_per_minute=10), 10)
    busy.release()
    assert quotas.contexts(caller("busy")) == 0


def test_sweep_keeps_accounts_with_open_contexts(quotas: Quotas) -> None:
    held = quotas.open_context(caller("held", contexts=1))
    for number in range(3 * MIN_ACCOUNTS_TO_SWEEP):
        quotas.open_context(caller(f"address {number}")).release()
    with pytest.raises(RateLimited):
        quotas.open_context(caller("held", contexts=1))
    held.release()
    quotas.open_context(caller("held", contexts=1))


@pytest.mark.parametrize("limits", [{"contexts": 0}, {"chars_per_minute": -1}, {"voices": []}, {"watts": 5}])
def test_invalid_limits_are_rejected(limits: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(limits, Limits)


def test_quota_errors_are_input_errors() -> None:
    assert issubclass(RateLimited, InputError)
    assert issubclass(VoiceNotAllowed, InputError)


def test_key_hash_is_not_in_repr() -> None:
    assert "f00d" not in repr(Caller("ann", Limits(), "ann", "f00d"))
