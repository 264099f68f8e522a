"""Access control for every request: Host, Origin and API key.

A browser lets any page open WebSockets and post forms to 127.0.0.1. So without a key, a page must come from this server
or from a listed site (Origin), and the request must address the server by one of its own names (Host), which stops DNS
rebinding.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from ipaddress import ip_address
from typing import TypeVar

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from sayline_tts.server.access.auth import (
    KEY_HEADER,
    KEY_SUBPROTOCOL,
    Authenticator,
    KeyPlaces,
    key_places,
    presented_keys,
)
from sayline_tts.server.access.client_address import ClientAddress, resolve_client_address
from sayline_tts.server.access.keys import KeyRevoked
from sayline_tts.server.access.limits import ANONYMOUS, Caller, Limits, Quotas, RateLimited, VoiceNotAllowed
from sayline_tts.server.access.origin import Origins
from sayline_tts.server.access.tokens import OPERATIONS, Tokens
from sayline_tts.server.settings import Settings

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
AnyHandler = TypeVar("AnyHandler", bound=Handler)
OnReject = Callable[[str, str], None]  # code, name of the key

QUOTAS = web.AppKey("quotas", Quotas)
TOKENS = web.AppKey("tokens", Tokens)
AUTHENTICATOR = web.AppKey("authenticator", Authenticator)
CLIENT_ADDRESS = web.RequestKey("client_address", ClientAddress)
CALLER = web.RequestKey("caller", Caller)  # none yet where the key is still to come, in the first message
# Chat front ends ask for these without the key that they have, and offer no choice of voices unless they are answered.
LISTS = ("/v1/models", "/v1/audio/models", "/v1/audio/voices")
WITHOUT_KEY = Caller(ANONYMOUS, Limits(), ANONYMOUS, keyless=True)
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_public: set[Handler] = set()


def public(handler: AnyHandler) -> AnyHandler:
    """Decorator for handlers that need no key: health checks, pages and documents."""
    _public.add(handler)
    return handler


def install(app: web.Application, settings: Settings, on_reject: OnReject = lambda code, key: None) -> None:
    """Add access control to `app`. `on_reject` gets each refusal. Raises `SettingsError`, `KeyFileError`."""
    access = AccessMiddleware(settings, on_reject)

    @web.middleware
    async def check_access(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await access.handle(request, handler)

    app[QUOTAS], app[TOKENS], app[AUTHENTICATOR] = access.quotas, access.tokens, access.authenticator
    app[ACCESS] = access
    app.middlewares.append(check_access)
    app.on_response_prepare.append(access.set_headers)
    logging.getLogger("aiohttp.server").addFilter(_redact_bad_headers)


class AccessMiddleware:
    def __init__(self, settings: Settings, on_reject: OnReject) -> None:
        settings.check_exposure()
        self._settings, self._on_reject = settings, on_reject
        self.authenticator = Authenticator(settings)
        self._origins = Origins(settings.origins)
        self.quotas = Quotas(current=self.authenticator.current)
        self.tokens = self.authenticator.tokens

    async def handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        client_address = request[CLIENT_ADDRESS] = resolve_client_address(request, self._settings.trusted_proxies)
        self._check_host(client_address)
        _check_encoding(request)
        if _is_preflight(request):
            return self._answer_preflight(request)
        self._check_origin(request, client_address)
        if _is_public(request):
            return await handler(request)
        if (caller := self._check_key(request, client_address)) is not None:
            request[CALLER] = caller
        try:
            return await handler(request)
        except (RateLimited, KeyRevoked, VoiceNotAllowed) as error:
            self._on_reject(error.code, request[CALLER].name if CALLER in request else ANONYMOUS)
            raise

    def admit(self, request: web.Request, keys: Sequence[str]) -> Caller:
        """The caller of a request whose key came in the first message. Raises `HTTPUnauthorized`, `HTTPForbidden`."""
        caller = self.authenticator.authenticate(request, request[CLIENT_ADDRESS], keys)
        if caller is None:
            raise self._unauthorized()
        self._check_token(request, caller)
        request[CALLER] = caller
        return caller

    async def set_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers.extend(self._origins.headers(request.headers.get("Origin")))

    def _check_key(self, request: web.Request, client_address: ClientAddress) -> Caller | None:
        """The caller; None if its key is to come in the first message."""
        caller = self.authenticator.authenticate(request, client_address)
        if caller is not None:
            self._check_token(request, caller)
            return caller
        resource = request.match_info.route.resource
        if resource is not None and resource.canonical in LISTS and not presented_keys(request):
            return WITHOUT_KEY
        if key_places(request).first_message and not presented_keys(request):
            return None
        raise self._unauthorized()

    def _unauthorized(self) -> web.HTTPUnauthorized:
        self._on_reject("unauthorized", ANONYMOUS)
        return web.HTTPUnauthorized(
            headers={"WWW-Authenticate": "Bearer"},
            text="API key missing or invalid, or token expired; send the header `Authorization: Bearer <key>` or "
            f"`{KEY_HEADER}: <key>`, or from a browser the subprotocol `{KEY_SUBPROTOCOL}<key>` besides sayline.v1.\n",
        )

    def _check_token(self, request: web.Request, caller: Caller) -> None:
        resource = request.match_info.route.resource
        speaks = (request.method, resource and resource.canonical) in OPERATIONS or key_places(request) != KeyPlaces()
        if caller.issuer and not speaks:
            self._on_reject("forbidden_token", caller.name)
            raise web.HTTPForbidden(text="A token may only speak; use the API key itself for this.\n")

    def _check_origin(self, request: web.Request, client_address: ClientAddress) -> None:
        """Any origin passes if a key is required and no origins are listed: a foreign page does not have the key."""
        origin = request.headers.get("Origin")
        if (
            origin is None
            or self._origins.allows(origin)
            or self._origins.is_same_origin(origin, client_address.scheme, client_address.host)
        ):
            return
        if not (self.authenticator.requires_key and self._origins.is_empty):
            raise self._forbid("origin", f"Origin {origin[:100]!r} is not allowed; add it to --origins.")

    def _check_host(self, client_address: ClientAddress) -> None:
        """Allow the server's own names. On exposed servers also any IP address, which DNS rebinding cannot use."""
        settings, name = self._settings, client_address.host_name
        if self.authenticator.requires_key and not settings.host_names:
            return
        if name in (*LOOPBACK_NAMES, settings.host.lower(), *settings.host_names):
            return
        if settings.on_loopback or not _is_address(name):
            names = ", ".join((*LOOPBACK_NAMES[:2], *settings.host_names))
            raise self._forbid("host", f"Host {name[:100]!r} is not allowed; use {names}, or add it to --host-names.")

    def _answer_preflight(self, request: web.Request) -> web.Response:
        origin = request.headers["Origin"]
        if not self._origins.allows(origin):
            raise self._forbid("origin", f"Origin {origin[:100]!r} is not allowed; add it to --origins.")
        requested = request.headers.get("Access-Control-Request-Headers", "")
        return web.Response(status=HTTPStatus.NO_CONTENT, headers=self._origins.preflight_headers(requested))

    def _forbid(self, header: str, message: str) -> web.HTTPForbidden:
        self._on_reject(f"forbidden_{header}", ANONYMOUS)
        return web.HTTPForbidden(text=f"{message}\n")


