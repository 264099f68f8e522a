"""What the server refuses is told by the page, in real Chromium, in words."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sayline_tts.server.access.limits import Limits
from sayline_tts.server.http.voices import MAX_UPLOADS_OF_ONE
from tests.web.stage import (
    Stage,
    agree,
    choose,
    expect_refusal,
    focused,
    make_voice,
    open_panel,
    send,
    staged,
    told,
)
from tests.web.watching import status


async def test_what_the_server_cannot_read_is_told_in_its_words(panel: Any) -> None:
    await choose(panel, b"no audio at all")
    await agree(panel)
    await send(panel)
    await told(panel, "The file is damaged, or not audio in a format known here;", fault=True)
    assert await focused(panel) == "Make the voice"
    await expect_refusal(panel, 400)


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [("a/b", 400, "A voice's name has at most 64 letters"), ("Zoë", 409, "There is a voice 'Zoë' already;")],
)
async def test_a_name_that_does_not_do_is_mended_and_sent_again(
    stage: Stage, panel: Any, name: str, code: int, words: str
) -> None:
    await make_voice(stage, "Zoë")
    await choose(panel)
    await panel.get_by_label("Name (optional)").fill(name)
    await agree(panel)
    await send(panel)
    await told(panel, words, fault=True)
    assert await focused(panel) == "Name (optional)"
    await expect_refusal(panel, code)
    await panel.get_by_label("Name (optional)").fill("Another")
    await panel.keyboard.press("Enter")
    await told(panel, "“Another” is made from 6.0 s")


async def test_a_file_that_is_too_large_is_told_in_words(tmp_path: Path, page: Any) -> None:
    async with staged(tmp_path, max_upload_mb=1) as stage:
        await open_panel(page, stage)
        await choose(page, bytes(5_000_000), "me.amr")
        await agree(page)
        await send(page)
        await told(page, "That is larger than 1048576 bytes; 30 s of speech are enough", fault=True)
        await expect_refusal(page, 413)


async def test_a_server_that_makes_as_many_voices_as_it_can_says_when_to_come_back(stage: Stage, panel: Any) -> None:
    stage.model.may_clone.clear()
    making = [asyncio.create_task(make_voice(stage, f"Other {n}")) for n in range(MAX_UPLOADS_OF_ONE)]
    await asyncio.to_thread(stage.model.cloning.wait, 30)
    await choose(panel)
    await agree(panel)
    await send(panel)
    await told(panel, "As many voices are being made as this machine can; try again. Try again in 5 s.", fault=True)
    await expect_refusal(panel, 503)
    stage.model.may_clone.set()
    await asyncio.gather(*making)
    await send(panel)
    await told(panel, "is made from 6.0 s")


async def test_a_full_shelf_is_told_in_words(tmp_path: Path, page: Any) -> None:
    async with staged(tmp_path, max_stored_voices=1) as stage:
        await make_voice(stage, "Zoë")
        await open_panel(page, stage)
        await choose(page)
        await agree(page)
        await send(page)
        await told(page, "1 voices are what may be kept here for one key; delete one first.", fault=True)
        await expect_refusal(page, 409)


async def test_a_key_that_no_longer_holds_is_told_in_words(tmp_path: Path, page: Any) -> None:
    async with staged(tmp_path, {"ann": Limits()}) as stage:
        await page.goto(stage.address)
        await page.get_by_label("API key").fill(stage.secrets["ann"])
        await page.get_by_role("button", name="Connect").click()
        await status(page, "Ready.")
        page.complaints.clear()  # of the first attempt, without a key
        await page.get_by_text("Clone a voice").click()
        await choose(page)
        await agree(page)
        stage.keys.revoke("ann")
        await send(page)
        await told(page, "The server asks for an API key that it knows.", fault=True)
        await expect_refusal(page, 401)


async def test_a_fault_of_the_server_leaves_the_recording_there(stage: Stage, panel: Any) -> None:
    stage.model.fault = RuntimeError("no memory")
    await choose(panel)
    await agree(panel)
    await send(panel)
    await told(panel, "Internal error.", fault=True)
    await expect_refusal(panel, 500)
    stage.model.fault = None
    await send(panel)
    await told(panel, "is made from 6.0 s")


async def test_a_server_that_is_gone_is_told_in_words(tmp_path: Path, page: Any) -> None:
    async with staged(tmp_path) as stage:
        await open_panel(page, stage)
    await choose(page)
    await agree(page)
    await send(page)
    await told(page, "The connection broke while the recording was sent.", fault=True)
    page.complaints.clear()
