"""A browser, a page in it that may not complain, and what serves it. Skipped, with the reason, where there is none."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.web.site import ARGUMENTS, CHROMIUM, Site

PATIENCE_MS = 20_000  # a busy machine is slow; nothing here is decided by it


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with Site() as running:
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
    page.complaints = listen(page)
    yield page
    assert page.complaints == []


def listen(page: Any) -> list[str]:
    complaints: list[str] = []
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return complaints


async def status(page: Any, text: str) -> None:
    """Until the page says so."""
    try:
        await page.locator("#status", has_text=text).wait_for()
    except Exception as error:
        told = await page.locator("#status").text_content()
        raise AssertionError(f"instead of {text!r} it says {told!r}") from error
