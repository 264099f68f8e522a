"""`GET /v1/usage`: totals by key and month."""

import msgspec
from aiohttp import web

from sayline_tts.server.access import middleware
from sayline_tts.server.accounting.ledger import Ledger


def routes(ledger: Ledger) -> list[web.RouteDef]:
    async def usage(request: web.Request) -> web.Response:
        """A key sees its own usage, an operator that of all."""
        caller = request[middleware.CALLER]
        rows = ledger.rows(None if caller.operator else caller.name)
        return web.Response(
            body=msgspec.json.encode({"usage": rows}),
            headers={"Content-Type": "application/json", "Cache-Control": "no-store"},
        )

    return [web.get("/v1/usage", usage)]
