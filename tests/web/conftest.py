"""A browser, a page in it that may not complain, and what serves it. Skipped, with the reason, where there is none."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.web.site import ARGUMENTS, CHROMIUM, Site
from tests.web.watching import PATIENCE_MS, complaints

if TYPE_CHECKING:  # it takes the engine, which is not everywhere where a browser is wanted
    from tests.web.stage import Stage


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with Site() as running:
        yield running


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator["Stage"]:
    from tests.web.stage import staged

    async with staged(tmp_path) as running:
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
    chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
    yield chromium
    await chromium.close()


@pytest.fixture
async def page(browser: Any) -> AsyncIterator[Any]:
    """Fails the test afterwards when the console had anything to complain about."""
    page = await browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.complaints = complaints(page)
    yield page
    assert page.complaints == []


@pytest.fixture
async def panel(stage: "Stage", page: Any) -> Any:
    """The page of the stage's server, where voices are cloned."""
    from tests.web.stage import open_panel

    await open_panel(page, stage)
    return page
