"""A request for `/v1/stream` becomes a session, or is told in words why not. Knows HTTP, not what is said then.

Who may ask at all was settled before, at the door (`sayline_tts.server.access.middleware`).
"""

import asyncio
import socket

from aiohttp import web

from sayline_tts.engine.errors import Full
from sayline_tts.server.access import auth
from sayline_tts.server.access.middleware import CALLER
from sayline_tts.server.logs import in_session
from sayline_tts.server.settings import Settings
from sayline_tts.server.websocket import protocol
from sayline_tts.server.websocket.connection import Connection
from sayline_tts.server.websocket.protocol import CloseCode, Encoding
from sayline_tts.server.websocket.sessions import Sessions

# What lies in buffers is late for a listener who interrupts, and 4 MB of it, the system's own choice, are 17 minutes.
SEND_BUFFER_BYTES = 16 * 1024
WRITE_MARK_BYTES = 8 * 1024
CLOSE_PATIENCE_S = 1.0
# Beyond this the connection is closed with 1009; from MAX_MESSAGE_BYTES on a message is refused in words.
MAX_FRAME_BYTES = 2 * 1024 * 1024


async def open_stream(
    request: web.Request, settings: Settings, ready: protocol.Ready, sessions: Sessions
) -> web.StreamResponse:
    """Returns when the connection has ended."""
    if request.headers.get("Upgrade", "").lower() != "websocket":
        told = f"This is a WebSocket: connect with ws:// and the subprotocol {_known_subprotocols()}.\n"
        raise _UpgradeRequired(text=told, headers={"Upgrade": "websocket"})
    encoding = choose_encoding(auth.offered_subprotocols(request))
    websocket = web.WebSocketResponse(
        protocols=[encoding.subprotocol],
        heartbeat=settings.heartbeat_s,
        timeout=CLOSE_PATIENCE_S,
        autoclose=False,
        compress=False,  # a small message could unpack a thousandfold
        max_msg_size=MAX_FRAME_BYTES,
        writer_limit=0,  # every frame waits for the buffer to have room
    )
    await websocket.prepare(request)
    transport = request.transport
    assert isinstance(transport, asyncio.WriteTransport)
    _bound_buffers(transport)
    try:
        session = sessions.open(request[CALLER])
    except Full as error:
        refused = protocol.Error(error.code, str(error), retry_after_ms=error.retry_after_ms)
        data = protocol.serialize(refused, encoding)
        await (websocket.send_str(data) if isinstance(data, str) else websocket.send_bytes(data))
        await websocket.close(code=CloseCode.TRY_LATER, message=str(error).encode())
        return websocket
    with in_session(session.id):
        await Connection(websocket, transport, encoding, session, sessions, settings).run(ready)
    return websocket


def choose_encoding(offered: list[str]) -> Encoding:
    """The first offer that we speak. Raises 400."""
    spoken = {encoding.subprotocol: encoding for encoding in Encoding}
    for name in offered:
        if name in spoken:
            return spoken[name]
    raise web.HTTPBadRequest(text=f"Name the subprotocol (Sec-WebSocket-Protocol): {_known_subprotocols()}.\n")


class _UpgradeRequired(web.HTTPClientError):
    status_code = 426


def _known_subprotocols() -> str:
    return " or ".join(encoding.subprotocol for encoding in Encoding)


def _bound_buffers(transport: asyncio.WriteTransport) -> None:
    transport.set_write_buffer_limits(high=WRITE_MARK_BYTES)
    if (connection := transport.get_extra_info("socket")) is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
