"""Authenticate requests by API key, or by address where no key is required.

A key is required if any key is configured, and for every server reachable from other machines unless `--insecure` was
given twice.
"""

import base64
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from aiohttp import web

from sayline_tts.server.access.client_address import ClientAddress
from sayline_tts.server.access.key_ring import KeyRing
from sayline_tts.server.access.keys import SINGLE_KEY, KeyFile, KeyRevoked, digest
from sayline_tts.server.access.limits import ANONYMOUS, Caller, Limits
from sayline_tts.server.access.origin import normalize_origin
from sayline_tts.server.access.tokens import Tokens
from sayline_tts.server.settings import Settings

KEY_SUBPROTOCOL = "sayline.key."  # browsers cannot set headers, but they can name subprotocols
KEY_HEADER = "X-API-Key"
# Where clients of other vendors put their key.
OTHER_KEY_HEADERS = ("xi-api-key", "kyutai-api-key", "x-vapi-secret")
SCHEMES = ("bearer", "token")  # of the header Authorization; as a subprotocol, the next one is the key (Deepgram)
OTHER_KEY_SUBPROTOCOL = "openai-insecure-api-key."
MAX_JWT_CHARS = 4_096

AnyCallable = TypeVar("AnyCallable", bound=Callable[..., Any])


@dataclass(frozen=True)
class KeyPlaces:
    """Where else clients of one handler, a WebSocket, may put their key, because browsers cannot set its headers.

    `query`: names of parameters. `first_message`: the handler reads it from the first message, with
    `AccessMiddleware.admit`, if the handshake has none.
    """

    query: tuple[str, ...] = ()
    first_message: bool = False


def accepts_keys(places: KeyPlaces) -> Callable[[AnyCallable], AnyCallable]:
    """Decorator for handlers whose clients have such places."""

    def mark(handler: AnyCallable) -> AnyCallable:
        handler.key_places = places  # type: ignore[attr-defined]
        return handler

    return mark


def key_places(request: web.Request) -> KeyPlaces:
    places: KeyPlaces = getattr(request.match_info.handler, "key_places", KeyPlaces())
    return places


def offered_subprotocols(request: web.Request) -> list[str]:
    return [name.strip() for name in ",".join(request.headers.getall("Sec-WebSocket-Protocol", [])).split(",")]


def presented_keys(request: web.Request) -> list[str]:
    """Keys found in the request: at most one per way of sending it."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() in SCHEMES else ""
    query = request.query if (names := key_places(request).query) else {}
    offered = offered_subprotocols(request)
    keys = (
        bearer,
        _issuer_of_jwt(bearer),
        *(request.headers.get(name, "").strip() for name in (KEY_HEADER, *OTHER_KEY_HEADERS)),
        *(_named_key(offered, prefix) for prefix in (KEY_SUBPROTOCOL, OTHER_KEY_SUBPROTOCOL)),
        offered[1] if offered[0].lower() in SCHEMES and len(offered) > 1 else "",
        *(bare_key(query.get(name, "")) for name in names),
    )
    return [key for key in keys if key]


def bare_key(value: str) -> str:
    """A key that may follow the name of a scheme, as in the header Authorization."""
    scheme, _, key = value.strip().partition(" ")
    return key.strip() if key and scheme.lower() in SCHEMES else value.strip()


def _named_key(offered: Sequence[str], prefix: str) -> str:
    return next((name.removeprefix(prefix) for name in offered if name.startswith(prefix)), "")


def _issuer_of_jwt(token: str) -> str:
    """The issuer of a JSON Web Token; empty if it is none.

    LiveKit's clients sign tokens with their secret and name their API key as the issuer, which is the key here.
    """
    parts = token.split(".")
    if len(parts) != 3 or len(token) > MAX_JWT_CHARS:
        return ""
    try:
        issuer = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))["iss"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    return issuer if isinstance(issuer, str) else ""


class Authenticator:
    def __init__(self, settings: Settings) -> None:
        """Raises `KeyFileError`."""
        self._ring, self.tokens = KeyRing(KeyFile(settings.keys_path)), Tokens()
        single = None if settings.api_key is None else settings.api_key.get_secret_value()
        self._single = None if single is None else digest(single)
        self._always_requires_key = single is not None or (settings.exposed and settings.insecure < 2)
        self._anonymous = anonymous_limits(settings)

    @property
    def requires_key(self) -> bool:
        """Whether a key is required at this moment; keys can be added while the server runs."""
        return self._always_requires_key or self._ring.has_key_file

    def authenticate(
        self, request: web.Request, client_address: ClientAddress, keys: Sequence[str] | None = None
    ) -> Caller | None:
        """The request's caller; None if a key is required and no valid one was sent.

        `keys`: other than the request's.
        """
        if not self.requires_key:
            return Caller(ANONYMOUS, self._anonymous, account=f"{ANONYMOUS} {client_address.network}")
        keys = presented_keys(request) if keys is None else keys
        found = [caller for key in keys if (caller := self._key_holder(key))]
        if found:
            return found[0]
        verified = (self.tokens.verify(key, self._issuer) for key in keys)
        return next(
            (caller for caller in verified if caller and comes_from(caller.origin, request, client_address)), None
        )

    def current(self, caller: Caller) -> Caller:
        """Look the caller up again, with its present limits. Raises `KeyRevoked`."""
        if caller.issuer is not None:
            return replace(caller, issuer=self.current(caller.issuer))
        if caller.keyless or caller.name == SINGLE_KEY or (caller.name == ANONYMOUS and not self.requires_key):
            return caller
        key = self._ring.named(caller.name)
        if key is None or key.sha256 != caller.sha256:
            raise KeyRevoked("this key was revoked; reconnect with another one")
        return key.caller

    def _key_holder(self, presented: str) -> Caller | None:
        key = self._ring.find(presented)
        if key is not None:
            return key.caller
        if self._single is not None and hmac.compare_digest(self._single, digest(presented)):
            return self._single_key_holder
        return None

    @property
    def _single_key_holder(self) -> Caller:
        return Caller(SINGLE_KEY, self._anonymous, account=SINGLE_KEY, operator=True)

    def _issuer(self, name: str) -> Caller | None:
        """The holder of the key with this name, as `_key_holder` finds it."""
        if name == SINGLE_KEY and self._single is not None:
            return self._single_key_holder
        key = self._ring.named(name)
        return None if key is None else key.caller


def anonymous_limits(settings: Settings) -> Limits:
    """Limits of callers without a key."""
    return Limits(
        contexts=settings.anonymous_contexts or None,
        chars_per_minute=settings.anonymous_chars_per_minute or None,
    )


def comes_from(origin: str, request: web.Request, client_address: ClientAddress) -> bool:
    """Whether a page of `origin` has sent the request. Browsers send no Origin when a page loads from its own site."""
    sent = request.headers.get("Origin")
    if sent is None and request.headers.get("Sec-Fetch-Site") == "same-origin":
        sent = f"{client_address.scheme}://{client_address.host}"
    try:
        return sent is not None and normalize_origin(sent) == origin
    except ValueError:
        return False
