"""The page in every state on every screen: nothing is cut off or shifts, what matters is in view, axe finds nothing."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from tests.web.screenshots import STATES, VIEWS, visit_states
from tests.web.site import Site
from tests.web.test_accessibility import check_accessibility

IN_VIEW = """[...document.querySelectorAll('#voice, #script, #status, #speak, #first-audio, .wave')].filter((each) => {
  const { top, bottom } = each.getBoundingClientRect();
  return top < 0 || bottom > innerHeight;
}).map((each) => each.id)"""
POSITIONS = """Object.fromEntries([...document.querySelectorAll('main [id]')]
  .filter((each) => each.checkVisibility() && !each.closest('#captions, details'))
  .map((each) => [each.id, each.getBoundingClientRect().top + scrollY]))"""


class Layout:
    """Checks that pages fit their screens, and that nothing moves while they speak."""

    def __init__(self) -> None:
        self.positions: dict[Any, dict[str, float]] = {}

    async def check(self, page: Any, state: str) -> None:
        screen = f"{state} at {page.viewport_size}"
        assert await page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"], screen
        await check_accessibility(page)
        if state in ("ready", "speaking", "done"):
            assert await page.evaluate(IN_VIEW) == [], screen
            positions = await page.evaluate(POSITIONS)
            first = self.positions.setdefault(page, positions)
            assert positions == pytest.approx(first, abs=1), screen  # a pixel is rounding


@pytest.mark.slow
async def test_layout_fits_every_screen_and_does_not_shift(site: Site, browser: Any, tmp_path: Path) -> None:
    layout = Layout()
    visits = (visit_states(browser, site.address, tmp_path, *view, layout.check) for view in VIEWS)
    await asyncio.gather(*visits)  # they wait for speech most of the time
    assert all(layout.positions.values())
    assert len(layout.positions) == len(VIEWS)
    expected = {f"{screen}-{scheme}-{state}.png" for screen, scheme in VIEWS for state in STATES}
    assert set(os.listdir(tmp_path)) == expected
