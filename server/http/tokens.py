"""`POST /v1/tokens`: mint a token for a browser, whose page must not know the API key."""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from sayline_tts.engine.errors import InputError
from sayline_tts.server.access import middleware
from sayline_tts.server.access.limits import ANONYMOUS, Limits
from sayline_tts.server.access.origin import normalize_origin
from sayline_tts.server.http.errors import RequestError
from sayline_tts.server.http.requests import read_json

MAX_VOICES = 32
MAX_LIFETIME_S = 3600


class TokenNotNeeded(InputError):
    code = "token_not_needed"


class TokenRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the token is for. An unknown field is an error: a misspelled limit would not be enforced."""

    origin: Annotated[
        str, Meta(max_length=300, description="Site of the page that uses it.", examples=["https://app.example"])
    ]
    ttl_s: Annotated[
        float, Meta(ge=1, le=MAX_LIFETIME_S, description="Seconds in which a connection can be opened with it.")
    ] = 300
    voices: Annotated[
        Annotated[tuple[Annotated[str, Meta(max_length=100)], ...], Meta(min_length=1, max_length=MAX_VOICES)] | None,
        Meta(description="Allowed voices. Default: those of the key."),
    ] = None
    contexts: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="Open contexts. The key's limit applies too.")
    ] = None
    chars_per_minute: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="Average rate. The key's limit applies too.")
    ] = None
    user: Annotated[
        Annotated[str, Meta(min_length=1, max_length=64)] | None,
        Meta(description="Tokens of the same user share their limits. Default: a user of its own."),
    ] = None


async def create(request: web.Request) -> web.Response:
    params, caller = await read_json(request, TokenRequest), request[middleware.CALLER]
    if caller.name == ANONYMOUS:
        raise TokenNotNeeded("tokens are made with an API key, and this server requires none; connect without")
    try:
        origin = normalize_origin(params.origin)
    except ValueError as error:
        raise RequestError(str(error), "origin") from None
    limits = Limits(contexts=params.contexts, chars_per_minute=params.chars_per_minute, voices=params.voices)
    token = request.app[middleware.TOKENS].mint(caller, origin, params.ttl_s, limits, params.user)
    expires = datetime.now(UTC) + timedelta(seconds=params.ttl_s)
    return web.json_response(
        {"token": token, "expires": expires.isoformat(timespec="seconds"), "expires_in_s": params.ttl_s},
        status=HTTPStatus.CREATED,
        headers={"Cache-Control": "no-store"},
    )
