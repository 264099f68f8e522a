"""The native protocol as an AsyncAPI 3 document, generated from the message types and served at `/v1/asyncapi.json`.

It describes the shape of messages; `docs/protocol.md` has the rules.
"""

import inspect
from collections.abc import Iterable
from typing import Any, get_args

import msgspec
from aiohttp import web

from sayline_tts.server.access import middleware
from sayline_tts.server.websocket import messages
from sayline_tts.server.websocket.messages import ClientMessage, ServerEvent
from sayline_tts.server.websocket.protocol import CloseCode
from sayline_tts.server.websocket.wire import Encoding

PATH = "/v1/asyncapi.json"
DOCUMENT = web.AppKey("asyncapi", bytes)

SUMMARY = "Text in while it is written, speech out while it is generated. Many contexts share one WebSocket."
ENCODINGS = (
    f"With `{Encoding.MSGPACK.subprotocol}` every message is a map in a binary frame. With "
    f"`{Encoding.JSON.subprotocol}` it is a text frame, except for audio, which is a binary frame: a 16-byte header, "
    "big-endian (u8 1, u8 length of the context id, u16 0, u32 seq, u64 start_sample), the id in UTF-8, then the data. "
    "Unknown fields are ignored."
)


def add_routes(app: web.Application, version: str) -> None:
    app[DOCUMENT] = msgspec.json.encode(document(version))
    app.add_routes([web.get(PATH, _document)])


@middleware.public
async def _document(request: web.Request) -> web.Response:
    return web.Response(body=request.app[DOCUMENT], content_type="application/json")


def document(version: str) -> dict[str, Any]:
    client, server = get_args(ClientMessage), get_args(ServerEvent)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Sayline", "version": version, "description": f"{SUMMARY}\n\n{ENCODINGS}"},
        "defaultContentType": "application/json",
        "channels": {
            "stream": {
                "address": "/v1/stream",
                "description": "Close codes: " + "; ".join(f"{code.value} {code.name.lower()}" for code in CloseCode),
                "messages": {
                    _tag(kind): {"$ref": f"#/components/messages/{_tag(kind)}"} for kind in (*client, *server)
                },
                "bindings": {"ws": {"method": "GET", "headers": _upgrade_headers()}},
            }
        },
        "operations": {
            "receive": _operation("receive", "Messages from the client.", client),
            "send": _operation("send", "Events from the server.", server),
        },
        "components": {
            "messages": {_tag(kind): _message(kind) for kind in (*client, *server)},
            "schemas": _schemas((*client, *server)),
        },
    }


def _operation(action: str, summary: str, kinds: Iterable[type]) -> dict[str, Any]:
    messages = [{"$ref": f"#/channels/stream/messages/{_tag(kind)}"} for kind in kinds]
    return {"action": action, "summary": summary, "channel": {"$ref": "#/channels/stream"}, "messages": messages}


def _message(kind: type) -> dict[str, Any]:
    summary = inspect.cleandoc(kind.__doc__ or "")
    message = {"name": _tag(kind), "summary": summary, "payload": {"$ref": f"#/components/schemas/{kind.__name__}"}}
    if kind is messages.Audio:
        return {**message, "contentType": "application/octet-stream"}
    return message


def _schemas(kinds: Iterable[type]) -> dict[str, Any]:
    _, schemas = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    return schemas


def _tag(kind: Any) -> str:
    return str(kind.__struct_config__.tag)


def _upgrade_headers() -> dict[str, Any]:
    names = [encoding.subprotocol for encoding in Encoding]
    return {"type": "object", "properties": {"Sec-WebSocket-Protocol": {"type": "string", "enum": names}}}
