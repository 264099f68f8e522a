"""What a page says of itself: its status line, and what the browser's console has to complain about."""

from typing import Any

PATIENCE_MS = 20_000  # a busy machine is slow; nothing here is decided by it


def complaints(page: Any) -> list[str]:
    """From now on."""
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: told.append(str(error)))
    return told


async def status(page: Any, text: str) -> None:
    """Until the page says so."""
    try:
        await page.locator("#status", has_text=text).wait_for()
    except Exception as error:
        told = await page.locator("#status").text_content()
        raise AssertionError(f"instead of {text!r} it says {told!r}") from error
