"""Limits of a caller, and quotas that count against them: open contexts and characters per minute."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Annotated, Self

import msgspec
from msgspec import Meta

from sayline_tts.engine.errors import InputError

ANONYMOUS = "anonymous"
CONTEXT_RETRY_MS = 1000.0  # when an open context ends cannot be predicted
MIN_ACCOUNTS_TO_SWEEP = 1000  # accounts

_Count = Annotated[int, Meta(ge=1)]


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Limits of one key; None means unlimited. An unknown field is an error: it would be a limit nobody enforces."""

    contexts: _Count | None = None  # open at the same time
    chars_per_minute: _Count | None = None  # on average; bursts of up to one minute's worth are allowed
    voices: Annotated[tuple[str, ...], Meta(min_length=1)] | None = None
    stored_voices: Annotated[int, Meta(ge=0)] | None = None  # cloned voices kept on the server

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
        self._per_minute = per_minute
        self._level, self._updated_s = self._level_at(now_s), now_s
        if (excess := self._level + count - per_minute) > 0:
            return excess * 60 / per_minute
        self._level += count
        return 0.0

    def _level_at(self, now_s: float) -> float:
        return max(0.0, self._level - (now_s - self._updated_s) * self._per_minute / 60)


class _Account:
    def __init__(self, now_s: float) -> None:
        self.contexts = 0
        self.chars = LeakyBucket(now_s)


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
        caller = self._current(caller)
        account, limit = self._account(caller), caller.limits.contexts
        if limit is not None and account.contexts >= limit:
            message = f"context limit of this key reached ({account.contexts} of {limit} open); end one, then retry"
            raise RateLimited("rate_limited", message, CONTEXT_RETRY_MS)
        account.contexts += 1

        def release() -> None:
            account.contexts -= 1

        return Lease(release)

    def charge_chars(self, caller: Caller, count: int) -> None:
        """Count `count` characters of text. Raises `RateLimited`."""
        caller = self._current(caller)
        limit = caller.limits.chars_per_minute
        if limit is None:
            return
        if count > limit:
            message = f"text too long for this key ({count} characters, limit {limit} per minute); split it"
            raise RateLimited("text_limit", message, None)
        wait_s = self._account(caller).chars.take(count, limit, self._clock_s())
        if wait_s:
            message = f"rate limit of this key reached ({limit} characters per minute); retry in {math.ceil(wait_s)} s"
            raise RateLimited("rate_limited", message, wait_s * 1000)

    def check_voice(self, caller: Caller, name: str) -> None:
        """Raises `VoiceNotAllowed`."""
        limits = self._current(caller).limits
        if not limits.allows_voice(name):
            allowed = ", ".join(limits.voices or ())
            raise VoiceNotAllowed(f"this key may not use voice {name[:100]!r}; use one of: {allowed}")

    def check_custom_voice(self, caller: Caller) -> None:
        """Check that the caller may send a recording to clone. Raises `VoiceNotAllowed`."""
        if (voices := self._current(caller).limits.voices) is not None:
            raise VoiceNotAllowed(f"this key may not use custom voices; use one of: {', '.join(voices)}")

    def contexts(self, caller: Caller) -> int:
        """Number of contexts open now."""
        account = self._accounts.get(caller.account)
        return account.contexts if account else 0

    def _account(self, caller: Caller) -> _Account:
        account = self._accounts.get(caller.account)
        if account is None:
            if len(self._accounts) >= self._sweep_at:
                self._sweep()
            account = self._accounts[caller.account] = _Account(self._clock_s())
        return account

    def _sweep(self) -> None:
        """Drop idle accounts: each anonymous address has one, so their number is otherwise unbounded."""
        now_s = self._clock_s()
        self._accounts = {
            name: account
            for name, account in self._accounts.items()
            if account.contexts or not account.chars.is_empty(now_s)
        }
        self._sweep_at = max(MIN_ACCOUNTS_TO_SWEEP, 2 * len(self._accounts))
