"""The status line of a page, and the errors on its console."""

from typing import Any

TIMEOUT_MS = 20_000  # generous, for a busy machine


def console_errors(page: Any) -> list[str]:
    """A list that collects errors and warnings from now on."""
    errors: list[str] = []

    def on_message(message: Any) -> None:
        # Some tests stop their server before their page, which still asks for the load every two seconds.
        is_gone = message.text.endswith("net::ERR_CONNECTION_REFUSED")
        if message.type in ("error", "warning") and not is_gone:
            errors.append(message.text)

    page.on("console", on_message)
    page.on("pageerror", lambda error: errors.append(str(error)))
    return errors


async def wait_for_status(page: Any, text: str) -> None:
    """Wait until the status line contains this text."""
    try:
        await page.locator("#status", has_text=text).wait_for()
    except Exception as error:
        shown = await page.locator("#status").text_content()
        raise AssertionError(f"the status is {shown!r}, not {text!r}") from error


async def record_statuses(page: Any) -> None:
    """Collect every text of the status line from now on in the page's global `statuses`."""
    await page.evaluate("""() => {
        const line = document.querySelector('#status');
        window.statuses = [];
        const observer = new MutationObserver(() => window.statuses.push(line.textContent));
        observer.observe(line, { childList: true, characterData: true, subtree: true });
    }""")
