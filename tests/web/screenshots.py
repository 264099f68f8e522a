"""Takes screenshots of the page for review: `python -m tests.web.screenshots FOLDER`.

Phone and desktop, light and dark: ready, speaking, done, with the voice cloning panel open, and without a server. The
embedded voice speaks, in a server of its own.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from itertools import product
from pathlib import Path
from typing import Any

SCREENS = {"phone": (360, 740), "desktop": (1280, 800)}
SCHEMES = ("light", "dark")
Check = Callable[[Any, str], Awaitable[None]]  # of a page in a state
TIMEOUT_MS = 120_000  # a real model on a busy machine
VIEWS = tuple(product(SCREENS, SCHEMES))
STATES = ("ready", "speaking", "done", "cloning", "error")


async def take_screenshots(browser: Any, address: str, folder: Path) -> None:
    for screen, scheme in VIEWS:
        await visit_states(browser, address, folder, screen, scheme)


async def visit_states(
    browser: Any, address: str, folder: Path, screen: str, scheme: str, check: Check | None = None
) -> None:
    """Screenshot the page in every state, after the check."""
    width, height = SCREENS[screen]
    context = await browser.new_context(color_scheme=scheme, viewport={"width": width, "height": height})
    page = await context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    async for state in states(page, address):
        if check:
            await check(page, state)
        await page.screenshot(path=folder / f"{screen}-{scheme}-{state}.png", full_page=True)
    await context.close()


async def states(page: Any, address: str) -> Any:
    """Bring the page into one state after the other, and yield the name of each."""
    await page.goto(address)
    await page.locator("#status", has_text="Ready.").wait_for()
    yield "ready"
    await page.get_by_role("button", name="Speak", exact=True).click()
    await page.locator("#captions .played").nth(7).wait_for()
    yield "speaking"
    await page.locator("#status", has_text="Done.").wait_for()
    yield "done"
    await page.locator("#voices summary").click()
    yield "cloning"
    await page.locator("#voices summary").click()
    await page.route_web_socket("**/v1/stream", lambda socket: socket.close())
    await page.route("**/healthz", lambda route: route.abort())
    await page.reload()
    await page.locator("#status.error").wait_for()
    yield "error"


async def main(folder: Path) -> None:
    from playwright.async_api import async_playwright

    from sayline_tts.engine.checkpoint.checkpoint import find_checkpoint
    from sayline_tts.engine.models.model import Model
    from sayline_tts.server.app import make_app
    from sayline_tts.server.settings import Settings
    from tests.server.stream_client import serving
    from tests.web.site import BROWSER_ARGUMENTS, CHROMIUM

    app = await make_app(Settings(), Model.load(find_checkpoint("embedded")))
    async with serving(app) as where, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=BROWSER_ARGUMENTS)
        await take_screenshots(browser, f"http://{where}/", folder)
        await browser.close()
    print(f"{len(VIEWS) * len(STATES)} screenshots are in {folder}")


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(target))
