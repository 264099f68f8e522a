"""A real server with a fake model for voice tests; and the steps of a user of the page."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import aiohttp

from sayline_tts.engine.models.model import Model
from sayline_tts.engine.segment import Segment
from sayline_tts.engine.text.chunk import Word
from sayline_tts.server.access.keys import KeyFile
from sayline_tts.server.access.limits import Limits
from sayline_tts.server.app import make_app
from sayline_tts.server.settings import Settings
from tests.engine.sounds import speech, wav
from tests.server.fakes import FakeEngine, FakeRunner
from tests.server.stream_client import serving
from tests.server.voice_server import FakeCloningModel, form
from tests.web.page_status import wait_for_status

RECORDING = wav(speech(6))
FOCUSED_NAME = """(() => {
    const { activeElement: element } = document;
    return element.getAttribute('aria-label') ?? element.labels?.[0]?.textContent.trim() ?? element.textContent.trim();
})()"""


class FakeSpeakingModel(FakeCloningModel):
    """Records the texts that it speaks."""

    def __init__(self) -> None:
        super().__init__()
        self.spoken: list[str] = []

    def segment(
        self, text: str, words: Sequence[Word] = (), lookahead_words: int = 0, continues: bool = False
    ) -> Segment:
        self.spoken.append(text)
        return super().segment(text, words, lookahead_words, continues)


@dataclass
class PageServer:
    address: str
    model: FakeSpeakingModel
    runner: FakeRunner
    keys: KeyFile
    secrets: dict[str, str]  # by key name


@asynccontextmanager
async def page_server(
    folder: Path, keys: dict[str, Limits] | None = None, real: Model | None = None, **settings: Any
) -> AsyncIterator[PageServer]:
    """Run a server. `real`: a model that does the cloning; the fake engine speaks in any case."""
    loaded = Settings.load(data=str(folder), keys_file=str(folder / "keys.json"), **settings)
    file, model, engine = KeyFile(loaded.keys_path), FakeSpeakingModel(), FakeEngine()
    secrets = {name: file.add(name, limits) for name, limits in (keys or {}).items()}
    engine.model = real or cast(Model, model)
    try:
        async with serving(await make_app(loaded, engine.model, engine)) as address:
            yield PageServer(f"http://{address}/", model, engine.runner, file, secrets)
    finally:
        model.may_clone.set()
        engine.runner.may_step.set()


async def open_page(page: Any, address: str) -> None:
    await page.goto(address)
    await wait_for_status(page, "Ready.")


async def open_panel(page: Any, server: PageServer) -> None:
    """Open the page and its voice cloning panel."""
    await open_page(page, server.address)
    await page.get_by_text("Clone a voice").click()


async def choose_file(page: Any, data: bytes = RECORDING, name: str = "me.wav") -> None:
    """Choose a file, and wait until the page has decoded it."""
    chooser = page.get_by_label("Choose a file")
    await chooser.set_input_files({"name": name, "mimeType": "", "buffer": data})
    await chooser.evaluate("async (input) => { while (input.value) await new Promise(requestAnimationFrame); }")


async def give_consent(page: Any) -> None:
    await page.get_by_label("The speaker has agreed").check()


async def submit(page: Any) -> None:
    await page.get_by_role("button", name="Create the voice").click()


async def wait_for_message(page: Any, text: str, error: bool = False) -> None:
    """Wait until the cloning panel shows this text, as an error or not."""
    message = "#clone-message.error" if error else "#clone-message:not(.error)"
    await page.locator(message, has_text=text).wait_for()


async def focused_name(page: Any) -> str:
    """The accessible name of the focused element."""
    return str(await page.evaluate(FOCUSED_NAME))


async def expect_http_error(page: Any, code: int) -> None:
    """Assert that the console has the browser's line about this HTTP error, and nothing else."""
    assert [f"{code}" in error for error in page.console_errors] == [True]
    page.console_errors.clear()


async def clone_voice(server: PageServer, name: str, key: str = "") -> str:
    """Clone a voice over HTTP and return its id."""
    headers = {"Authorization": f"Bearer {server.secrets[key]}"} if key else {}
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"{server.address}v1/voices", data=form(file=RECORDING, name=name), headers=headers) as answer,
    ):
        assert answer.status == 201
        return str((await answer.json())["id"])
