"""Tokens for browsers: minted with an API key, valid for minutes, from one origin, for speech only.

A token is its claims, signed with a secret that exists in this process only: nothing is stored, and a restart ends all
tokens. The signature covers the hash of the key that minted it, so a token ends with its key.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import replace

import msgspec

from sayline_tts.server.access.limits import Caller, Limits, VoiceNotAllowed

PREFIX = "sayt_"
SECRET_BYTES = 32
MAX_CHARS = 4096
# What a token may be used for: speech and the choice of a voice. Keys, usage and stored voices need the key itself.
OPERATIONS = frozenset(
    {
        ("GET", "/v1/stream"),
        ("POST", "/generate"),
        ("POST", "/stream"),
        ("POST", "/v1/audio/speech"),
        ("GET", "/v1/voices"),
        ("GET", "/v1/audio/voices"),
        ("GET", "/voices"),
        ("GET", "/v1/models"),
    }
)


class Claims(msgspec.Struct, frozen=True):
    """`key`: name of the key that minted the token. Tokens of the same `user` share their limits."""

    key: str
    user: str
    origin: str
    expires_s: float  # of this process's monotonic clock
    limits: Limits


class Tokens:
    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s, self._secret = clock_s, secrets.token_bytes(SECRET_BYTES)

    def mint(self, caller: Caller, origin: str, lifetime_s: float, limits: Limits, user: str | None = None) -> str:
        """A token for pages of `origin`. Raises `VoiceNotAllowed` for a voice that the caller may not use itself."""
        allowed = caller.limits.voices
        voices = limits.voices or allowed
        if forbidden := [name for name in voices or () if not caller.limits.allows_voice(name)]:
            raise VoiceNotAllowed(f"this key may not use voice {forbidden[0][:100]!r}, so its tokens may not either")
        # No stored voices: they belong to the key, and a token is in the hands of whoever opens the page.
        limits = msgspec.structs.replace(limits, voices=voices, stored_voices=0, cache=caller.limits.cache)
        expires_s = self._clock_s() + lifetime_s
        claims = msgspec.json.encode(Claims(caller.name, user or secrets.token_urlsafe(9), origin, expires_s, limits))
        return f"{PREFIX}{_encode(claims)}.{_encode(self._sign(claims, caller))}"

    def verify(self, token: str, find_issuer: Callable[[str], Caller | None]) -> Caller | None:
        """The token's caller; None if the token is not genuine or has expired, or its key is gone."""
        if len(token) > MAX_CHARS or not token.startswith(PREFIX):
            return None
        body, _, signature = token.removeprefix(PREFIX).partition(".")
        try:
            data, signed = _decode(body), _decode(signature)
            claims = msgspec.json.decode(data, type=Claims)
        except (ValueError, msgspec.MsgspecError, RecursionError):
            return None
        issuer = find_issuer(claims.key)
        if issuer is None or not hmac.compare_digest(signed, self._sign(data, issuer)):
            return None
        if self._clock_s() >= claims.expires_s:
            return None
        account = f"{issuer.account} token {claims.user}"
        return replace(
            issuer, limits=claims.limits, account=account, operator=False, issuer=issuer, origin=claims.origin
        )

    def _sign(self, claims: bytes, issuer: Caller) -> bytes:
        return hmac.digest(self._secret, claims + b"\0" + issuer.sha256.encode(), hashlib.sha256)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    """Raises `ValueError`."""
    try:
        return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
