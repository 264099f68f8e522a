"""Fixtures: a browser, a page whose console must stay clean, and servers for it. Skipped without a browser."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.web.page_status import TIMEOUT_MS, console_errors
from tests.web.site import BROWSER_ARGUMENTS, CHROMIUM, Site

if TYPE_CHECKING:  # imports the engine, which is not installed wherever browser tests run
    from tests.web.page_server import PageServer


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with Site() as running:
        yield running


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator["PageServer"]:
    from tests.web.page_server import page_server

    async with page_server(tmp_path) as running:
        yield running


@pytest.fixture
async def playwright() -> AsyncIterator[Any]:
    api = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    async with api.async_playwright() as running:
        yield running


@pytest.fixture
async def browser(playwright: Any) -> AsyncIterator[Any]:
    chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=BROWSER_ARGUMENTS)
    yield chromium
    await chromium.close()


@pytest.fixture
async def page(browser: Any) -> AsyncIterator[Any]:
    """A new page. The test fails if its console shows an error or a warning."""
    page = await browser.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    page.console_errors = console_errors(page)
    yield page
    assert page.console_errors == []


@pytest.fixture
async def panel(server: "PageServer", page: Any) -> Any:
    """A page with the voice cloning panel open."""
    from tests.web.page_server import open_panel

    await open_panel(page, server)
    return page
