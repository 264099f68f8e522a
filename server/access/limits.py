"""Limits of a caller, and quotas that count against them: open contexts, characters per minute, messages."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Annotated, Self

import msgspec
from msgspec import Meta

from sayline_tts.engine.errors import InputError
from sayline_tts.server.access.message_rate import MessageRate

ANONYMOUS = "anonymous"
CONTEXT_RETRY_MS = 1000.0  # when an open context ends cannot be predicted
MIN_ACCOUNTS_TO_SWEEP = 1000  # accounts

_Count = Annotated[int, Meta(ge=1)]


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Limits of one key; None means unlimited. An unknown field is an error: a misspelled one would not be enforced."""

    contexts: _Count | None = None  # open at the same time
    sessions: _Count | None = None  # connected at the same time
    chars_per_minute: _Count | None = None  # on average; bursts of up to one minute's worth are allowed
    voices: Annotated[tuple[str, ...], Meta(min_length=1)] | None = None
    stored_voices: Annotated[int, Meta(ge=0)] | None = None  # cloned voices kept on the server
    cache: bool = True  # whether its speech may be kept for repetition

    def allows_voice(self, name: str) -> bool:
        return self.voices is None or name in self.voices

    def allowed_voices(self, names: Iterable[str]) -> tuple[str, ...]:
        """Filter `names` down to the voices that this key may use and list."""
        return tuple(name for name in names if self.allows_voice(name))

    def default_voice(self, usual: str, names: Iterable[str]) -> str:
        """The voice for a request that names none: `usual` if allowed, else the first allowed one of `names`."""
        return next(iter(self.allowed_voices((usual, *names))), usual)


@dataclass(frozen=True)
class Caller:
    """An authenticated client. `name` labels logs and metrics and owns stored voices; quotas count by `account`."""

    name: str
    limits: Limits
    account: str
    sha256: str = field(default="", repr=False)  # of the key: a revoked key's name may be given to a new one
    operator: bool = False  # may see what concerns all keys
    issuer: "Caller | None" = None  # of a token: the key that minted it, whose limits apply too
    origin: str = ""  # of a token: the only site whose pages may use it
    keyless: bool = False  # admitted by a port that asks for no key

    @property
    def key(self) -> "Caller":
        """The holder of the key that this is about: of a token, that of the key that minted it."""
        return self.issuer or self

    @property
    def resumes_as(self) -> str:
        """Sessions can be resumed by the same account, or with another token of the same key and site."""
        return f"{self.name} {self.origin}" if self.issuer else self.account


class RateLimited(InputError):
    """A quota is used up. `retry_after_ms` None: retrying the same request cannot succeed."""

    def __init__(self, code: str, message: str, retry_after_ms: float | None) -> None:
        super().__init__(message)
        self.code, self.message, self.retry_after_ms = code, message, retry_after_ms


class VoiceNotAllowed(InputError):
    code = "voice_not_allowed"


class Lease:
    """One open context, counted against its quota until released. Releasing twice is harmless."""

    def __init__(self, on_release: Callable[[], None]) -> None:
        self._on_release: Callable[[], None] | None = on_release

    def release(self) -> None:
        on_release, self._on_release = self._on_release, None
        if on_release is not None:
            on_release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class LeakyBucket:
    """A leaky bucket: filled by `take`, drained at `per_minute`, which may change between calls."""

    def __init__(self, now_s: float) -> None:
        self._level, self._updated_s, self._per_minute = 0.0, now_s, 0

    def is_empty(self, now_s: float) -> bool:
        return self._level_at(now_s) == 0

    def take(self, count: int, per_minute: int, now_s: float) -> float:
        """Add `count` and return 0 if it fits; else add nothing and return the seconds until it would."""
        if wait_s := self.wait_s(count, per_minute, now_s):
            return wait_s
        self._level += count
        return 0.0

    def wait_s(self, count: int, per_minute: int, now_s: float) -> float:
        """Seconds until `count` would fit."""
        self._per_minute = per_minute
        self._level, self._updated_s = self._level_at(now_s), now_s
        return max(0.0, self._level + count - per_minute) * 60 / per_minute

    def _level_at(self, now_s: float) -> float:
        return max(0.0, self._level - (now_s - self._updated_s) * self._per_minute / 60)


