"""The HTTP API as an OpenAPI 3.1 document, generated from the types that validate requests.

The operations are listed in `sayline_tts.server.http.operations`; a test compares them with the routes.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

Schema = dict[str, Any]

REF = "#/components/schemas/{name}"
KEYS: Schema = {
    "key": {"type": "http", "scheme": "bearer", "description": "Required if the server has API keys."},
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
                "message": {"type": "string", "description": "For people: what happened and what to do."},
                "code": {"type": "string", "description": "For programs; does not change."},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"], "description": "The field at fault."},
            },
        }
    },
}
ERRORS = {
    400: "The request is invalid.",
    401: "The API key is missing or invalid.",
    403: "The key or the page's origin has no permission for this.",
    404: "Not found.",
    408: "The upload took too long.",
    409: "The request conflicts with what is stored: the name is taken, or the quota is used up.",
    413: "The text or upload is too large.",
    415: "The body's content type is not supported.",
    422: "The recording is unusable.",
    429: "A limit of the key is reached; retry after `Retry-After` seconds.",
    500: "Internal error, logged by the server.",
    503: "The server is at capacity or shutting down; retry after `Retry-After` seconds.",
    507: "The server cannot store it.",
}


@dataclass(frozen=True)
class Operation:
    """`body`: type of the JSON request. `form`: schema of the form. `responses`: content types with their schemas."""

    method: str
    path: str
    summary: str
    description: str = ""
    body: type | None = None
    form: Schema | None = None
    parameters: tuple[Schema, ...] = ()
    status: int = 200
    responses: dict[str, Schema] = field(default_factory=dict)
    errors: tuple[int, ...] = ()
    public: bool = False
    tag: str = "Speech"
    example: str = ""  # a shell command; a test checks its request

    @property
    def id(self) -> str:
        words = self.path.strip("/").translate(str.maketrans("/-.", "___", "{}")) or "page"
        return f"{self.method}_{words}"


def document(operations: Iterable[Operation], version: str) -> Schema:
    """The complete document as JSON-compatible data."""
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
            "summary": "Real-time streaming text-to-speech.",
            "description": "For live conversations use the WebSocket at `/v1/stream`. This document covers the rest.",
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(each.tag for each in operations)],
        "security": [{}, *({name: []} for name in KEYS)],
        "paths": paths,
        "components": {"schemas": {**schemas, "Error": ERROR}, "securitySchemes": KEYS},
    }


def _operation(each: Operation) -> Schema:
    operation: Schema = {"operationId": each.id, "tags": [each.tag], "summary": each.summary}
    if each.description:
        operation["description"] = each.description
    if each.public:
        operation["security"] = []
    if each.parameters:
        operation["parameters"] = list(each.parameters)
    if each.body is not None:
        schema = {"$ref": REF.format(name=each.body.__name__)}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if each.form is not None:
        operation["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": each.form}}}
    operation["responses"] = {
        str(each.status): _response(each),
        **{str(code): _error_response(code) for code in each.errors},
    }
    if each.example:
        operation["x-codeSamples"] = [{"lang": "Shell", "source": each.example}]
    return operation


def _response(each: Operation) -> Schema:
    content = {kind: {"schema": schema} for kind, schema in each.responses.items()}
    return {"description": each.summary, **({"content": content} if content else {})}


def _error_response(status: int) -> Schema:
    response: Schema = {
        "description": ERRORS[status],
        "content": {"application/json": {"schema": {"$ref": REF.format(name="Error")}}},
    }
    if status in (429, 503):
        response["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return response
