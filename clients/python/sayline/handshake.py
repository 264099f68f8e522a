"""Open the WebSocket of a session; failures say what to do."""

import ipaddress
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_socket
from websockets.exceptions import InvalidStatus, InvalidURI, WebSocketException
from websockets.http11 import Response
from websockets.typing import Subprotocol

from sayline.errors import Refused
from sayline.wire import Encoding

STREAM_PATH = "/v1/stream"
HEARTBEAT_S = 10.0  # a dead connection is detected within twice this, while its session can still be resumed
CLOSE_S = 2.0  # how long to wait for the server's close frame
SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}


async def open_socket(
    url: str, api_key: str | None, encoding: Encoding, timeout_s: float, session_id: str | None = None
) -> ClientConnection:
    """Open a socket with this encoding. Raises `Refused`."""
    address = stream_url(url)
    if session_id is not None:
        address += f"{'&' if urlsplit(address).query else '?'}session={session_id}"
    try:
        socket = await connect_socket(
            address,
            subprotocols=[Subprotocol(encoding)],
            additional_headers={"Authorization": f"Bearer {api_key}"} if api_key else None,
            compression=None,  # audio is already compressed
            open_timeout=timeout_s,
            ping_interval=HEARTBEAT_S,
            ping_timeout=HEARTBEAT_S,
            close_timeout=CLOSE_S,
            proxy=None if is_loopback(address) else True,
        )
    except TimeoutError as error:
        raise Refused(f"no answer from {url} within {timeout_s:g} s: check the address") from error
    except OSError as error:
        raise Refused(f"no server at {url}: start one with `sayline serve` ({error})") from error
    except InvalidStatus as error:
        raise refusal(url, error.response) from error
    except InvalidURI as error:
        raise Refused(invalid_address(url)) from error
    except WebSocketException as error:
        raise Refused(f"{url} is not a Sayline server ({error}): check the address") from error
    if socket.subprotocol != Subprotocol(encoding):
        await socket.close()
        raise Refused(
            f"{url} does not support {encoding}: it is another server, or its version differs from this client's"
        )
    return socket


def stream_url(url: str) -> str:
    """Return the stream's URL for an address as users write it: ws, wss, http or https. Raises `Refused`."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in SCHEMES and parts.hostname and (parts.port or True)
    except ValueError:
        known = False
    if not known:
        raise Refused(invalid_address(url))
    path = parts.path if parts.path.strip("/") else STREAM_PATH
    return urlunsplit((SCHEMES[parts.scheme], parts.netloc, path, parts.query, ""))


def invalid_address(url: str) -> str:
    return f"{url!r} is not a server address: use the form ws://127.0.0.1:8000"


def is_loopback(address: str) -> bool:
    """Return whether the server is on this machine, so that proxy settings must be ignored."""
    host = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def refusal(url: str, response: Response) -> Refused:
    """Translate an HTTP response received instead of a WebSocket handshake."""
    status, body = response.status_code, (response.body or b"").decode(errors="replace").strip()[:200]
    match status:
        case 401:
            return Refused(f"{url} requires an API key: pass api_key= or set SAYLINE_API_KEY")
        case 404:
            return Refused(f"the web server at {url} is not Sayline: check the address")
        case 429 | 503:
            wait_s = response.headers.get("Retry-After", "")
            when = f"in {wait_s} s" if wait_s.isdecimal() else "in a moment"
            return Refused(
                f"the server at {url} accepts no sessions right now (HTTP {status}): try again {when}",
                int(wait_s) * 1000.0 if wait_s.isdecimal() else None,
            )
        case _:
            return Refused(f"{url} refused the session (HTTP {status}{': ' * bool(body)}{body})")
