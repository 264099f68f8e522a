"""The example page, served by `python -m http.server`, in Chromium."""

import threading
from collections.abc import AsyncIterator, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.clients.scripted import ScriptedServer

ROOT = Path(__file__).parents[2]
PAGE = "clients/examples/page.html"
LOUDEST = """(() => {
  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (to, ...rest) {
    if (to instanceof AudioDestinationNode) {
      const analyser = new AnalyserNode(this.context);
      connect.call(this, analyser);
      const samples = new Float32Array(analyser.fftSize);
      window.loudest = 0;
      setInterval(() => {
        analyser.getFloatTimeDomainData(samples);
        window.loudest = samples.reduce((loudest, sample) => Math.max(loudest, Math.abs(sample)), window.loudest);
      }, 20);
    }
    return connect.call(this, to, ...rest);
  };
})()"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(ROOT))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest_asyncio.fixture(loop_scope="session")
async def scripted() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


def test_page_has_30_lines() -> None:
    assert len((ROOT / PAGE).read_text().splitlines()) <= 30


@pytest.mark.asyncio(loop_scope="session")  # that of the shared browser
async def test_page_speaks_the_typed_text(site: str, page: Any, scripted: ScriptedServer) -> None:
    await page.add_init_script(LOUDEST)
    await page.goto(f"{site}/{PAGE}?server={scripted.url}")
    await page.get_by_label("Say").fill("One two three. Four five six seven eight.")
    await page.get_by_role("button", name="Speak").click()
    await page.get_by_text("You heard: One two three. Four five six seven eight.").wait_for()
    assert scripted.texts() == "One two three. Four five six seven eight."
    assert await page.evaluate("window.loudest") > 0.1


@pytest.mark.asyncio(loop_scope="session")  # that of the shared browser
async def test_stop_shows_the_heard_text(site: str, page: Any, scripted: ScriptedServer) -> None:
    text = "One two three. " * 100
    await page.add_init_script(LOUDEST)
    await page.goto(f"{site}/{PAGE}?server={scripted.url}")
    await page.get_by_label("Say").fill(text)
    await page.get_by_role("button", name="Speak").click()
    await page.wait_for_function("window.loudest > 0.1")
    await page.get_by_role("button", name="Stop").click()
    told = page.get_by_text("You heard:")
    await told.wait_for()
    heard = (await told.text_content()).removeprefix("You heard: ")
    assert text.startswith(heard)
    assert len(heard) < len(text) / 2


@pytest.mark.asyncio(loop_scope="session")  # that of the shared browser
async def test_missing_server_is_shown(site: str, page: Any) -> None:
    await page.goto(f"{site}/{PAGE}?server=ws://127.0.0.1:9")
    await page.get_by_role("button", name="Speak").click()
    await page.get_by_text("ws://127.0.0.1:9").wait_for()
    page.console_errors.clear()  # the browser's own, of a connection that was refused
