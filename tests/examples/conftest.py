"""Make the example programs importable; share the browser fixtures of the page's tests."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.clients.scripted import ScriptedServer
from tests.web.conftest import browsers, page  # noqa: F401

sys.path.insert(0, str(Path(__file__).parents[2] / "clients/examples"))


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server
