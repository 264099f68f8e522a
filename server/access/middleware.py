"""What every request passes before anything else is done for it: its Host, its Origin, its key. Knows no route.

A browser lets any page open a WebSocket to 127.0.0.1, and post forms to it. So without a key a page must come from this
server itself, or from a site that is listed (Origin), and the server must have been asked for by its own name (Host),
lest a foreign name be pointed at it.
"""

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from ipaddress import ip_address
from typing import TypeVar

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from sayline_tts.server.access.auth import KEY_HEADER, KEY_SUBPROTOCOL, Callers
from sayline_tts.server.access.client_address import Visitor, find_visitor
from sayline_tts.server.access.keys import KeyRevoked
from sayline_tts.server.access.limits import ANONYMOUS, Caller, Ledger, Limited, VoiceNotAllowed
from sayline_tts.server.access.origin import Origins
from sayline_tts.server.settings import Settings

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
AnyHandler = TypeVar("AnyHandler", bound=Handler)
OnReject = Callable[[str, str], None]  # code, name of the key

LEDGER = web.AppKey("ledger", Ledger)
VISITOR = web.RequestKey("visitor", Visitor)
CALLER = web.RequestKey("caller", Caller)
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_public: set[Handler] = set()


def public(handler: AnyHandler) -> AnyHandler:
    """Marks a handler that asks for no key: health, pages, documents."""
    _public.add(handler)
    return handler


def install(app: web.Application, settings: Settings, on_reject: OnReject = lambda code, key: None) -> None:
    """Every request goes through here from now on. Raises `SettingsError`, `KeyFileError`."""
    door = Door(settings, on_reject)

    @web.middleware
    async def let_in(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await door.let_in(request, handler)

    app[LEDGER] = door.ledger
    app.middlewares.append(let_in)
    app.on_response_prepare.append(door.set_headers)
    logging.getLogger("aiohttp.server").addFilter(_discreet)


class Door:
    def __init__(self, settings: Settings, on_reject: OnReject) -> None:
        settings.check_exposure()
        self._settings, self._on_reject = settings, on_reject
        self._callers = Callers(settings)
        self._origins = Origins(settings.origins)
        self.ledger = Ledger(current=self._callers.current)

    async def let_in(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        visitor = request[VISITOR] = find_visitor(request, self._settings.trusted_proxies)
        self._check_host(visitor)
        if _is_preflight(request):
            return self._answer_preflight(request)
        self._check_origin(request, visitor)
        if _is_public(request):
            return await handler(request)
        caller = request[CALLER] = self._check_key(request, visitor)
        try:
            return await handler(request)
        except (Limited, KeyRevoked, VoiceNotAllowed) as error:
            self._on_reject(error.code, caller.name)
            raise

    async def set_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers.extend(self._origins.headers(request.headers.get("Origin")))

    def _check_key(self, request: web.Request, visitor: Visitor) -> Caller:
        caller = self._callers.find(request, visitor)
        if caller is not None:
            return caller
        self._on_reject("unauthorized", ANONYMOUS)
        raise web.HTTPUnauthorized(
            headers={"WWW-Authenticate": "Bearer"},
            text="This server asks for an API key: send the header `Authorization: Bearer <key>` or "
            f"`{KEY_HEADER}: <key>`, or from a browser the subprotocol `{KEY_SUBPROTOCOL}<key>` beside sayline.v1's.\n",
        )

    def _check_origin(self, request: web.Request, visitor: Visitor) -> None:
        """With a key and no list, pages of all sites may come: none has the key unless it was given to it."""
        origin = request.headers.get("Origin")
        if origin is None or self._origins.lists(origin) or self._origins.is_own(origin, visitor.scheme, visitor.host):
            return
        if not (self._callers.keyed and self._origins.is_empty):
            raise self._forbid("origin", f"Pages of {origin[:100]!r} may not use this server; see --origins.")

    def _check_host(self, visitor: Visitor) -> None:
        """An address is no name that somebody could point at us, so beyond this machine every one will do."""
        settings, name = self._settings, visitor.host_name
        if self._callers.keyed and not settings.host_names:
            return
        if name in (*LOOPBACK_NAMES, settings.host.lower(), *settings.host_names):
            return
        if settings.on_loopback or not _is_address(name):
            called = ", ".join((*LOOPBACK_NAMES[:2], *settings.host_names))
            raise self._forbid("host", f"This server is called {called}, not {name[:100]!r}; see --host-names.")

    def _answer_preflight(self, request: web.Request) -> web.Response:
        origin = request.headers["Origin"]
        if not self._origins.lists(origin):
            raise self._forbid("origin", f"Pages of {origin[:100]!r} may not use this server; see --origins.")
        wanted = request.headers.get("Access-Control-Request-Headers", "")
        return web.Response(status=HTTPStatus.NO_CONTENT, headers=self._origins.preflight_headers(wanted))

    def _forbid(self, what: str, told: str) -> web.HTTPForbidden:
        self._on_reject(f"forbidden_{what}", ANONYMOUS)
        return web.HTTPForbidden(text=f"{told}\n")


def _is_preflight(request: web.Request) -> bool:
    """A browser's question whether a page may ask: it bears no key."""
    return request.method == "OPTIONS" and {"Origin", "Access-Control-Request-Method"} <= request.headers.keys()


def _is_public(request: web.Request) -> bool:
    match = request.match_info
    if match.http_exception is not None:  # there is nothing, which everybody may know
        return True
    return match.handler in _public or isinstance(match.route.resource, web.StaticResource)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _discreet(record: logging.LogRecord) -> bool:
    """aiohttp quotes a header that is no HTTP, and it may be the one with the key."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.exc_info = None
        record.msg = f"{record.msg} ({type(error).__name__})"
    return True
