"""What axe finds wrong for who sees little, hears by a screen reader or has no mouse: nothing."""

from typing import Any

import pytest

from tests.web.site import Site
from tests.web.watching import status

TEXT = "One two three. Four five six seven. " * 10


async def check(page: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.async_playwright", reason="axe is not installed")
    results = await axe.Axe().run(page, options={"resultTypes": ["violations"]})
    assert results.violations_count == 0, results.generate_report()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
async def test_nothing_is_wrong_while_it_waits_speaks_holds_and_fails(
    site: Site, page: Any, scheme: str, width: int
) -> None:
    await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    await page.set_viewport_size({"width": width, "height": 800})
    await page.goto(site.address)
    await status(page, "Ready.")
    for summary in await page.locator("summary").all():
        await summary.click()
    await check(page)
    await page.get_by_label("Text to speak").fill(TEXT)
    await page.get_by_role("button", name="Speak", exact=True).click()
    await page.locator("#captions .now").wait_for()
    await page.get_by_role("button", name="Pause").click()
    await status(page, "Paused.")
    await check(page)
    await page.get_by_role("button", name="Stop", exact=True).click()
    await status(page, "words had been heard.")
    await check(page)
    await page.get_by_label("Text to speak").fill("One explode.")
    await page.get_by_role("button", name="Speak", exact=True).click()
    await page.locator("#status.fault").wait_for()
    await check(page)


async def test_everything_can_be_reached_by_the_keyboard(site: Site, page: Any) -> None:
    await page.goto(site.address)
    await status(page, "Ready.")
    usable = "button:enabled, input:enabled, select:enabled, textarea, summary"
    every = await page.locator(usable).evaluate_all("all => all.filter(each => each.checkVisibility()).length")
    reached = set()
    for _ in range(2 * every):
        await page.keyboard.press("Tab")
        reached.add(await page.evaluate(f"[...document.querySelectorAll('{usable}')].indexOf(document.activeElement)"))
    assert len(reached - {-1}) == every


async def test_a_focused_control_shows_a_ring(site: Site, page: Any) -> None:
    await page.goto(site.address)
    await status(page, "Ready.")
    for name in ("#text", "#speak", "#volume", "#llm", "#voice", "#speed", "#seed", "#format"):
        await page.locator(name).focus()
        await page.keyboard.press("Shift+Tab")
        await page.keyboard.press("Tab")
        outline = await page.locator(name).evaluate("each => getComputedStyle(each).outlineStyle")
        assert outline == "solid", name