ACCESS = web.AppKey("access", AccessMiddleware)


def _check_encoding(request: web.Request) -> None:
    """Refuse compressed bodies, before they are read: a small one could expand a thousandfold."""
    encodings = ",".join(request.headers.getall("Content-Encoding", []))
    if any(name.strip().lower() not in ("", "identity") for name in encodings.split(",")):
        raise web.HTTPUnsupportedMediaType(
            headers={"Accept-Encoding": "identity"},
            text=f"Content-Encoding {encodings[:50]!r} is not supported; send the body uncompressed.\n",
        )


def _is_preflight(request: web.Request) -> bool:
    """Whether this is a CORS preflight, which a browser sends without the key."""
    return request.method == "OPTIONS" and {"Origin", "Access-Control-Request-Method"} <= request.headers.keys()


def _is_public(request: web.Request) -> bool:
    match = request.match_info
    if match.http_exception is not None:  # no such route; not a secret
        return True
    return match.handler in _public or isinstance(match.route.resource, web.StaticResource)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _redact_bad_headers(record: logging.LogRecord) -> bool:
    """Log HTTP parse errors at debug, because they are the client's, and without details: aiohttp quotes the malformed
    header, which may hold the key."""
    error = record.exc_info[1] if record.exc_info else None
    if not isinstance(error, HttpProcessingError):
        return True
    address = record.args[0] if isinstance(record.args, tuple) and record.args else None
    log.debug("malformed request from %s (%s)", address, type(error).__name__)
    return False