class _Account:
    def __init__(self, now_s: float) -> None:
        self.contexts = 0
        self.chars = LeakyBucket(now_s)
        self.messages = MessageRate()


class Quotas:
    """Per-account usage. A refused request is not counted.

    `current` looks a caller up again, because a key can be revoked or get new limits during a session; it raises
    `InputError` if the caller has lost access.
    """

    def __init__(
        self, clock_s: Callable[[], float] = time.monotonic, current: Callable[[Caller], Caller] = lambda caller: caller
    ) -> None:
        self._clock_s, self._current = clock_s, current
        self._accounts: dict[str, _Account] = {}
        self._sweep_at = MIN_ACCOUNTS_TO_SWEEP

    def open_context(self, caller: Caller) -> Lease:
        """Count one more open context. Raises `RateLimited`."""
        counted = self._accounts_of(caller)
        for each, account in counted:
            limit = each.limits.contexts
            if limit is not None and account.contexts >= limit:
                message = f"context limit of this key reached ({account.contexts} of {limit} open); end one, then retry"
                raise RateLimited("rate_limited", message, CONTEXT_RETRY_MS)
        for _, account in counted:
            account.contexts += 1

        def release() -> None:
            for _, account in counted:
                account.contexts -= 1

        return Lease(release)

    def charge_chars(self, caller: Caller, count: int) -> None:
        """Count `count` characters of text. Raises `RateLimited`."""
        counted, now_s, wait_s = self._accounts_of(caller), self._clock_s(), 0.0
        limited = [(account.chars, limit) for each, account in counted if (limit := each.limits.chars_per_minute)]
        for bucket, limit in limited:
            if count > limit:
                message = f"text too long for this key ({count} characters, limit {limit} per minute); split it"
                raise RateLimited("text_limit", message, None)
            wait_s = max(wait_s, bucket.wait_s(count, limit, now_s))
        if wait_s:
            limit = min(limit for _, limit in limited)
            message = f"rate limit of this key reached ({limit} characters per minute); retry in {math.ceil(wait_s)} s"
            raise RateLimited("rate_limited", message, wait_s * 1000)
        for bucket, limit in limited:
            bucket.take(count, limit, now_s)

    def message_rate(self, caller: Caller) -> MessageRate:
        """The messages of all connections of the caller's key, those with its tokens included."""
        account = caller.key.account
        if account not in self._accounts and len(self._accounts) >= self._sweep_at:
            self._sweep()
        return self._accounts.setdefault(account, _Account(self._clock_s())).messages

    def check_voice(self, caller: Caller, name: str) -> None:
        """Raises `VoiceNotAllowed`."""
        for each in self._limited(caller):
            if not each.limits.allows_voice(name):
                allowed = ", ".join(each.limits.voices or ())
                raise VoiceNotAllowed(f"this key may not use voice {name[:100]!r}; use one of: {allowed}")

    def check_custom_voice(self, caller: Caller) -> None:
        """Check that the caller may send a recording to clone. Raises `VoiceNotAllowed`."""
        if (voices := self._current(caller).limits.voices) is not None:
            raise VoiceNotAllowed(f"this key may not use custom voices; use one of: {', '.join(voices)}")

    def contexts(self, caller: Caller) -> int:
        """Number of contexts open now."""
        account = self._accounts.get(caller.account)
        return account.contexts if account else 0

    def _limited(self, caller: Caller) -> list[Caller]:
        """The caller as it is now and, if it has a token, the key that minted it. Raises what `current` raises."""
        now = self._current(caller)
        return [now] if now.issuer is None else [now, now.issuer]

    def _accounts_of(self, caller: Caller) -> list[tuple[Caller, _Account]]:
        """Whose limits apply, each with what it has used."""
        limited = self._limited(caller)
        if len(self._accounts) >= self._sweep_at:
            self._sweep()
        return [(each, self._accounts.setdefault(each.account, _Account(self._clock_s()))) for each in limited]

    def _sweep(self) -> None:
        """Drop idle accounts: each anonymous address has one, so their number is otherwise unbounded."""
        now_s = self._clock_s()
        self._accounts = {
            name: account
            for name, account in self._accounts.items()
            if account.contexts or not account.chars.is_empty(now_s) or not account.messages.is_idle(now_s)
        }
        self._sweep_at = max(MIN_ACCOUNTS_TO_SWEEP, 2 * len(self._accounts))
