"""Takes screenshots of the page for review: `python -m tests.web.screenshots FOLDER`.

Phone and desktop, light and dark, in every state of `states`. The embedded voice speaks, in a server of its own.
`--picture FILE.webp` takes the picture of the README instead.
"""

import argparse
import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import product
from pathlib import Path
from typing import Any

SCREENS = {"phone": (390, 844), "desktop": (1280, 800)}
SCHEMES = ("light", "dark")
Check = Callable[[Any, str], Awaitable[None]]  # of a page in a state
TIMEOUT_MS = 120_000  # a real model on a busy machine
VIEWS = tuple(product(SCREENS, SCHEMES))
STATES = (
    "ready", "speaking", "done", "writing", "stopped", "together", "cloning", "advanced", "skipped", "too-long", "line",
    "full", "restarted", "key", "unreachable",
)  # fmt: skip
SPOKEN_IN_LLM_TEMPO = (
    "Thanks for calling, this is the front desk. I found your table for two on Friday at half past seven. "
    "Would you like to sit by the window, or outside on the terrace?"
)
MORE = (
    " The terrace is heated, and there is live music from nine o'clock on. If you come by car, please use the entrance "
    "behind the theatre, because the street in front of the house is closed on Fridays. Your table is kept for twenty "
    "minutes. Should you be late, just call this number again, and I will tell the kitchen to wait for you."
)
FULL = {"type": "error", "code": "full", "message": "server full", "final": True, "retry_after_ms": 5000}
README_CAPACITY = 98
QUALITY = 80
MAX_PICTURE_BYTES = 150_000


async def take_screenshots(browser: Any, address: str, folder: Path) -> None:
    for screen, scheme in VIEWS:
        await visit_states(browser, address, folder, screen, scheme)


async def visit_states(
    browser: Any, address: str, folder: Path, screen: str, scheme: str, check: Check | None = None
) -> None:
    """Screenshot the page in every state, after the check: what is seen at first, and on phones all of it too."""
    width, height = SCREENS[screen]
    context = await browser.new_context(
        color_scheme=scheme, reduced_motion="reduce", viewport={"width": width, "height": height}
    )
    page = await context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    async for state in states(page, address):
        if check:
            await check(page, state)
        await page.screenshot(path=folder / f"{screen}-{scheme}-{state}.png", full_page=screen == "desktop")
    await context.close()


async def states(page: Any, address: str) -> AsyncIterator[str]:
    """Bring the page into one state after the other, and yield the name of each."""
    server = ServerSimulation()
    await page.route_web_socket("**/v1/stream", server.accept)
    await page.goto(address)
    await wait_for_status(page, "Ready.")
    yield "ready"
    async for state in speaking_states(page):
        yield state
    await page.locator("#voices summary").click()
    yield "cloning"
    await page.locator("#voices summary").click()
    await page.locator("#advanced summary").click()
    yield "advanced"
    await page.locator("#advanced summary").click()
    async for state in trouble(page, server):
        yield state


async def speaking_states(page: Any) -> AsyncIterator[str]:
    speak = page.get_by_role("button", name="Speak", exact=True)
    await speak.click()
    await page.locator("#captions .played").nth(7).wait_for()
    yield "speaking"
    await wait_for_status(page, "Done.")
    yield "done"
    await page.get_by_label("Text to speak").fill(SPOKEN_IN_LLM_TEMPO + MORE)
    await page.locator("#llm").check()
    await speak.click()
    await page.locator("#captions .played").nth(11).wait_for()
    yield "writing"
    await page.get_by_role("button", name="Stop", exact=True).click()
    await wait_for_status(page, "words were heard.")
    yield "stopped"
    await page.locator("#llm").uncheck()
    await page.get_by_role("button", name="Speak together").click()
    await page.locator(".lane .played").nth(11).wait_for()
    yield "together"
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Speak together").wait_for()
    await page.evaluate("scrollTo(0, 0)")


async def trouble(page: Any, server: "ServerSimulation") -> AsyncIterator[str]:
    """States of a server that refuses or is lost; they are simulated."""
    speak = page.get_by_role("button", name="Speak", exact=True)
    skipped = ["the Thai script was skipped, because this model cannot speak it; use a model of that language"]
    server.answer = [{"type": "done", "seq": 0, "duration_ms": 0, "warnings": skipped}]
    await speak.click()
    await wait_for_status(page, "not all of it was spoken")
    yield "skipped"
    too_long = {"code": "text_limit", "message": "text too long (25000 characters, limit 20000 per request); split it"}
    await page.route("**/generate", lambda route: route.fulfill(status=413, json={"error": too_long}))
    await page.get_by_role("button", name="WAV").click()
    await page.locator("#save-note.error").wait_for()
    yield "too-long"
    server.answer = [{"type": "queued", "seq": 0, "place": 3}]
    await speak.click()
    await wait_for_status(page, "You are 3rd in line")
    yield "line"
    await page.keyboard.press("Escape")
    server.answer = [{**FULL, "seq": 0}]
    await speak.click()
    await wait_for_status(page, "All voices are busy.")
    yield "full"
    await server.socket.close(code=1012, reason="the server stops")
    await wait_for_status(page, "The server restarted.")
    yield "restarted"
    server.is_refusing = True
    await page.route("**/v1/voices", lambda route: route.fulfill(status=401))
    await page.reload()
    await page.get_by_label("API key").wait_for()
    yield "key"
    await page.route("**/healthz", lambda route: route.abort())
    await page.reload()
    await wait_for_status(page, "cannot be reached")
    yield "unreachable"


