"""docs/clients.md: its table names the tests and the versions that exist, and every protocol has a section."""

import re
from pathlib import Path

import pytest

from sayline_tts.server.compat.vendors import VENDORS

ROOT = Path(__file__).parents[3]
DOCUMENT = (ROOT / "docs/clients.md").read_text("utf-8")
PINS = dict(line.split("==") for line in (ROOT / "tests/agents/constraints.txt").read_text().splitlines() if line)
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in DOCUMENT.splitlines()
    if line.startswith("|") and not line.startswith(("|---", "| client "))
]
SECTIONS = {"kokoro": "Kokoro-FastAPI", "openai-realtime": "Realtime API", "livekit": "LiveKit Inference"}


def test_every_vendor_s_tests_are_in_the_table() -> None:
    named = set(re.findall(r"tests/agents/test_\w+\.py", DOCUMENT))
    vendors = {f"tests/agents/test_{vendor.name.replace('-', '_')}.py" for vendor in VENDORS}
    vendors |= {"tests/agents/test_livekit_inference.py"}
    vendors.discard("tests/agents/test_livekit.py")  # of Sayline's own plugin
    assert named == {name for name in vendors if (ROOT / name).exists()}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_versions_are_those_that_are_tested(row: list[str]) -> None:
    client, version = row[:2]
    package = "pipecat-ai" if client.startswith("Pipecat") else client.split("`")[1]
    assert version == PINS[package]


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)
def test_every_protocol_is_described(vendor: object) -> None:
    name = getattr(vendor, "name", "")
    assert SECTIONS.get(name, name).lower() in DOCUMENT.lower()
