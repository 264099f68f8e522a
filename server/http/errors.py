"""Error responses in OpenAI's format, which its clients understand, for all endpoints.

`{"error": {"message", "type", "param", "code"}}`: `code` is for programs, `message` for people.
"""

import logging
import math
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import web

from sayline_tts.engine.errors import InputError

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# Status by error code; all others are 400. The hub being unreachable is not the client's error, hence 503.
STATUS = {
    "full": HTTPStatus.SERVICE_UNAVAILABLE,
    "token_not_needed": HTTPStatus.FORBIDDEN,
    "shutting_down": HTTPStatus.SERVICE_UNAVAILABLE,
    "hub_unreachable": HTTPStatus.SERVICE_UNAVAILABLE,
    "hub_gated": HTTPStatus.SERVICE_UNAVAILABLE,
    "too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "too_slow": HTTPStatus.REQUEST_TIMEOUT,
    "voice_urls_off": HTTPStatus.FORBIDDEN,
    "not_yours": HTTPStatus.FORBIDDEN,
    "no_such_voice": HTTPStatus.NOT_FOUND,
    "no_such_lexicon": HTTPStatus.NOT_FOUND,
    "voice_name_taken": HTTPStatus.CONFLICT,
    "voice_quota": HTTPStatus.CONFLICT,
    "lexicon_quota": HTTPStatus.CONFLICT,
    "lexicons_not_kept": HTTPStatus.INSUFFICIENT_STORAGE,
    "voices_not_kept": HTTPStatus.INSUFFICIENT_STORAGE,
    "rate_limited": HTTPStatus.TOO_MANY_REQUESTS,
    "text_limit": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "voice_not_allowed": HTTPStatus.FORBIDDEN,
    "key_revoked": HTTPStatus.UNAUTHORIZED,
    "unsupported_media_type": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
}
TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
CODES = {401: "invalid_api_key", 429: "rate_limited"}
ErrorBody = Callable[[int, str, str, str | None], object]  # of status, message, code and the field at fault
ERROR_BODIES = web.AppKey(
    "error_bodies", dict[str, ErrorBody]
)  # by the path of their resource; of all others: `error_body`
PARAMS = {"unknown_voice": "voice", "bad_format": "format", "unknown_lexicon": "lexicons"}


class RequestError(InputError):
    """A request is invalid. `param`: the field at fault."""

    code = "bad_request"

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code or self.code


@web.middleware
async def error_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn exceptions into error responses. Must come before all other middlewares, because they raise errors too."""
    resource = request.match_info.route.resource
    body = request.app.get(ERROR_BODIES, {}).get(resource.canonical if resource else "", error_body)
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400 or _wants_text(request):
            raise
        return _from_http_exception(error, body)
    except InputError as error:
        return error_response(error, body)
    except web.RequestPayloadError as error:
        message = f"cannot read the body ({str(error.__cause__ or error)[:100]}); send it again"
        return error_response(RequestError(message), body)
    except Exception as error:
        if isinstance(error, ConnectionError) and (request.transport is None or request.transport.is_closing()):
            raise  # the client is gone: there is nothing to send, and nothing wrong with the server
        log.exception("request failed: %s %s", request.method, request.match_info.route.resource)
        return internal_error(body)


def error_response(error: InputError, body: ErrorBody | None = None) -> web.Response:
    status = STATUS.get(error.code, HTTPStatus.BAD_REQUEST)
    param = error.param if isinstance(error, RequestError) else PARAMS.get(error.code)
    content = (body or error_body)(status, str(error), error.code, param)
    return web.json_response(content, status=status, headers=retry_after_header(error))


def internal_error(body: ErrorBody | None = None) -> web.Response:
    return web.json_response((body or error_body)(500, "internal error", "internal", None), status=500)


def error_body(status: int, message: str, code: str, param: str | None = None) -> dict[str, object]:
    kind = TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def retry_after_header(error: InputError) -> dict[str, str]:
    after_ms = error.retry_after_ms
    return {} if after_ms is None else {"Retry-After": str(max(1, math.ceil(after_ms / 1000)))}


def _from_http_exception(error: web.HTTPException, body: ErrorBody) -> web.Response:
    headers = {name: value for name, value in error.headers.items() if not name.lower().startswith("content-")}
    code = CODES.get(error.status, HTTPStatus(error.status).phrase.lower().replace(" ", "_"))
    content = body(error.status, (error.text or error.reason).strip(), code, None)
    return web.json_response(content, status=error.status, headers=headers)


def _wants_text(request: web.Request) -> bool:
    """Whether the client shows the body to people as it is: browsers, and WebSocket libraries."""
    return "Upgrade" in request.headers or "text/html" in request.headers.get("Accept", "")
