"""The budget of messages, on a simulated clock."""

import pytest

from sayline_tts.server.access.limits import Caller, Limits, Quotas
from sayline_tts.server.access.message_budget import MIN_WAIT_S, WARN_S, MessageBudget
from tests.server.access.clock import Clock


def budget(
    quotas: Quotas, clock: Clock, account: str = "ann", per_second: float = 100, of_all: float = 150
) -> MessageBudget:
    return MessageBudget(quotas, Caller(account, Limits(), account), per_second, of_all, clock)


def flood(budgets: list[MessageBudget], clock: Clock, seconds: float) -> int:
    """Read as fast as the budgets allow, from all of them in turn. Returns the messages read."""
    end_s, ready_s, count = clock.now_s + seconds, [clock.now_s] * len(budgets), 0
    while (next_s := min(ready_s)) < end_s:
        clock.now_s = next_s
        reader = ready_s.index(next_s)
        ready_s[reader] = next_s + budgets[reader].charge()
        count += 1
    return count


def test_flood_of_one_connection_is_read_at_its_rate_after_a_burst(quotas: Quotas, clock: Clock) -> None:
    read = flood([budget(quotas, clock)], clock, 10)
    assert 1_090 < read < 1_110


def test_connections_of_one_account_share_its_rate_and_others_are_not_affected(quotas: Quotas, clock: Clock) -> None:
    floods = [budget(quotas, clock) for _ in range(4)]
    assert 1_640 < flood(floods, clock, 10) < 1_670
    assert budget(quotas, clock, "bob").charge() == 0


def test_client_within_its_budget_never_waits_and_is_never_warned(quotas: Quotas, clock: Clock) -> None:
    one = budget(quotas, clock)
    for _ in range(2_000):
        clock.now_s += 0.0101
        assert one.charge() == 0
        assert not one.warning_due()


def test_short_waits_are_left_out(quotas: Quotas, clock: Clock) -> None:
    one = budget(quotas, clock, per_second=1_000, of_all=10_000)
    waits = [one.charge() for _ in range(1_030)]
    assert set(waits[:1_019]) == {0.0}
    assert waits[-1] >= MIN_WAIT_S


def test_client_is_warned_after_a_while_of_flooding_and_then_seldom(quotas: Quotas, clock: Clock) -> None:
    one, warned_s = budget(quotas, clock), []
    start_s = clock.now_s
    while clock.now_s < start_s + 3.5 * WARN_S:
        clock.now_s += one.charge()
        if one.warning_due():
            warned_s.append(clock.now_s - start_s)
    assert [int(at_s / WARN_S) for at_s in warned_s] == [1, 2, 3]
    clock.now_s += 10  # and is forgiven
    one.charge()
    assert not one.warning_due()


def test_accounts_that_flooded_are_forgotten_once_they_are_idle(
    quotas: Quotas, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    quotas._sweep_at = 2
    flooding, other = Caller("ann", Limits(), "ann"), Caller("bob", Limits(), "bob")
    quotas.message_rate(flooding).charge(clock.now_s, 1)
    quotas.message_rate(other)
    assert quotas.message_rate(flooding).is_idle(clock.now_s) is False
    quotas._sweep_at = 2
    quotas.message_rate(Caller("cid", Limits(), "cid"))
    assert quotas._accounts.keys() == {"ann", "cid"}
    clock.now_s += 2
    quotas._sweep_at = 2
    quotas.message_rate(Caller("dan", Limits(), "dan"))
    assert quotas._accounts.keys() == {"dan"}


def test_tokens_share_the_rate_of_their_key(quotas: Quotas) -> None:
    key = Caller("ann", Limits(), "ann")
    tokens = [Caller("ann", Limits(), f"ann token {number}", issuer=key) for number in range(2)]
    assert {id(quotas.message_rate(each)) for each in (key, *tokens)} == {id(quotas.message_rate(key))}
