"""What the server can be asked over HTTP, as an OpenAPI 3.1 document. Made from the types that requests are checked by.

The table of operations lies in `sayline_tts.server.http.operations`; a test compares it with the routes.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

Schema = dict[str, Any]

REF = "#/components/schemas/{name}"
KEYS: Schema = {
    "key": {"type": "http", "scheme": "bearer", "description": "Where the server asks for a key."},
    "key_header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "code"],
            "properties": {
                "message": {"type": "string", "description": "For people: what is wrong and what to do about it."},
                "code": {"type": "string", "description": "For programs."},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"], "description": "The field that is wrong."},
            },
        }
    },
}
FAULTS = {
    400: "The request cannot be used as it is.",
    401: "A key is needed, and this is none.",
    403: "The key, or a page of this site, may not do that.",
    404: "There is no such thing.",
    408: "The upload took too long.",
    409: "That does not go with what is there.",
    413: "That is too large.",
    415: "The body is of another type.",
    422: "The recording cannot be used.",
    429: "The key is over its limit; `Retry-After` says for how long.",
    500: "A fault of the server's own, which is logged there.",
    503: "The server is full or stopping; `Retry-After` says when to ask again.",
    507: "There is no room to keep it.",
}


@dataclass(frozen=True)
class Operation:
    """`body`: the type of a JSON request. `form`: a form's fields. `gives`: content types, each with its schema."""

    method: str
    path: str
    summary: str
    about: str = ""
    body: type | None = None
    form: Schema | None = None
    parameters: tuple[Schema, ...] = ()
    status: int = 200
    gives: dict[str, Schema] = field(default_factory=dict)
    faults: tuple[int, ...] = ()
    public: bool = False
    topic: str = "Speech"
    example: str = ""  # a command that works

    @property
    def id(self) -> str:
        words = self.path.strip("/").translate(str.maketrans("/-.", "___", "{}")) or "page"
        return f"{self.method}_{words}"


def document(operations: Iterable[Operation], version: str) -> Schema:
    """The whole document, ready for JSON."""
    operations = list(operations)
    bodies = [each.body for each in operations if each.body is not None]
    _, schemas = msgspec.json.schema_components(bodies, ref_template=REF)
    paths: dict[str, Schema] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sayline",
            "version": version,
            "summary": "Text in while it is written, speech out while it is spoken.",
            "description": "Live conversation goes over a WebSocket at `/v1/stream`; this is all else.",
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": topic} for topic in dict.fromkeys(each.topic for each in operations)],
        "security": [{}, *({name: []} for name in KEYS)],
        "paths": paths,
        "components": {"schemas": {**schemas, "Error": ERROR}, "securitySchemes": KEYS},
    }


def _operation(each: Operation) -> Schema:
    told: Schema = {"operationId": each.id, "tags": [each.topic], "summary": each.summary}
    if each.about:
        told["description"] = each.about
    if each.public:
        told["security"] = []
    if each.parameters:
        told["parameters"] = list(each.parameters)
    if each.body is not None:
        schema = {"$ref": REF.format(name=each.body.__name__)}
        told["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if each.form is not None:
        told["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": each.form}}}
    told["responses"] = {str(each.status): _answer(each), **{str(code): _fault(code) for code in each.faults}}
    if each.example:
        told["x-codeSamples"] = [{"lang": "Shell", "source": each.example}]
    return told


def _answer(each: Operation) -> Schema:
    content = {kind: {"schema": schema} for kind, schema in each.gives.items()}
    return {"description": each.summary, **({"content": content} if content else {})}


def _fault(status: int) -> Schema:
    told: Schema = {
        "description": FAULTS[status],
        "content": {"application/json": {"schema": {"$ref": REF.format(name="Error")}}},
    }
    if status in (429, 503):
        told["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return told
