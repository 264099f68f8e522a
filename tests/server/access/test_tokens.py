"""Tokens: what is signed, how long they are valid, and what they may do."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sayline_tts.server.access.limits import Caller, Limits, Quotas, RateLimited, VoiceNotAllowed
from sayline_tts.server.access.tokens import MAX_CHARS, PREFIX, Tokens
from tests.server.access.clock import Clock

ANN = Caller("ann", Limits(contexts=2, chars_per_minute=100, voices=("alba", "bob")), "ann", "ab" * 32, operator=True)
SITE = "https://app.example"


@pytest.fixture
def tokens(clock: Clock) -> Tokens:
    return Tokens(clock)


def holders(*callers: Caller) -> Callable[[str], Caller | None]:
    return {caller.name: caller for caller in callers}.get


def used(tokens: Tokens, **limits: object) -> Caller:
    """The caller that a new token stands for."""
    caller = tokens.verify(tokens.mint(ANN, SITE, 60, Limits(**limits)), holders(ANN))  # type: ignore[arg-type]
    assert caller is not None
    return caller


def test_token_stands_for_its_key_with_limits_of_its_own(tokens: Tokens) -> None:
    caller = used(tokens, contexts=1, voices=("bob",))
    assert (caller.name, caller.issuer, caller.origin, caller.operator) == ("ann", ANN, SITE, False)
    assert caller.limits == Limits(contexts=1, voices=("bob",), stored_voices=0)
    assert caller.account.startswith("ann token ")


def test_token_has_the_voices_of_its_key(tokens: Tokens) -> None:
    assert used(tokens).limits.voices == ("alba", "bob")
    with pytest.raises(VoiceNotAllowed, match="eve"):
        tokens.mint(ANN, SITE, 60, Limits(voices=("alba", "eve")))


def test_token_is_a_valid_subprotocol_and_does_not_contain_the_hash_of_its_key(tokens: Tokens) -> None:
    token = tokens.mint(ANN, SITE, 60, Limits())
    body, signature = token.removeprefix(PREFIX).split(".")
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")
    claims = base64.urlsafe_b64decode(body + "==")
    assert json.loads(claims)["key"] == "ann"
    assert ANN.sha256.encode() not in claims
    assert len(signature) == 43


def test_token_expires(tokens: Tokens, clock: Clock) -> None:
    token = tokens.mint(ANN, SITE, 60, Limits())
    clock.now_s += 59.9
    assert tokens.verify(token, holders(ANN))
    clock.now_s += 0.1
    assert tokens.verify(token, holders(ANN)) is None


def test_token_ends_with_its_key(tokens: Tokens) -> None:
    token = tokens.mint(ANN, SITE, 60, Limits())
    assert tokens.verify(token, holders()) is None
    assert tokens.verify(token, holders(replace(ANN, sha256="cd" * 32))) is None  # another key of the same name


def test_another_process_does_not_accept_the_token(tokens: Tokens, clock: Clock) -> None:
    assert Tokens(clock).verify(tokens.mint(ANN, SITE, 60, Limits()), holders(ANN)) is None


def test_changed_claims_are_not_accepted(tokens: Tokens) -> None:
    body, signature = tokens.mint(ANN, SITE, 60, Limits(contexts=1)).removeprefix(PREFIX).split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    claims["limits"]["contexts"] = 100
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    assert tokens.verify(f"{PREFIX}{forged}.{signature}", holders(ANN)) is None


@pytest.mark.parametrize("token", ["", "say_x", PREFIX, f"{PREFIX}.", f"{PREFIX}e30.e30", f"{PREFIX}!.!", f"{PREFIX}ü"])
def test_malformed_token_is_not_accepted(tokens: Tokens, token: str) -> None:
    assert tokens.verify(token, holders(ANN)) is None


def test_too_long_token_is_not_accepted(tokens: Tokens) -> None:
    assert tokens.verify(PREFIX + "A" * MAX_CHARS, holders(ANN)) is None


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_text_is_refused_without_an_error(body: str, signature: str) -> None:
    tokens = Tokens()
    genuine = tokens.mint(ANN, SITE, 60, Limits())
    assert tokens.verify(f"{PREFIX}{body}.{signature}", holders(ANN)) is None
    assert tokens.verify(f"{genuine.partition('.')[0]}.{signature}", holders(ANN)) is None


def test_limits_of_the_key_apply_to_all_its_tokens_together(tokens: Tokens, clock: Clock) -> None:
    quotas = Quotas(clock)
    first, second, third = (used(tokens) for _ in range(3))
    leases = [quotas.open_context(first), quotas.open_context(second)]
    with pytest.raises(RateLimited, match="2 of 2 open"):
        quotas.open_context(third)
    assert (quotas.contexts(first), quotas.contexts(ANN), quotas.contexts(third)) == (1, 2, 0)
    leases[0].release()
    quotas.open_context(third)
    quotas.charge_chars(first, 60)
    with pytest.raises(RateLimited, match="100 characters per minute"):
        quotas.charge_chars(second, 60)
    quotas.charge_chars(second, 40)


def test_limits_of_a_token_apply_to_it_alone(tokens: Tokens, clock: Clock) -> None:
    quotas = Quotas(clock)
    small, other = used(tokens, contexts=1, chars_per_minute=10), used(tokens)
    quotas.open_context(small)
    with pytest.raises(RateLimited, match="1 of 1 open"):
        quotas.open_context(small)
    quotas.charge_chars(small, 10)
    with pytest.raises(RateLimited, match="10 characters per minute"):
        quotas.charge_chars(small, 1)
    with pytest.raises(RateLimited, match="limit 10 per minute"):
        quotas.charge_chars(small, 11)
    quotas.charge_chars(other, 90)  # what was refused was not counted


def test_voice_that_the_key_lost_is_refused_to_its_token(tokens: Tokens) -> None:
    caller = used(tokens, voices=("bob",))
    limited = replace(ANN, limits=Limits(voices=("alba",)))
    quotas = Quotas(current=lambda each: replace(each, issuer=limited))
    with pytest.raises(VoiceNotAllowed, match="use one of: alba"):
        quotas.check_voice(caller, "bob")


def test_tokens_of_one_user_share_limits(tokens: Tokens) -> None:
    quotas = Quotas()
    token = [tokens.mint(ANN, SITE, 60, Limits(contexts=1), user="u17") for _ in range(2)]
    one, other = (tokens.verify(each, holders(ANN)) for each in token)
    assert one
    assert other
    quotas.open_context(one)
    with pytest.raises(RateLimited):
        quotas.open_context(other)


def test_session_can_be_resumed_with_another_token_of_the_same_site(tokens: Tokens) -> None:
    assert used(tokens).resumes_as == used(tokens).resumes_as
    elsewhere = tokens.verify(tokens.mint(ANN, "https://other.example", 60, Limits()), holders(ANN))
    assert elsewhere
    assert len({used(tokens).resumes_as, elsewhere.resumes_as, ANN.resumes_as}) == 3
