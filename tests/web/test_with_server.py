"""The page with the real server and its embedded voice: downloads equal the played audio."""

import asyncio
import io
import shutil
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from sayline_tts.engine.models.model import Model
from sayline_tts.server.app import make_app
from sayline_tts.server.settings import Settings
from tests.server.stream_client import serving
from tests.web.page_controls import open_advanced
from tests.web.page_status import wait_for_status

TEXT = "Hello there. How are you?"
HEADER_BYTES = 16
TIMEOUT_MS = 60_000  # a real model on a busy machine


@pytest_asyncio.fixture(loop_scope="session")
async def address(model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[str]:
    monkeypatch.setenv("SAYLINE_DATA", str(tmp_path))
    async with serving(await make_app(Settings(), model)) as where:
        yield f"http://{where}/"


def collect_audio(page: Any) -> list[bytes]:
    """A list that collects the audio received over the page's WebSockets from now on."""
    pieces: list[bytes] = []

    def collect(payload: bytes | str) -> None:
        if isinstance(payload, bytes):  # binary frames are audio
            kind, id_bytes = payload[:2]
            assert kind == 1
            pieces.append(payload[HEADER_BYTES + id_bytes :])

    page.on("websocket", lambda socket: socket.on("framereceived", collect))
    return pieces


async def test_downloaded_wav_equals_the_played_audio(address: str, page: Any) -> None:
    page.set_default_timeout(TIMEOUT_MS)
    received = collect_audio(page)
    await page.goto(address)
    await wait_for_status(page, "Ready.")
    await open_advanced(page)
    await page.get_by_label("Audio format").select_option("pcm")
    await page.get_by_label("Temperature").fill("0.8")
    await page.get_by_label("Text to speak").fill(TEXT)
    await page.get_by_role("button", name="Speak", exact=True).click()
    await wait_for_status(page, "Done.")
    async with page.expect_download() as coming:
        await page.get_by_role("button", name="WAV").click()
    download = await coming.value
    with wave.open(io.BytesIO((await download.path()).read_bytes())) as file:
        assert file.getframerate() == 24_000
        saved = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    spoken = np.frombuffer(b"".join(received), np.int16)
    assert len(spoken) > 12_000
    assert len(saved) == len(spoken)
    assert np.abs(saved.astype(int) - spoken).max() <= 1  # the two paths round differently
    assert np.abs(spoken).max() > 1_000


@pytest.mark.parametrize(("name", "magic"), [("Opus", b"OggS"), ("MP3", b"\xff")])
async def test_downloads_have_the_requested_format(address: str, page: Any, name: str, magic: bytes) -> None:
    page.set_default_timeout(TIMEOUT_MS)
    await page.goto(address)
    await wait_for_status(page, "Ready.")
    await page.get_by_label("Text to speak").fill("Hello.")
    async with page.expect_download() as coming:
        await page.get_by_role("button", name=name).click()
    download = await coming.value
    assert download.suggested_filename == f"hello.{name.lower()}"
    assert (await download.path()).read_bytes().startswith(magic)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_sample_downloads_a_file(address: str, page: Any, tmp_path: Path) -> None:
    page.set_default_timeout(TIMEOUT_MS)
    await page.goto(address)
    await wait_for_status(page, "Ready.")
    await page.get_by_label("Text to speak").fill("It's me.")
    await page.get_by_role("button", name="curl").click()
    code = await page.locator("#code").text_content()
    process = await asyncio.create_subprocess_exec("sh", "-c", code, cwd=tmp_path, stderr=asyncio.subprocess.DEVNULL)
    assert await process.wait() == 0
    with wave.open(str(tmp_path / "speech.wav")) as file:
        assert file.getframerate() == 24_000


async def test_page_connects_with_a_token_instead_of_the_key(model: Model, page: Any, tmp_path: Path) -> None:
    minted: list[int] = []
    page.set_default_timeout(TIMEOUT_MS)
    page.on("response", lambda response: minted.append(response.status) if "/v1/tokens" in response.url else None)
    async with serving(await make_app(Settings.load(api_key="correct-horse", data=str(tmp_path)), model)) as where:
        await page.goto(f"http://{where}/")
        await wait_for_status(page, "requires an API key")
        for key in ("wrong", "correct-horse"):
            await page.get_by_label("API key").fill(key)
            await page.get_by_role("button", name="Connect").click()
            await wait_for_status(page, "rejected this API key" if key == "wrong" else "Ready.")
    assert minted == [401, 201]
    page.console_errors.clear()  # the browser reports the rejected requests
