"""Who may use the server: its key, or, where it has none, only this machine's own programs and pages.

A browser lets any page open a WebSocket to 127.0.0.1. So without a key a page must come from this server itself
(Origin), and the server must have been asked for by its own name (Host), lest a foreign name be pointed at it.
"""

import hmac
from collections.abc import Sequence
from urllib.parse import urlsplit

from aiohttp import web

from server.settings import Settings

KEY_SUBPROTOCOL = "sayline.key."  # browsers cannot set headers, but they can name subprotocols
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


def offered_subprotocols(request: web.Request) -> list[str]:
    return [name.strip() for name in ",".join(request.headers.getall("Sec-WebSocket-Protocol", [])).split(",")]


def check_key(request: web.Request, settings: Settings) -> None:
    """Raises 401 where a key is asked for and the right one is not given."""
    if settings.api_key is None:
        return
    key = settings.api_key.get_secret_value().encode()
    if not any(hmac.compare_digest(given, key) for given in _given_keys(request)):
        raise web.HTTPUnauthorized(
            headers={"WWW-Authenticate": "Bearer"},
            text="This server asks for an API key: send the header `Authorization: Bearer <key>`, "
            f"or from a browser the subprotocol `{KEY_SUBPROTOCOL}<key>` beside the protocol's own.\n",
        )


def check_origin(request: web.Request, settings: Settings) -> None:
    """Raises 403 where a page of another site asks, and no key protects the server."""
    origin = request.headers.get("Origin")
    if settings.api_key is not None or origin is None:
        return
    if urlsplit(origin).netloc.lower() != request.host.lower():
        raise web.HTTPForbidden(
            text=f"Pages of {origin[:100]} may not use this server. Open its own page, or give it an API key.\n"
        )


def check_host(request: web.Request, settings: Settings) -> None:
    """Raises 403 where a server for this machine alone is asked for by a foreign name."""
    if settings.api_key is not None or not settings.on_loopback:
        return
    if _host_name(request.host) not in (*LOOPBACK_NAMES, settings.host.lower()):
        raise web.HTTPForbidden(
            text="This server answers to 127.0.0.1 and localhost; give it an API key to change that.\n"
        )


def _given_keys(request: web.Request) -> Sequence[bytes]:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    keys = [token.strip()] if scheme.lower() == "bearer" else []
    keys += [
        name.removeprefix(KEY_SUBPROTOCOL) for name in offered_subprotocols(request) if name.startswith(KEY_SUBPROTOCOL)
    ]
    return [key.encode(errors="surrogateescape") for key in keys]


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
