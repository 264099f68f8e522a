"""A small server behind the real access middleware, on a real socket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

from sayline_tts.server.access import middleware
from sayline_tts.server.http.errors import error_middleware
from sayline_tts.server.settings import Settings
from tests.server.stream_client import serving

Response = tuple[int, str, dict[str, str]]


class AccessServer:
    def __init__(self, address: str, rejected: list[tuple[str, str]]) -> None:
        self.address, self.rejected = address, rejected

    async def request(self, path: str = "/who", method: str = "GET", **headers: str) -> Response:
        """Status, text and headers of the response. `X_API_Key` is sent as X-API-Key."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"http://{self.address}{path}"
        async with aiohttp.ClientSession() as client, client.request(method, url, headers=named) as response:
            return response.status, await response.text(), dict(response.headers)

    async def caller_name(self, **headers: str) -> str:
        status, text, _ = await self.request(**headers)
        return text if status == 200 else str(status)


@asynccontextmanager
async def access_server(**settings: Any) -> AsyncIterator[AccessServer]:
    rejected: list[tuple[str, str]] = []
    app = web.Application(middlewares=[error_middleware])
    middleware.install(app, Settings.load(**settings), lambda code, key: rejected.append((code, key)))
    app.add_routes([web.get("/who", _who), web.get("/open", _open), web.post("/text", _text), web.get("/at", _at)])
    app.add_routes([web.get("/voice/{name}", _voice), web.get("/context", _context), web.get("/bug", _bug)])
    async with serving(app) as address:
        yield AccessServer(address, rejected)


async def _who(request: web.Request) -> web.Response:
    return web.Response(text=request[middleware.CALLER].name)


async def _at(request: web.Request) -> web.Response:
    client_address = request[middleware.CLIENT_ADDRESS]
    return web.Response(text=f"{client_address.ip} {client_address.scheme} {client_address.host}")


@middleware.public
async def _open(request: web.Request) -> web.Response:
    return web.Response(text="open", headers={"Vary": "Accept-Encoding"})


async def _text(request: web.Request) -> web.Response:
    request.app[middleware.QUOTAS].charge_chars(request[middleware.CALLER], len(await request.text()))
    return web.Response(text="spoken")


async def _voice(request: web.Request) -> web.Response:
    request.app[middleware.QUOTAS].check_voice(request[middleware.CALLER], request.match_info["name"])
    return web.Response(text="spoken")


async def _context(request: web.Request) -> web.StreamResponse:
    """Streams until the reader disconnects."""
    with request.app[middleware.QUOTAS].open_context(request[middleware.CALLER]):
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65536)


async def _bug(request: web.Request) -> web.Response:
    raise AssertionError("an internal error")
