"""The page of 30 lines as it is served by `python -m http.server`, in real Chromium."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

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


def test_it_has_30_lines() -> None:
    assert len((ROOT / PAGE).read_text().splitlines()) <= 30


async def test_it_says_what_is_typed(site: str, page: Any, scripted: ScriptedServer) -> None:
    await page.add_init_script(LOUDEST)
    await page.goto(f"{site}/{PAGE}?server={scripted.url}")
    await page.get_by_label("Say").fill("One two three. Four five six seven eight.")
    await page.get_by_role("button", name="Speak").click()
    await page.get_by_text("You heard: One two three. Four five six seven eight.").wait_for()
    assert scripted.texts() == "One two three. Four five six seven eight."
    assert await page.evaluate("window.loudest") > 0.1


async def test_stop_tells_what_was_heard(site: str, page: Any, scripted: ScriptedServer) -> None:
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


async def test_a_server_that_is_not_there_is_told(site: str, page: Any) -> None:
    await page.goto(f"{site}/{PAGE}?server=ws://127.0.0.1:9")
    await page.get_by_role("button", name="Speak").click()
    await page.get_by_text("ws://127.0.0.1:9").wait_for()
    page.console_errors.clear()  # the browser's own, of a connection that was refused
