"""A real server with a model that speaks and clones at once, and browsers with the microphone that a test wants."""

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import aiohttp
import numpy as np
import pytest

from sayline_tts.engine.models.model import Model
from sayline_tts.engine.segment import Segment
from sayline_tts.engine.text.chunk import Word
from sayline_tts.server.access.keys import KeyFile
from sayline_tts.server.access.limits import Limits
from sayline_tts.server.app import make_app
from sayline_tts.server.settings import Settings
from tests.engine.sounds import speech, wav
from tests.server.cloners import CloningModel, form
from tests.server.fakes import FakeEngine, FakeRunner
from tests.server.peer import running
from tests.web.site import ARGUMENTS, CHROMIUM
from tests.web.watching import PATIENCE_MS, complaints, status

AUDIO = wav(speech(6))
MICROPHONE_RATE_HZ = 48_000
ASKS_NOBODY = "--use-fake-ui-for-media-stream"
FAKES_IT = "--use-fake-device-for-media-stream"
NAME_OF_FOCUSED = """(() => {
    const { activeElement: element } = document;
    return element.getAttribute('aria-label') ?? element.labels?.[0]?.textContent.trim() ?? element.textContent.trim();
})()"""


class TalkingModel(CloningModel):
    """Remembers what it was to say."""

    def __init__(self) -> None:
        super().__init__()
        self.spoken: list[str] = []

    def segment(self, text: str, words: Sequence[Word] = ()) -> Segment:
        self.spoken.append(text)
        return super().segment(text, words)


@dataclass
class Stage:
    address: str
    model: TalkingModel
    runner: FakeRunner
    keys: KeyFile
    secrets: dict[str, str]  # by the names of the keys


@asynccontextmanager
async def staged(
    folder: Path, keys: dict[str, Limits] | None = None, real: Model | None = None, **more: Any
) -> AsyncIterator[Stage]:
    """`real`: a model that clones by itself; what speaks is the fake one all the same."""
    settings = Settings.load(data=str(folder), keys_file=str(folder / "keys.json"), **more)
    file, model, engine = KeyFile(settings.keys_path), TalkingModel(), FakeEngine()
    secrets = {name: file.add(name, limits) for name, limits in (keys or {}).items()}
    engine.model = real or cast(Model, model)
    try:
        async with running(await make_app(settings, engine.model, engine)) as address:
            yield Stage(f"http://{address}/", model, engine.runner, file, secrets)
    finally:
        model.may_clone.set()
        engine.runner.may_step.set()


@asynccontextmanager
async def browsing(*more: str, without: tuple[str, ...] = (), sound: np.ndarray | None = None) -> AsyncIterator[Any]:
    """A page that has not gone anywhere. `sound` at 48 kHz is what its microphone hears, again and again."""
    api = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    arguments = [*(each for each in ARGUMENTS if each not in without), *more]
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        if sound is not None:
            file.write(wav(sound, MICROPHONE_RATE_HZ))
            file.flush()
            arguments.append(f"--use-file-for-fake-audio-capture={file.name}")
        async with api.async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
            page = await browser.new_page()
            page.set_default_timeout(PATIENCE_MS)
            page.complaints = complaints(page)
            yield page
            await browser.close()
            assert page.complaints == []


async def enter(page: Any, address: str) -> None:
    await page.goto(address)
    await status(page, "Ready.")


async def open_panel(page: Any, stage: Stage) -> None:
    """Where voices are cloned."""
    await enter(page, stage.address)
    await page.get_by_text("Clone a voice").click()


async def choose(page: Any, data: bytes = AUDIO, name: str = "me.wav") -> None:
    await page.get_by_label("Choose a file").set_input_files({"name": name, "mimeType": "", "buffer": data})


async def agree(page: Any) -> None:
    await page.get_by_label("The speaker has agreed").check()


async def send(page: Any) -> None:
    await page.get_by_role("button", name="Make the voice").click()


async def voices_of(page: Any) -> list[str]:
    return list(await page.locator("#voice option").all_text_contents())


async def told(page: Any, words: str, fault: bool = False) -> None:
    """By the panel where voices are cloned."""
    await page.locator("#clone-words.fault" if fault else "#clone-words:not(.fault)", has_text=words).wait_for()


async def focused(page: Any) -> str:
    """What a screen reader says of it."""
    return str(await page.evaluate(NAME_OF_FOCUSED))


async def expect_refusal(page: Any, code: int) -> None:
    """The browser's own line about it; the page has told it in words."""
    assert [f"{code}" in complaint for complaint in page.complaints] == [True]
    page.complaints.clear()


async def make_voice(stage: Stage, name: str, key: str = "") -> str:
    """As another program would, not the page; gives its id."""
    headers = {"Authorization": f"Bearer {stage.secrets[key]}"} if key else {}
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"{stage.address}v1/voices", data=form(file=AUDIO, name=name), headers=headers) as answer,
    ):
        assert answer.status == 201
        return str((await answer.json())["id"])
