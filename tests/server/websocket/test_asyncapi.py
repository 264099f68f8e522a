import json
from pathlib import Path
from typing import Any, get_args

import aiohttp
import pytest

from sayline_tts.server.websocket.asyncapi import document
from sayline_tts.server.websocket.messages import ClientMessage, ServerEvent
from sayline_tts.server.websocket.protocol import CloseCode
from tests.server.stream_client import load_golden

DOCUMENT = document("1.2.3")
GOLDEN = load_golden(Path(__file__).parents[2] / "wire" / "v1.json")
CLIENT, SERVER = get_args(ClientMessage), get_args(ServerEvent)


def resolve(reference: dict[str, str]) -> Any:
    found: Any = DOCUMENT
    for name in reference["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found


def payload(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = resolve(resolve(DOCUMENT["channels"]["stream"]["messages"][kind])["payload"])
    return found


def types(operation: str) -> set[str]:
    return {resolve(resolve(message))["name"] for message in DOCUMENT["operations"][operation]["messages"]}


def test_document_has_every_message_with_its_direction() -> None:
    assert types("receive") == {kind.__struct_config__.tag for kind in CLIENT}
    assert types("send") == {kind.__struct_config__.tag for kind in SERVER}


@pytest.mark.parametrize("kind", [*CLIENT, *SERVER])
def test_document_has_every_field_of_a_message(kind: Any) -> None:
    schema = payload(kind.__struct_config__.tag)
    assert set(schema["properties"]) == {"type", *kind.__struct_fields__}
    assert {"type", *kind.__struct_fields__[: len(kind.__struct_fields__) - len(kind.__struct_defaults__)]} == set(
        schema["required"]
    )


@pytest.mark.parametrize("entry", GOLDEN, ids=lambda entry: entry["name"])
def test_golden_messages_match_the_schemas(entry: dict[str, Any]) -> None:
    schema = payload(entry["message"]["type"])
    assert set(schema["required"]) <= set(entry["message"])
    for name, value in entry["message"].items():
        if name in schema["properties"]:
            assert fits(value, schema["properties"][name]), (name, value)


def fits(value: object, schema: dict[str, Any]) -> bool:
    """Validate `value`; supports only the schema features that the document uses."""
    if "anyOf" in schema:
        return any(fits(value, each) for each in schema["anyOf"])
    if "$ref" in schema:
        return fits(value, resolve(schema))
    if "enum" in schema:
        return value in schema["enum"]
    match schema["type"]:
        case "string":
            return isinstance(value, str | bytes)
        case "integer":
            return isinstance(value, int) and value >= schema.get("minimum", value)
        case "number":
            return isinstance(value, int | float) and schema.get("minimum", value) <= value <= schema.get(
                "maximum", value
            )
        case "boolean":
            return isinstance(value, bool)
        case "array":
            return isinstance(value, list) and all(fits(item, schema["items"]) for item in value)
        case "object" if "properties" in schema:
            return (
                isinstance(value, dict)
                and set(schema["required"]) <= set(value)
                and all(fits(item, schema["properties"][name]) for name, item in value.items())
            )
        case "object":
            return isinstance(value, dict) and all(
                fits(item, schema["additionalProperties"]) for item in value.values()
            )
        case _:
            return value is None


def test_every_reference_resolves() -> None:
    def follow(part: Any) -> None:
        if isinstance(part, dict):
            if "$ref" in part:
                resolve(part)
            for value in part.values():
                follow(value)
        elif isinstance(part, list):
            for value in part:
                follow(value)

    follow(DOCUMENT)
    assert DOCUMENT["asyncapi"] == "3.0.0"
    for code in CloseCode:
        assert str(code.value) in DOCUMENT["channels"]["stream"]["description"]


async def test_document_is_served_without_a_key(address: str) -> None:
    async with aiohttp.ClientSession() as client, client.get(f"http://{address}/v1/asyncapi.json") as response:
        served = json.loads(await response.text())
        assert response.content_type == "application/json"
    assert served == document(served["info"]["version"])
