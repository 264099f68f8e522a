"""The page's voices and settings, as a user operates them."""

from typing import Any


async def select_voice(page: Any, name: str) -> None:
    await page.locator(".voice-card", has=page.get_by_text(name, exact=True)).locator("input").check()


async def selected_voice(page: Any) -> str:
    """The id of the selected voice."""
    return str(await page.locator("#voice input:checked").input_value())


async def selected_voice_name(page: Any) -> str:
    return str(await page.locator(".voice-card:has(:checked) b").text_content())


async def voice_names(page: Any) -> list[str]:
    return list(await page.locator(".voice-card b").all_text_contents())


async def voice_groups(page: Any) -> list[str]:
    return list(await page.locator(".voice-group").all_text_contents())


async def open_advanced(page: Any) -> None:
    """Show temperature, decode steps, seed and format."""
    await page.get_by_text("Advanced").click()
