"""What each caller may, and how much of it is used just now. Knows no key, no socket and no HTTP."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Annotated, Self

import msgspec
from msgspec import Meta

from sayline_tts.engine.errors import InputError

ANONYMOUS = "anonymous"
CONTEXT_RETRY_MS = 1000.0  # nobody knows when one of his contexts ends
FEWEST_TO_SWEEP = 1000  # accounts

_Count = Annotated[int, Meta(ge=1)]


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """None is no limit. An unknown field is an error: it would be a limit that nobody keeps."""

    contexts: _Count | None = None  # that speak or wait at the same moment
    chars_per_minute: _Count | None = None  # on average; a whole minute's worth may come at once
    voices: Annotated[tuple[str, ...], Meta(min_length=1)] | None = None
    stored_voices: Annotated[int, Meta(ge=0)] | None = None  # kept from uploads

    def allows_voice(self, name: str) -> bool:
        return self.voices is None or name in self.voices

    def allowed_voices(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of `names` that may be spoken with, and shown."""
        return tuple(name for name in names if self.allows_voice(name))

    def voice_unasked(self, usual: str, names: Iterable[str]) -> str:
        """Who names no voice gets the usual one, or the first of `names` that may be spoken with."""
        return next(iter(self.allowed_voices((usual, *names))), usual)


@dataclass(frozen=True)
class Caller:
    """Who asks. `name` is for logs and metrics, and owns what is stored; limits are counted by `account`."""

    name: str
    limits: Limits
    account: str
    sha256: str = field(default="", repr=False)  # of the key, which may be replaced by another of the same name


class Limited(InputError):
    """So much is not allowed."""

    def __init__(self, code: str, message: str, retry_after_ms: float | None) -> None:
        super().__init__(message)
        self.code, self.message, self.retry_after_ms = code, message, retry_after_ms


class VoiceNotAllowed(InputError):
    code = "voice_not_allowed"


class Place:
    """What `Ledger.take_context` gives: one context's place, until it is released. Twice is harmless."""

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back: Callable[[], None] | None = give_back

    def release(self) -> None:
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class Bucket:
    """Characters spent, which the clock forgives at so many a minute. The limit may change while it runs."""

    def __init__(self, now_s: float) -> None:
        self._spent, self._at_s, self._per_minute = 0.0, now_s, 0

    def is_empty(self, now_s: float) -> bool:
        return self._left(now_s) == 0

    def take(self, count: int, per_minute: int, now_s: float) -> float:
        """Seconds to wait until there is room for `count`; 0: there was, and they are taken."""
        self._per_minute = per_minute
        self._spent, self._at_s = self._left(now_s), now_s
        if (over := self._spent + count - per_minute) > 0:
            return over * 60 / per_minute
        self._spent += count
        return 0.0

    def _left(self, now_s: float) -> float:
        return max(0.0, self._spent - (now_s - self._at_s) * self._per_minute / 60)


class _Account:
    def __init__(self, now_s: float) -> None:
        self.contexts = 0
        self.chars = Bucket(now_s)


class Ledger:
    """Counts for every caller. What is refused is not counted.

    `current`: the caller as of now, since a key may be revoked or get other limits while its session lasts; raises
    `InputError` where he may not go on.
    """

    def __init__(
        self, clock_s: Callable[[], float] = time.monotonic, current: Callable[[Caller], Caller] = lambda caller: caller
    ) -> None:
        self._clock_s, self._current = clock_s, current
        self._accounts: dict[str, _Account] = {}
        self._sweep_at = FEWEST_TO_SWEEP

    def take_context(self, caller: Caller) -> Place:
        """One context more. Raises `Limited`."""
        caller = self._current(caller)
        account, most = self._account(caller), caller.limits.contexts
        if most is not None and account.contexts >= most:
            told = f"{account.contexts} contexts are open and this key may have {most}; end one first"
            raise Limited("rate_limited", told, CONTEXT_RETRY_MS)
        account.contexts += 1

        def give_back() -> None:
            account.contexts -= 1

        return Place(give_back)

    def take_chars(self, caller: Caller, count: int) -> None:
        """So many characters of text. Raises `Limited`."""
        caller = self._current(caller)
        most = caller.limits.chars_per_minute
        if most is None:
            return
        if count > most:
            told = f"this text has {count} characters, and this key may send {most} a minute; send it in pieces"
            raise Limited("text_limit", told, None)
        wait_s = self._account(caller).chars.take(count, most, self._clock_s())
        if wait_s:
            told = f"this key may send {most} characters a minute; send this again in {math.ceil(wait_s)} s"
            raise Limited("rate_limited", told, wait_s * 1000)

    def check_voice(self, caller: Caller, name: str) -> None:
        """Raises `VoiceNotAllowed`."""
        limits = self._current(caller).limits
        if not limits.allows_voice(name):
            told = f"this key may not speak with the voice {name[:100]!r}; it may with {', '.join(limits.voices or ())}"
            raise VoiceNotAllowed(told)

    def check_own_voice(self, caller: Caller) -> None:
        """Whether he may bring a recording along. Raises `VoiceNotAllowed`."""
        if (voices := self._current(caller).limits.voices) is not None:
            raise VoiceNotAllowed(f"this key may speak with {', '.join(voices)} only, not with a voice of its own")

    def contexts(self, caller: Caller) -> int:
        """That are open now."""
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
        """Forget those who owe nothing: addresses without a key are as many as the network has."""
        now_s = self._clock_s()
        self._accounts = {
            name: account
            for name, account in self._accounts.items()
            if account.contexts or not account.chars.is_empty(now_s)
        }
        self._sweep_at = max(FEWEST_TO_SWEEP, 2 * len(self._accounts))
