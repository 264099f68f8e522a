"""Web origins: the allow-list of sites whose pages may use the server, and CORS response headers."""

from collections.abc import Sequence
from urllib.parse import urlsplit

ANY = "*"
DEFAULT_PORTS = {"http": 80, "https": 443}
PREFLIGHT_AGE_S = 600
METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"


def normalize_origin(origin: str) -> str:
    """Write an origin as browsers do: lower case, without the default port. Raises `ValueError`."""
    url = urlsplit(origin)
    name, port = url.hostname, url.port
    if url.scheme not in DEFAULT_PORTS or not name or url.username is not None or url.path or url.query or url.fragment:
        raise ValueError(f"{origin[:100]} is not an origin; write http(s)://host[:port], without a path")
    name = f"[{name}]" if ":" in name else name
    return f"{url.scheme}://{name}" + ("" if port in (None, DEFAULT_PORTS[url.scheme]) else f":{port}")


class Origins:
    """The allow-list. `listed`: normalized origins, or `ANY`."""

    def __init__(self, listed: Sequence[str]) -> None:
        self._listed = frozenset(listed)

    @property
    def is_empty(self) -> bool:
        return not self._listed

    def allows(self, origin: str) -> bool:
        return ANY in self._listed or _try_normalize(origin) in self._listed

    def is_same_origin(self, origin: str, scheme: str, host: str) -> bool:
        """Whether a page of this server sent the request; `scheme` and `host` are the request's."""
        own = _try_normalize(f"{scheme}://{host}")
        return own is not None and _try_normalize(origin) == own

    def headers(self, origin: str | None) -> dict[str, str]:
        """CORS headers of every response; without `Vary`, a cache could serve one site's response to another."""
        if self.is_empty:
            return {}
        if origin is None or not self.allows(origin):
            return {"Vary": "Origin"}
        return {"Vary": "Origin", "Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": "*"}

    def preflight_headers(self, requested: str) -> dict[str, str]:
        """Preflight headers besides `headers`, for an allowed origin. `requested`: header names the page will send."""
        allowed = {"Access-Control-Allow-Headers": requested} if requested else {}
        max_age = {"Access-Control-Max-Age": str(PREFLIGHT_AGE_S)}
        return {"Access-Control-Allow-Methods": METHODS} | allowed | max_age


def _try_normalize(origin: str) -> str | None:
    try:
        return normalize_origin(origin)
    except ValueError:
        return None
