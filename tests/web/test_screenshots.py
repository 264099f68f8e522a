"""The page on every screen: all of it is there, nothing lies outside, and nothing jumps."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.web.screenshots import SCHEMES, SCREENS, STATES, states, take
from tests.web.site import Site

PLACES = """Object.fromEntries([...document.querySelectorAll('main [id]')]
  .filter((each) => each.checkVisibility() && !each.closest('#captions, details'))
  .map((each) => [each.id, each.getBoundingClientRect().top + scrollY]))"""


async def test_a_picture_is_made_of_every_state(site: Site, browser: Any, tmp_path: Path) -> None:
    await take(browser, site.address, tmp_path)
    expected = {f"{screen}-{scheme}-{state}.png" for screen in SCREENS for scheme in SCHEMES for state in STATES}
    assert set(os.listdir(tmp_path)) == expected


@pytest.mark.parametrize("screen", SCREENS)
async def test_nothing_lies_outside_and_nothing_jumps(site: Site, browser: Any, screen: str) -> None:
    width, height = SCREENS[screen]
    context = await browser.new_context(viewport={"width": width, "height": height})
    page = await context.new_page()
    before = None
    async for state in states(page, site.address):
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, state
        if state in ("waiting", "speaking", "done"):
            places = await page.evaluate(PLACES)
            assert before in (None, places), state
            before = places
    assert before
    await context.close()
