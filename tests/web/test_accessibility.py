"""Accessibility: axe reports no violations, and every control works by keyboard."""

from typing import Any

import pytest

from tests.web.page_controls import open_advanced
from tests.web.page_status import wait_for_status
from tests.web.site import Site

TEXT = "One two three. Four five six seven. " * 10


async def check_accessibility(page: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.async_playwright", reason="axe is not installed")
    results = await axe.Axe().run(page, options={"resultTypes": ["violations"]})
    assert results.violations_count == 0, results.generate_report()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
async def test_page_has_no_axe_violations_in_any_state(site: Site, page: Any, scheme: str, width: int) -> None:
    await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    await page.set_viewport_size({"width": width, "height": 800})
    await page.goto(site.address)
    await wait_for_status(page, "Ready.")
    for summary in await page.locator("summary").all():
        await summary.click()
    await check_accessibility(page)
    await page.get_by_label("Text to speak").fill(TEXT)
    await page.get_by_role("button", name="Speak", exact=True).click()
    await page.locator("#captions .current").wait_for()
    await page.get_by_role("button", name="Pause", exact=True).click()
    await wait_for_status(page, "Paused.")
    await check_accessibility(page)
    await page.get_by_role("button", name="Stop", exact=True).click()
    await wait_for_status(page, "words were heard.")
    await check_accessibility(page)
    await page.get_by_label("Text to speak").fill("One explode.")
    await page.get_by_role("button", name="Speak", exact=True).click()
    await page.locator("#status.error").wait_for()
    await check_accessibility(page)


async def test_every_control_is_reachable_by_keyboard(site: Site, page: Any) -> None:
    await page.goto(site.address)
    await wait_for_status(page, "Ready.")
    # The arrow keys reach the other radio buttons of a group.
    usable = "a, button:enabled, input:enabled:not([type=radio]:not(:checked)), select:enabled, textarea, summary"
    every = await page.locator(usable).evaluate_all("all => all.filter(each => each.checkVisibility()).length")
    reached = set()
    for _ in range(2 * every):
        await page.keyboard.press("Tab")
        reached.add(await page.evaluate(f"[...document.querySelectorAll('{usable}')].indexOf(document.activeElement)"))
    assert len(reached - {-1}) == every


async def test_focused_controls_show_an_outline(site: Site, page: Any) -> None:
    await page.goto(site.address)
    await wait_for_status(page, "Ready.")
    await open_advanced(page)
    for name in ("#text", "#speak", "#volume", "#llm", "#voice :checked", "#speed", "#seed", "#format"):
        await page.locator(name).focus()
        await page.keyboard.press("Shift+Tab")
        await page.keyboard.press("Tab")
        outline = await page.locator(name).evaluate("each => getComputedStyle(each).outlineStyle")
        assert outline == "solid", name
