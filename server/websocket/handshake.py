"""The opening handshake of `/v1/stream`: turns a request into a WebSocket with a session, or refuses it.

`sayline_tts.server.access.middleware` has checked the request's host, origin and key before.
"""

import asyncio
import socket
from collections.abc import Mapping, Sequence

from aiohttp import web

from sayline_tts.engine.errors import InputError
from sayline_tts.server.access import auth
from sayline_tts.server.access.middleware import CALLER, CLIENT_ADDRESS
from sayline_tts.server.logs import in_session
from sayline_tts.server.settings import Settings
from sayline_tts.server.websocket import messages, wire
from sayline_tts.server.websocket.connection import Connection
from sayline_tts.server.websocket.protocol import CloseCode
from sayline_tts.server.websocket.session import new_session_id
from sayline_tts.server.websocket.sessions import Sessions
from sayline_tts.server.websocket.wire import Encoding

# Buffered audio arrives late at a listener who interrupts, and the operating system's default of 4 MB is 17 minutes.
SEND_BUFFER_BYTES = 16 * 1024
WRITE_HIGH_WATER_BYTES = 8 * 1024
CLOSE_TIMEOUT_S = 1.0
# A larger frame closes the connection with 1009; between MAX_MESSAGE_BYTES and this, an error event is the answer.
MAX_FRAME_BYTES = 2 * 1024 * 1024
# Of the handshake's answer, for load balancers: a client that resumes a session asks for `?session=ID`.
SESSION_HEADER = "Sayline-Session"


async def open_stream(
    request: web.Request, settings: Settings, ready: messages.Ready, sessions: Sessions
) -> web.StreamResponse:
    """Serve one WebSocket. Returns when the connection has ended."""
    if request.headers.get("Upgrade", "").lower() != "websocket":
        message = f"This is a WebSocket: connect with ws:// and the subprotocol {_known_subprotocols()}.\n"
        raise _UpgradeRequired(text=message, headers={"Upgrade": "websocket"})
    encoding = choose_encoding(auth.offered_subprotocols(request))
    session_id = new_session_id()
    headers = {SESSION_HEADER: session_id}
    websocket, transport = await upgrade(request, [encoding.subprotocol], settings.heartbeat_s, headers)
    try:
        session = sessions.open(
            request[CALLER], request[CLIENT_ADDRESS], request.headers.get("traceparent"), session_id
        )
    except InputError as error:
        refusal = messages.Error(error.code, str(error), retry_after_ms=messages.unset_if_none(error.retry_after_ms))
        data = wire.serialize(refusal, encoding)
        await (websocket.send_str(data) if isinstance(data, str) else websocket.send_bytes(data))
        await websocket.close(code=CloseCode.TRY_LATER, message=str(error).encode())
        return websocket
    with in_session(session.id):
        await Connection(websocket, transport, encoding, session, sessions, settings).run(ready)
    return websocket


async def upgrade(
    request: web.Request,
    subprotocols: Sequence[str] = (),
    heartbeat_s: float | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[web.WebSocketResponse, asyncio.WriteTransport]:
    """Answer the handshake. `heartbeat_s` None: no pings, and a peer that does not answer any stays connected."""
    websocket = web.WebSocketResponse(
        protocols=subprotocols,
        heartbeat=heartbeat_s,
        timeout=CLOSE_TIMEOUT_S,
        autoclose=False,
        autoping=False,  # pings count against the budget of messages
        compress=False,  # a small compressed message could expand a thousandfold
        max_msg_size=MAX_FRAME_BYTES,
        writer_limit=0,  # every write waits until the buffer has room
    )
    websocket.headers.update(headers or {})
    await websocket.prepare(request)
    transport = request.transport
    assert isinstance(transport, asyncio.WriteTransport)
    limit_buffers(transport)
    return websocket, transport


def choose_encoding(offered: list[str]) -> Encoding:
    """The encoding of the first known subprotocol. Raises 400 if there is none."""
    known = {encoding.subprotocol: encoding for encoding in Encoding}
    for name in offered:
        if name in known:
            return known[name]
    message = f"No known subprotocol was offered; set Sec-WebSocket-Protocol to {_known_subprotocols()}.\n"
    raise web.HTTPBadRequest(text=message)


class _UpgradeRequired(web.HTTPClientError):
    status_code = 426


def _known_subprotocols() -> str:
    return " or ".join(encoding.subprotocol for encoding in Encoding)


def limit_buffers(transport: asyncio.WriteTransport) -> None:
    transport.set_write_buffer_limits(high=WRITE_HIGH_WATER_BYTES)
    if (connection := transport.get_extra_info("socket")) is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
