import logging

import pytest
from aiohttp import ClientSession, web

from sayline_tts.engine.errors import Full, TextError
from sayline_tts.server.access.limits import RateLimited
from sayline_tts.server.http.errors import RequestError, error_middleware
from tests.server.stream_client import serving

ERRORS = {
    "text": (TextError("no words"), 400, "invalid_request_error", None, "bad_text"),
    "param": (RequestError("too fast", "speed"), 400, "invalid_request_error", "speed", "bad_request"),
    "full": (Full("full", 2_300), 503, "server_error", None, "full"),
    "limited": (RateLimited("rate_limited", "slowly", 100), 429, "rate_limit_error", None, "rate_limited"),
    "http": (web.HTTPForbidden(text="not you\n"), 403, "permission_error", None, "forbidden"),
    "ours": (ZeroDivisionError("secret"), 500, "server_error", None, "internal"),
}


async def fail(request: web.Request) -> web.Response:
    raise ERRORS[request.match_info["name"]][0]


@pytest.mark.parametrize("name", ERRORS)
async def test_all_errors_have_the_same_format(name: str, caplog: pytest.LogCaptureFixture) -> None:
    error, status, kind, param, code = ERRORS[name]
    app = web.Application(middlewares=[error_middleware])
    app.add_routes([web.get("/{name}", fail)])
    async with serving(app) as address, ClientSession() as client, client.get(f"http://{address}/{name}") as response:
        content = await response.json()
        retry_after = response.headers.get("Retry-After")
    assert response.status == status
    message = content["error"].pop("message")
    assert content == {"error": {"type": kind, "param": param, "code": code}}
    assert retry_after == {"full": "3", "limited": "1"}.get(name)
    assert message == {"ours": "internal error", "http": "not you"}.get(name, str(error))
    assert ("secret" in caplog.text) == (name == "ours")


async def test_redirects_pass_through(caplog: pytest.LogCaptureFixture) -> None:
    async def elsewhere(request: web.Request) -> web.Response:
        raise web.HTTPFound("/nowhere")

    app = web.Application(middlewares=[error_middleware])
    app.add_routes([web.get("/", elsewhere)])
    async with serving(app) as address, ClientSession() as client:
        response = await client.get(f"http://{address}/", allow_redirects=False)
        assert (response.status, response.headers["Location"]) == (302, "/nowhere")
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
