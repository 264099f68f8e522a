import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from sayline_tts.server.app import make_app
from sayline_tts.server.http.docs import POLICY, add_routes
from sayline_tts.server.http.errors import ERROR_BODIES
from sayline_tts.server.http.openapi import document
from sayline_tts.server.http.operations import OPERATIONS
from sayline_tts.server.http.requests import OpenAISpeechRequest, SpeechRequest
from sayline_tts.server.settings import Settings
from tests.server.fakes import FakeEngine
from tests.server.stream_client import serving

DOCUMENT = document(OPERATIONS, "1.2.3")
METHODS = {"get", "post", "delete", "put"}


async def test_documented_operations_are_the_routes(engine: FakeEngine, tmp_path: Path) -> None:
    """Those of other vendors are documented by them."""
    app = await make_app(Settings.load(data=str(tmp_path)), engine.model, engine)
    routes = {
        (route.method.lower(), route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD" and not isinstance(route.resource, web.StaticResource)
    }
    documented = {(method, path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert documented == {(method, path) for method, path in routes if path not in app[ERROR_BODIES]}


def parts(value: Any) -> Iterator[dict[str, Any]]:
    """All objects within `value`."""
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from parts(each)


def test_document_is_consistent() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert json.loads(json.dumps(DOCUMENT)) == DOCUMENT
    schemas = DOCUMENT["components"]["schemas"]
    for each in parts(DOCUMENT):
        if reference := each.get("$ref"):
            assert reference.removeprefix("#/components/schemas/") in schemas
    operations = [operation for methods in DOCUMENT["paths"].values() for operation in methods.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for path, methods in DOCUMENT["paths"].items():
        assert methods.keys() <= METHODS
        for operation in methods.values():
            given = [parameter["name"] for parameter in operation.get("parameters", ())]
            assert given == re.findall(r"{(\w+)}", path)
            assert operation["summary"].endswith((".", "?"))
            assert all(answer["description"] for answer in operation["responses"].values())


@pytest.mark.parametrize("kind", [SpeechRequest, OpenAISpeechRequest])
def test_request_schemas_match_the_structs(kind: type) -> None:
    schema = DOCUMENT["components"]["schemas"][kind.__name__]
    assert list(schema["properties"]) == [each.name for each in msgspec.structs.fields(kind)]
    example = {name: given["examples"][0] for name, given in schema["properties"].items() if "examples" in given}
    assert set(schema["required"]) <= set(example)
    msgspec.json.decode(json.dumps(example), type=kind)


def test_examples_are_valid_requests() -> None:
    examples = 0
    for each in OPERATIONS:
        for body in re.findall(r"--json '(.*)'", each.example):
            assert each.body is not None
            msgspec.json.decode(body, type=each.body)
            examples += 1
        fields = re.findall(r"-F (\w+)=", each.example)
        assert each.form is None or set(each.form["required"]) <= set(fields) <= set(each.form["properties"])
        path = re.sub(r"\{\w+\}", r"\\w+", each.path)
        assert not each.example or re.search(f"localhost:8000{path} ", each.example)
    assert examples >= 3


async def test_docs_page_loads_no_external_resources() -> None:
    app = web.Application()
    add_routes(app, DOCUMENT)
    async with serving(app) as address, aiohttp.ClientSession() as client:
        async with client.get(f"http://{address}/openapi.json") as response:
            assert await response.json() == DOCUMENT
        async with client.get(f"http://{address}/docs") as response:
            assert response.content_type == "text/html"
            assert response.headers["Content-Security-Policy"] == POLICY
            text = await response.text()
    for each in OPERATIONS:
        assert f"<code>{each.path}</code>" in text
    for kind in (SpeechRequest, OpenAISpeechRequest):
        for given in msgspec.structs.fields(kind):
            assert f"<code>{given.name}</code>" in text
    assert not re.findall(r"<script|<link|<img|src=|https?://(?!host)[\w.]+/", text)
    assert "1.2.3" in text
    assert len(text) < 40_000
