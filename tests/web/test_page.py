"""The page in real Chromium. Skipped, with the reason, where there is none."""

import mimetypes
import os
import shutil
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from tests.clients.scripted import READY, ScriptedServer

playwright_api = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
CHROMIUM = os.environ.get("SAYLINE_TEST_CHROMIUM") or shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

ROOT = Path(__file__).parents[2]
ARGUMENTS = [
    "--no-sandbox",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
TEXT = "One two three. Four five six seven."


def answer(request: Request) -> Response | None:
    """The files, as the server would give them."""
    path = request.path.split("?")[0]
    if path == "/healthz":
        return respond(b"{}", "application/json")
    file = ROOT / ("web/index.html" if path == "/" else path.lstrip("/"))
    if (not path.startswith(("/web/", "/clients/js/")) and path != "/") or not file.is_file():
        return None
    return respond(file.read_bytes(), mimetypes.guess_type(file)[0] or "application/octet-stream")


def respond(body: bytes, content_type: str) -> Response:
    headers = Headers(
        {
            "Content-Type": content_type,
            "Content-Length": str(len(body)),
            "Content-Security-Policy": "default-src 'self'",
            "Connection": "close",
        }
    )
    return Response(HTTPStatus.OK, "OK", headers, body)


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        server.answer_http = answer
        yield server


@pytest.fixture
async def browser() -> AsyncIterator[Any]:
    async with playwright_api.async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        await chromium.close()


@pytest.fixture
async def page(browser: Any) -> AsyncIterator[Any]:
    """Fails the test afterwards when the console had anything to complain about."""
    page = await browser.new_page()
    page.set_default_timeout(15_000)
    complaints: list[str] = []
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.complaints = complaints
    yield page
    assert complaints == []


def address(scripted: ScriptedServer) -> str:
    return scripted.url.replace("ws:", "http:") + "/"


async def status(page: Any, text: str) -> None:
    await page.locator("#status", has_text=text).wait_for()


async def test_the_page_speaks_what_is_written(scripted: ScriptedServer, page: Any) -> None:
    await page.goto(address(scripted))
    await status(page, "Ready.")
    assert await page.locator("#voice option").all_text_contents() == READY["voices"]
    assert await page.get_by_label("Voice").input_value() == "slt"
    await page.get_by_label("Text to speak").fill(TEXT)
    await page.get_by_label("Voice").select_option("awb")
    await page.get_by_role("button", name="Speak").click()
    await status(page, "Speaking…")
    await status(page, "Done.")
    assert await page.locator("#speech").text_content() == "0.6"
    assert int(await page.locator("#first-audio").text_content()) >= 0
    assert await page.locator("#heard").text_content() == TEXT
    assert scripted.received[0]["voice"] == "awb"
    assert scripted.texts() == TEXT


async def test_text_written_like_an_llm_goes_out_a_word_at_a_time(scripted: ScriptedServer, page: Any) -> None:
    await page.goto(address(scripted))
    await page.get_by_label("Text to speak").fill(TEXT)
    await page.get_by_role("switch", name="Write like an LLM").click()
    await page.get_by_role("button", name="Speak").click()
    await scripted.until(lambda received: any(message["type"] == "text" for message in received))
    assert not any(message["type"] == "end" for message in scripted.received)
    await status(page, "Speaking…")
    await status(page, "Done.")
    words = [message["text"] for message in scripted.received if message["type"] == "text"]
    assert (len(words), "".join(words)) == (7, TEXT)


async def test_stop_is_silent_and_the_next_speak_works(scripted: ScriptedServer, page: Any) -> None:
    await page.goto(address(scripted))
    await page.get_by_label("Text to speak").fill("word " * 300 + "end.")
    await page.get_by_role("button", name="Speak").click()
    await status(page, "Speaking…")
    await page.get_by_role("button", name="Stop").click()
    await status(page, "Stopped.")
    await page.get_by_label("Text to speak").fill("Again.")
    await page.get_by_role("button", name="Speak").click()
    await status(page, "Done.")


async def test_an_error_of_the_server_is_shown_in_its_words(scripted: ScriptedServer, page: Any) -> None:
    await page.goto(address(scripted))
    await page.get_by_label("Text to speak").fill("One refuse two three.")
    await page.get_by_role("button", name="Speak").click()
    await status(page, "too much text waits")
    await page.get_by_role("button", name="Speak").wait_for()


async def test_who_waits_sees_the_place_in_line(scripted: ScriptedServer, page: Any) -> None:
    scripted.places = [3]
    scripted.hold.clear()
    await page.goto(address(scripted))
    await page.get_by_role("button", name="Speak").click()
    await status(page, "You are 3rd in line")
    scripted.hold.set()
    await status(page, "Speaking…")


async def test_the_page_tells_the_server_what_was_heard(scripted: ScriptedServer, page: Any) -> None:
    await page.goto(address(scripted))
    await page.get_by_label("Text to speak").fill("One two. " * 20)
    await page.get_by_role("switch", name="Write like an LLM").click()
    await page.get_by_role("button", name="Speak").click()
    await scripted.until(lambda received: any(message["type"] == "ack" for message in received))
    assert next(message for message in scripted.received if message["type"] == "ack")["played_ms"] >= 1000


async def test_nothing_written_is_told_in_words(scripted: ScriptedServer, page: Any) -> None:
    await page.goto(address(scripted))
    await page.get_by_label("Text to speak").fill("  ")
    await page.get_by_role("button", name="Speak").click()
    await status(page, "Write something first.")
    assert scripted.received == []


async def test_a_server_that_goes_away_and_comes_back_is_told_in_words(scripted: ScriptedServer, page: Any) -> None:
    await page.goto(address(scripted))
    await status(page, "Ready.")
    await scripted.connections[0].close(1012, "the server restarts")
    await status(page, "the server restarts")
    await page.get_by_role("button", name="Connect").click()
    await status(page, "Ready.")
    await page.get_by_role("button", name="Speak").wait_for()


async def test_a_connection_that_breaks_is_replaced_and_the_speech_goes_on(scripted: ScriptedServer, page: Any) -> None:
    await page.goto(address(scripted))
    await page.get_by_label("Text to speak").fill("One two hangup three. Four 🙂 snap five.")
    await page.get_by_role("button", name="Speak").click()
    await status(page, "Done.")
    assert await page.locator("#speech").text_content() == "0.5"
    assert await page.locator("#heard").text_content() == "One two hangup three. Four 🙂 snap five."
    assert len(scripted.connections) > 1


async def test_a_server_with_a_key_asks_for_it(scripted: ScriptedServer, page: Any) -> None:
    scripted.api_key = "secret"
    await page.goto(address(scripted))
    await status(page, "API key")
    await page.get_by_label("API key").fill("secret")
    await page.get_by_role("button", name="Connect").click()
    await status(page, "Ready.")
    assert ["Authentication failed" in complaint for complaint in page.complaints] == [True]  # the browser's own line
    page.complaints.clear()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("name", "width", "height"), [("phone", 360, 740), ("desktop", 1280, 800)])
async def test_the_page_fits_its_screen(
    scripted: ScriptedServer, browser: Any, tmp_path: Path, scheme: str, name: str, width: int, height: int
) -> None:
    context = await browser.new_context(color_scheme=scheme, viewport={"width": width, "height": height})
    page = await context.new_page()
    await page.goto(address(scripted))
    await status(page, "Ready.")
    await page.get_by_role("button", name="Speak").click()
    await status(page, "Speaking…")
    folder = Path(os.environ.get("SAYLINE_TEST_SCREENSHOTS", tmp_path))
    await page.screenshot(path=folder / f"{name}-{scheme}.png", full_page=True)
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    await context.close()
