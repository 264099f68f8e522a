"""The browser program in the JavaScript client's README works as printed."""

from http import HTTPStatus
from typing import Any

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from tests.clients.test_readme import JAVASCRIPT, programs
from tests.web.site import HoldAfter, Site


async def test_browser_program_plays_speech(site: Site, page: Any) -> None:
    [html] = programs(JAVASCRIPT, "html")

    def answer(_: Request) -> Response:
        body = f"<!doctype html><link rel=icon href=data:,>{html}".encode()
        headers = Headers({"Content-Type": "text/html", "Content-Length": str(len(body)), "Connection": "close"})
        return Response(HTTPStatus.OK, "OK", headers, body)

    site.responders["/readme"] = answer
    site.hold = HoldAfter(3)
    await page.goto(site.address + "readme")
    await page.click("#speak")
    await site.until(lambda received: any(message.get("played_ms", 0) > 100 for message in received))
