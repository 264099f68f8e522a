"""Serves the page's files and a scripted voice from one address, as the server does."""

import asyncio
import json
import mimetypes
import os
import shutil
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Literal

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from tests.clients.scripted import VOICES, ScriptedServer

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "web", ROOT / "clients/js")
CHROMIUM = (
    os.environ.get("SAYLINE_TEST_CHROMIUM")
    or shutil.which("chromium-headless-shell")  # the same engine without a user interface: half of the processor time
    or shutil.which("chromium")
)
AUTOPLAY = "--autoplay-policy=no-user-gesture-required"
FAKE_DEVICE = "--use-fake-device-for-media-stream"
FAKE_PERMISSION = "--use-fake-ui-for-media-stream"
INSECURE_HOST = "sayline.example"  # neither https nor localhost: browsers do not trust pages from there
BROWSER_ARGUMENTS = [
    "--no-sandbox",
    f"--host-resolver-rules=MAP {INSECURE_HOST} 127.0.0.1",
    AUTOPLAY,
    FAKE_DEVICE,
    FAKE_PERMISSION,
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

Responder = Callable[[Request], Response]


class Site(ScriptedServer):
    """`responders` answer GET requests by path; other methods need the real server."""

    def __init__(self) -> None:
        super().__init__()
        self.answer_http = self._respond
        self.responders: dict[str, Responder] = {
            "/healthz": lambda _: http_response(b"{}", "application/json"),
            "/v1/voices": self._list_voices,
        }
        self.voices = [{"id": name, "name": name, "kind": "built_in"} for name in VOICES]

    @property
    def address(self) -> str:
        return self.url.replace("ws:", "http:") + "/"

    def _list_voices(self, request: Request) -> Response:
        if self.api_key is not None and request.headers.get("Authorization") != f"Bearer {self.api_key}":
            return http_response(b"no key", "text/plain", HTTPStatus.UNAUTHORIZED)
        return http_response(json.dumps({"voices": self.voices}).encode(), "application/json")

    def _respond(self, request: Request) -> Response | None:
        path = request.path.split("?")[0]
        if path in self.responders:
            return self.responders[path](request)
        file = ROOT / ("web/index.html" if path == "/" else path.lstrip("/"))
        if file.is_file() and any(file.is_relative_to(folder) for folder in FOLDERS):
            return http_response(file.read_bytes(), mimetypes.guess_type(file)[0] or "application/octet-stream")
        return None


class HoldAfter(asyncio.Event):
    """Blocks the scripted voice after this many words, until it is set."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self._left = words

    async def wait(self) -> Literal[True]:
        if self._left:
            self._left -= 1
            return True
        return await super().wait()


def http_response(body: bytes, content_type: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
    headers = Headers(
        {
            "Content-Type": content_type,
            "Content-Length": str(len(body)),
            "Content-Security-Policy": "default-src 'self'",
            "Connection": "close",
        }
    )
    return Response(status, status.phrase, headers, body)
