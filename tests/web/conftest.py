"""Fixtures: browsers, a page whose console must stay clean, and servers for it. Skipped without a browser.

The tests of this folder share one event loop, because the browsers that they share belong to it.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.web.browsers import Browsers
from tests.web.site import CHROMIUM, Site

if TYPE_CHECKING:  # imports the engine, which is not installed wherever browser tests run
    from tests.web.page_server import PageServer

FOLDER = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if FOLDER in item.path.parents and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browsers() -> AsyncIterator[Browsers]:
    api = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    async with api.async_playwright() as playwright:
        running = Browsers(playwright)
        yield running
        await running.close()


@pytest_asyncio.fixture(loop_scope="session")
async def browser(browsers: Browsers) -> Any:
    return await browsers.get()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browsers: Browsers) -> AsyncIterator[Any]:
    async with browsers.page() as page:
        yield page


@pytest_asyncio.fixture(loop_scope="session")
async def site() -> AsyncIterator[Site]:
    async with Site() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def server(tmp_path: Path) -> AsyncIterator["PageServer"]:
    from tests.web.page_server import page_server

    async with page_server(tmp_path) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def panel(server: "PageServer", page: Any) -> Any:
    """A page with the voice cloning panel open."""
    from tests.web.page_server import open_panel

    await open_panel(page, server)
    return page
