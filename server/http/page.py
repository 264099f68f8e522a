"""The web page: its files, and its content security policy."""

import re
from pathlib import Path

from aiohttp import web

from sayline_tts.server.access import middleware

ROOT = web.AppKey("root", Path)
CLIENTS = web.AppKey("clients", dict[str, str])  # by vendor: what its clients' base URL has after the server's own
_HOST = re.compile(r"[\w.:\[\]-]+")


def add_routes(app: web.Application) -> None:
    """Serve the page at `/`, with its scripts and the JavaScript client. Without them, `/` explains that.

    Programs that accept JSON are told which base URL the clients of which vendor need.
    """
    app.router.add_get("/", _page)
    if root := page_root():
        app[ROOT] = root
        for folder in ("web", "clients/js"):
            if (root / folder).is_dir():
                app.router.add_static(f"/{folder}", root / folder)


def base_urls(app: web.Application, url: str) -> dict[str, str]:
    """The base URL that each vendor's clients are given. `url`: of the server."""
    return {vendor: f"{url}{path}" for vendor, path in app.get(CLIENTS, {}).items()}


def page_root() -> Path | None:
    """The folder with `web/` and `clients/js/`: the installed package, or its links in a checkout."""
    root = Path(__file__).parents[2]
    return root if (root / "web" / "index.html").is_file() else None


@middleware.public
async def _page(request: web.Request) -> web.StreamResponse:
    if "application/json" in request.headers.get("Accept", ""):
        return web.json_response({"name": "Sayline", "base_urls": base_urls(request.app, str(request.url.origin()))})
    root = request.app.get(ROOT)
    if root is None:
        raise web.HTTPNotFound(text="The web page is not installed; clients connect to /v1/stream.\n")
    return web.FileResponse(root / "web" / "index.html", headers={"Content-Security-Policy": _policy(request.host)})


def _policy(host: str) -> str:
    """Content security policy of the page: this server only. Some browsers need its WebSocket named explicitly."""
    streams = f" ws://{host} wss://{host}" if _HOST.fullmatch(host) else ""
    return f"default-src 'self'; connect-src 'self'{streams}; object-src 'none'; base-uri 'none'"
