"""`/openapi.json`, and `/docs`: the same document as one HTML page that loads no scripts or external resources."""

import base64
import hashlib
import json
from collections.abc import Iterator
from html import escape
from typing import Any

from aiohttp import web

from sayline_tts.server.access import middleware

PAGE = web.AppKey("docs_page", str)
DOCUMENT = web.AppKey("openapi", str)

STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 20%, transparent); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font: 14px/1.5 ui-monospace, monospace; }
pre { overflow-x: auto; padding: .6rem; border: 1px solid var(--line); border-radius: .4rem; }
details { border: 1px solid var(--line); border-radius: .4rem; margin: .4rem 0; padding: .4rem .8rem; }
summary { cursor: pointer; }
summary b { display: inline-block; min-width: 4rem; text-transform: uppercase; }
table { border-collapse: collapse; width: 100%; margin: .6rem 0; }
td, th { text-align: left; vertical-align: top; padding: .25rem .6rem .25rem 0; border-top: 1px solid var(--line); }
"""
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"


def add_routes(app: web.Application, document: dict[str, Any]) -> None:
    app[DOCUMENT], app[PAGE] = json.dumps(document), page(document)
    app.add_routes([web.get("/openapi.json", _openapi), web.get("/docs", _docs)])


@middleware.public
async def _openapi(request: web.Request) -> web.Response:
    return web.Response(text=request.app[DOCUMENT], content_type="application/json")


@middleware.public
async def _docs(request: web.Request) -> web.Response:
    headers = {"Content-Security-Policy": POLICY}
    return web.Response(text=request.app[PAGE], content_type="text/html", headers=headers)


def page(document: dict[str, Any]) -> str:
    info = document["info"]
    body = [
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>",
        f"<p>{_prose(info['summary'])} {_prose(info['description'])}</p>",
        "<p>Machine-readable: <a href='openapi.json'>openapi.json</a> (OpenAPI 3.1).</p>",
    ]
    for tag in document["tags"]:
        body.append(f"<h2>{escape(tag['name'])}</h2>")
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                if tag["name"] in operation["tags"]:
                    body += _operation(path, method, operation, document["components"]["schemas"])
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(info['title'])}</title><style>{STYLE}</style></head><body>{''.join(body)}</body></html>"
    )


def _operation(path: str, method: str, operation: dict[str, Any], schemas: dict[str, Any]) -> Iterator[str]:
    yield f"<details id='{operation['operationId']}'><summary><b>{method}</b> <code>{escape(path)}</code> "
    yield f"{_prose(operation['summary'])}</summary>"
    if "description" in operation:
        yield f"<p>{_prose(operation['description'])}</p>"
    for sample in operation.get("x-codeSamples", ()):
        yield f"<pre>{escape(sample['source'])}</pre>"
    for parameter in operation.get("parameters", ()):
        yield _table("Path parameter", [(parameter["name"], "", parameter["description"])])
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        yield _table(kind, _fields(_resolved(content["schema"], schemas), schemas))
    responses = operation["responses"].items()
    yield _table("Responses", [(code, _content_types(each), each["description"]) for code, each in responses])
    yield "</details>"


def _content_types(response: dict[str, Any]) -> str:
    return ", ".join(response.get("content", {}))


def _fields(schema: dict[str, Any], schemas: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    required = schema.get("required", ())
    for name, field in schema["properties"].items():
        notes = [field.get("description", "")]
        if name in required:
            notes.append("Required.")
        elif field.get("default") is not None:
            notes.append(f"Default: `{json.dumps(field['default'])}`.")
        yield name, _type_of(field, schemas), " ".join(filter(None, notes))


def _type_of(schema: dict[str, Any], schemas: dict[str, Any]) -> str:
    """A short description of the values that a schema allows."""
    schema = _resolved(schema, schemas)
    if "anyOf" in schema:
        return " or ".join(_type_of(each, schemas) for each in schema["anyOf"] if each.get("type") != "null")
    if "enum" in schema:
        return " ".join(str(each) for each in schema["enum"] if each is not None)
    kind = "file" if schema.get("format") == "binary" else str(schema.get("type", ""))
    low, high = schema.get("minimum"), schema.get("maximum", schema.get("exclusiveMaximum"))
    return f"{kind} {low:g} to {high:g}" if low is not None and high is not None else kind


def _resolved(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return found


def _table(title: str, rows: Iterator[tuple[str, str, str]] | list[tuple[str, str, str]]) -> str:
    lines = (
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(kind)}</td><td>{_prose(description)}</td></tr>"
        for name, kind, description in rows
    )
    return f"<table><tr><th colspan='3'>{escape(title)}</th></tr>{''.join(lines)}</table>"


def _prose(text: str) -> str:
    """HTML for text with `code` in backquotes."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if at % 2 else part for at, part in enumerate(parts))
