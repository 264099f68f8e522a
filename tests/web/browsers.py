"""Chromium processes, started on demand and shared by all tests of a process. Each test gets a context of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.web.page_status import TIMEOUT_MS, console_errors
from tests.web.site import BROWSER_ARGUMENTS, CHROMIUM


class Browsers:
    """One browser for each set of command-line arguments. Starting one takes a second or more, a context some 10 ms."""

    def __init__(self, playwright: Any) -> None:
        self._chromium = playwright.chromium
        self._running: dict[tuple[str, ...], Any] = {}

    async def get(self, *more: str, without: tuple[str, ...] = ()) -> Any:
        """A browser with the usual arguments, `more` ones and `without` some."""
        arguments = (*(each for each in BROWSER_ARGUMENTS if each not in without), *more)
        if arguments not in self._running:
            self._running[arguments] = await self._chromium.launch(executable_path=CHROMIUM, args=list(arguments))
        return self._running[arguments]

    @asynccontextmanager
    async def page(self, *more: str, without: tuple[str, ...] = ()) -> AsyncIterator[Any]:
        """A blank page in a context of its own. Fails at the end if its console shows an error or a warning."""
        browser = await self.get(*more, without=without)
        context = await browser.new_context()
        try:
            page = await context.new_page()
            page.set_default_timeout(TIMEOUT_MS)
            page.console_errors = console_errors(page)
            yield page
        finally:
            await context.close()
        assert not page.console_errors, page.console_errors

    async def close(self) -> None:
        for browser in self._running.values():
            await browser.close()


async def override_constant(page: Any, module: str, name: str, old: float, new: float) -> None:
    """Change a constant of a module of the page, to save time. Call it before opening the page, as often as needed."""
    changes: dict[str, dict[str, str]] = page.__dict__.setdefault("changed_constants", {})
    if module in changes:
        changes[module][f"{name} = {old};"] = f"{name} = {new};"
        return
    changes[module] = {f"{name} = {old};": f"{name} = {new};"}

    async def change(route: Any) -> None:
        response = await route.fetch()
        text = await response.text()
        for before, after in changes[module].items():
            assert before in text
            text = text.replace(before, after)
        await route.fulfill(response=response, body=text)

    await page.route(f"**/{module}", change)
