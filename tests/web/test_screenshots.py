"""The layout of the page on every screen: nothing is cut off and nothing shifts."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.web.screenshots import SCHEMES, SCREENS, STATES, states, take_screenshots
from tests.web.site import Site

POSITIONS = """Object.fromEntries([...document.querySelectorAll('main [id]')]
  .filter((each) => each.checkVisibility() && !each.closest('#captions, details'))
  .map((each) => [each.id, each.getBoundingClientRect().top + scrollY]))"""


async def test_screenshots_cover_every_state(site: Site, browser: Any, tmp_path: Path) -> None:
    await take_screenshots(browser, site.address, tmp_path)
    expected = {f"{screen}-{scheme}-{state}.png" for screen in SCREENS for scheme in SCHEMES for state in STATES}
    assert set(os.listdir(tmp_path)) == expected


@pytest.mark.parametrize("screen", SCREENS)
async def test_layout_fits_the_screen_and_does_not_shift(site: Site, browser: Any, screen: str) -> None:
    width, height = SCREENS[screen]
    context = await browser.new_context(viewport={"width": width, "height": height})
    page = await context.new_page()
    before = None
    async for state in states(page, site.address):
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, state
        if state in ("ready", "speaking", "done"):
            positions = await page.evaluate(POSITIONS)
            assert before in (None, positions), state
            before = positions
    assert before
    await context.close()