class ServerSimulation:
    """Stands between the page and its server, and answers every new context with `answer` once it is set."""

    def __init__(self) -> None:
        self.answer: list[dict[str, Any]] | None = None
        self.is_refusing = False
        self.socket: Any = None  # the latest
        self._closing: asyncio.Future[None] | None = None

    def accept(self, socket: Any) -> None:
        self.socket = socket
        if self.is_refusing:
            self._closing = asyncio.ensure_future(socket.close())
            return
        server = socket.connect_to_server()
        socket.on_message(lambda message: self._pass_on(message, socket, server))

    def _pass_on(self, message: str | bytes, socket: Any, server: Any) -> None:
        if self.answer is None:
            server.send(message)
            return
        import msgpack

        content = msgpack.unpackb(message) if isinstance(message, bytes) else json.loads(message)
        if content["type"] == "start":
            for event in self.answer:
                socket.send(json.dumps({**event, "context_id": content["context_id"]}))
        elif content["type"] == "cancel":
            heard = {"generated_ms": 0, "heard_chars": 0, "heard_text": "", "unheard_text": ""}
            last = {"type": "cancelled", "seq": 1, "duration_ms": 0, **heard}
            socket.send(json.dumps({**last, "context_id": content["context_id"]}))


async def wait_for_status(page: Any, text: str) -> None:
    await page.locator("#status", has_text=text).wait_for()


async def take_picture(browser: Any, address: str) -> bytes:
    """The picture of the README, as WebP: the page speaks while the text is being written."""
    context = await browser.new_context(color_scheme="light", viewport={"width": 1280, "height": 800})
    page = await context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    await page.goto(address)
    await wait_for_status(page, "Ready.")
    await page.get_by_label("Text to speak").fill(SPOKEN_IN_LLM_TEMPO)
    await page.locator("#llm").check()
    await page.locator("#rate").fill("20")
    speak = page.get_by_role("button", name="Speak", exact=True)
    await speak.click()  # the first speech warms everything up
    await wait_for_status(page, "Done.")
    await speak.click()
    await page.locator("#captions .played").nth(17).wait_for()
    await page.evaluate("scrollTo(0, 0)")
    png = await page.screenshot(clip={"x": 0, "y": 0, "width": 1280, "height": 1000}, full_page=True)
    await context.close()
    return webp(png)


def webp(png: bytes) -> bytes:
    """Convert a picture; PNG would take several times the space."""
    import av

    with av.open(io.BytesIO(png)) as picture:
        frame = next(picture.decode(video=0))  # type: ignore[union-attr]
    file = io.BytesIO()
    with av.open(file, "w", format="webp") as output:
        stream: Any = output.add_stream("libwebp", options={"quality": str(QUALITY)})
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "bgra"
        output.mux([*stream.encode(frame), *stream.encode(None)])
    data = file.getvalue()
    assert len(data) <= MAX_PICTURE_BYTES, f"the picture has {len(data)} bytes"
    return data


async def main(target: Path, is_picture: bool) -> None:
    from playwright.async_api import async_playwright

    from sayline_tts.engine.checkpoint.checkpoint import find_checkpoint
    from sayline_tts.engine.models.model import Model
    from sayline_tts.server.app import make_app
    from sayline_tts.server.settings import Settings
    from tests.server.stream_client import serving
    from tests.web.site import BROWSER_ARGUMENTS, CHROMIUM

    # The estimate depends on what else this machine does: the picture has that of the README's banner.
    settings = Settings(capacity=README_CAPACITY) if is_picture else Settings()
    app = await make_app(settings, Model.load(find_checkpoint("embedded")))
    async with serving(app) as where, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=BROWSER_ARGUMENTS)
        if is_picture:
            picture = await take_picture(browser, f"http://{where}/")
            await asyncio.to_thread(target.write_bytes, picture)
        else:
            await asyncio.to_thread(target.mkdir, parents=True, exist_ok=True)
            await take_screenshots(browser, f"http://{where}/", target)
        await browser.close()
    print(f"The picture is {target}" if is_picture else f"{len(VIEWS) * len(STATES)} screenshots are in {target}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", type=Path)
    parser.add_argument("--picture", action="store_true")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.target, arguments.picture))
