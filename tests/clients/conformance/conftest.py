"""The clients that run the scenarios."""

import random
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from types import MappingProxyType

import pytest
import pytest_asyncio
import sayline

from tests.clients.conformance.conductor import Client
from tests.clients.conformance.node_client import NodeClient
from tests.clients.conformance.python_client import PythonClient
from tests.clients.conformance.sync_client import SyncClient

MADE: Mapping[str, Callable[[], NodeClient | PythonClient]] = MappingProxyType(
    {
        "msgpack": lambda: PythonClient(sayline.Encoding.MSGPACK),
        "json": lambda: PythonClient(sayline.Encoding.JSON),
        "blocking": lambda: SyncClient(sayline.Encoding.MSGPACK),
        "javascript": NodeClient,
    }
)


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=MADE)
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    """Of the kind that is asked for, in turn; a test may ask for some of them."""
    if request.param == "javascript" and shutil.which("node") is None:
        pytest.skip("node is not installed")
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(MADE[request.param]())


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who tries again does not wait."""
    monkeypatch.setattr(random, "uniform", lambda low, high: low)
