"""Opens the WebSocket of a session, and says what to do when that fails. Knows no message."""

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
HEARTBEAT_S = 10.0  # after twice this a connection that is dead is known to be, while its session can be resumed
CLOSE_S = 2.0  # a server that does not take part in closing is not waited for
SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}


async def open_socket(url: str, api_key: str | None, encoding: Encoding, timeout_s: float) -> ClientConnection:
    """A socket that speaks this encoding. Raises `Refused`."""
    address = stream_address(url)
    try:
        socket = await connect_socket(
            address,
            subprotocols=[Subprotocol(encoding)],
            additional_headers={"Authorization": f"Bearer {api_key}"} if api_key else None,
            compression=None,  # audio does not shrink
            open_timeout=timeout_s,
            ping_interval=HEARTBEAT_S,
            ping_timeout=HEARTBEAT_S,
            close_timeout=CLOSE_S,
            proxy=None if is_loopback(address) else True,
        )
    except TimeoutError as error:
        raise Refused(f"no answer from {url} within {timeout_s:g} s: is it the right address?") from error
    except OSError as error:
        raise Refused(f"no server at {url}: start one with `sayline serve` ({error})") from error
    except InvalidStatus as error:
        raise refusal(url, error.response) from error
    except InvalidURI as error:
        raise Refused(bad_address(url)) from error
    except WebSocketException as error:
        raise Refused(f"{url} does not answer as a Sayline server does ({error}): is it the right address?") from error
    if socket.subprotocol != Subprotocol(encoding):
        await socket.close()
        raise Refused(f"{url} does not speak {encoding}: it is another server, or of another version than this client")
    return socket


def stream_address(url: str) -> str:
    """The address of the stream for what people write: the server's own, or the page's. Raises `Refused`."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in SCHEMES and parts.hostname and (parts.port or True)
    except ValueError:
        known = False
    if not known:
        raise Refused(bad_address(url))
    path = parts.path if parts.path.strip("/") else STREAM_PATH
    return urlunsplit((SCHEMES[parts.scheme], parts.netloc, path, parts.query, ""))


def bad_address(url: str) -> str:
    return f"{url!r} is not the address of a server: write it like ws://127.0.0.1:8000"


def is_loopback(address: str) -> bool:
    """Whether the server is on this machine, where no proxy is needed, whatever the environment says."""
    host = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def refusal(url: str, response: Response) -> Refused:
    """What an HTTP answer in place of a WebSocket means."""
    status, said = response.status_code, (response.body or b"").decode(errors="replace").strip()[:200]
    match status:
        case 401:
            return Refused(f"{url} wants an API key: pass api_key=, or set SAYLINE_API_KEY")
        case 404:
            return Refused(f"there is a web server at {url}, but not Sayline: is it the right address?")
        case 429 | 503:
            wait_s = response.headers.get("Retry-After", "")
            when = f"in {wait_s} s" if wait_s.isdecimal() else "in a moment"
            return Refused(
                f"the server at {url} takes nobody in right now (HTTP {status}): try again {when}",
                int(wait_s) * 1000.0 if wait_s.isdecimal() else None,
            )
        case _:
            return Refused(f"{url} refused the session (HTTP {status}{': ' * bool(said)}{said})")
