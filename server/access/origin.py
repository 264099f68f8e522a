"""Web origins: which sites' pages may use the server, and the headers that tell their browsers (CORS). Does no I/O."""

from collections.abc import Sequence
from urllib.parse import urlsplit

ANY = "*"
DEFAULT_PORTS = {"http": 80, "https": 443}
PREFLIGHT_AGE_S = 600
METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"


def normalise(origin: str) -> str:
    """As browsers write it: lower case, without a port that goes without saying. Raises `ValueError`."""
    url = urlsplit(origin)
    name, port = url.hostname, url.port
    if url.scheme not in DEFAULT_PORTS or not name or url.username is not None or url.path or url.query or url.fragment:
        raise ValueError(f"{origin[:100]} is no origin: give https:// or http://, a name, perhaps a port, and no path")
    name = f"[{name}]" if ":" in name else name
    return f"{url.scheme}://{name}" + ("" if port in (None, DEFAULT_PORTS[url.scheme]) else f":{port}")


class Origins:
    """The allow-list. `listed`: normalised, or `ANY`."""

    def __init__(self, listed: Sequence[str]) -> None:
        self._listed = frozenset(listed)

    @property
    def is_empty(self) -> bool:
        return not self._listed

    def lists(self, origin: str) -> bool:
        return ANY in self._listed or _normal(origin) in self._listed

    def is_own(self, origin: str, scheme: str, host: str) -> bool:
        """A page that this server gave: `scheme` and `host` are what it was asked for by."""
        own = _normal(f"{scheme}://{host}")
        return own is not None and _normal(origin) == own

    def headers(self, origin: str | None) -> dict[str, str]:
        """For every response, since what is the same for all may be kept and shown to others."""
        if self.is_empty:
            return {}
        if origin is None or not self.lists(origin):
            return {"Vary": "Origin"}
        return {"Vary": "Origin", "Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": "*"}

    def preflight_headers(self, wanted: str) -> dict[str, str]:
        """Beside `headers`, for an origin that is listed. `wanted`: the headers that the page wants to send."""
        allowed = {"Access-Control-Allow-Headers": wanted} if wanted else {}
        age = {"Access-Control-Max-Age": str(PREFLIGHT_AGE_S)}
        return {"Access-Control-Allow-Methods": METHODS} | allowed | age


def _normal(origin: str) -> str | None:
    try:
        return normalise(origin)
    except ValueError:
        return None
