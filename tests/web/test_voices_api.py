"""Errors of the voices API, as the page shows them, in real Chromium."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sayline_tts.server.access.limits import Limits
from sayline_tts.server.http.voices import MAX_UPLOADS_PER_CALLER
from tests.web.page_server import (
    PageServer,
    choose_file,
    clone_voice,
    expect_http_error,
    focused_name,
    give_consent,
    open_panel,
    page_server,
    submit,
    wait_for_message,
)
from tests.web.page_status import wait_for_status


async def test_unreadable_file_shows_the_servers_message(panel: Any) -> None:
    await choose_file(panel, b"no audio at all")
    await give_consent(panel)
    await submit(panel)
    await wait_for_message(panel, "The file is damaged, or not in a supported audio format;", error=True)
    assert await focused_name(panel) == "Create the voice"
    await expect_http_error(panel, 400)


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [("a/b", 400, "Invalid voice name; use at most 64 letters"), ("Zoë", 409, "Voice 'Zoë' already exists;")],
)
async def test_rejected_name_can_be_corrected_and_resubmitted(
    server: PageServer, panel: Any, name: str, code: int, message: str
) -> None:
    await clone_voice(server, "Zoë")
    await choose_file(panel)
    await panel.get_by_label("Name (optional)").fill(name)
    await give_consent(panel)
    await submit(panel)
    await wait_for_message(panel, message, error=True)
    assert await focused_name(panel) == "Name (optional)"
    await expect_http_error(panel, code)
    await panel.get_by_label("Name (optional)").fill("Another")
    await panel.keyboard.press("Enter")
    await wait_for_message(panel, "“Another” was created from 6.0 s")


async def test_oversized_file_is_reported(tmp_path: Path, page: Any) -> None:
    async with page_server(tmp_path, max_upload_mb=1) as server:
        await open_panel(page, server)
        await choose_file(page, bytes(5_000_000), "me.amr")
        await give_consent(page)
        await submit(page)
        await wait_for_message(page, "Upload larger than 1048576 bytes; 30 s of speech are enough", error=True)
        await expect_http_error(page, 413)


async def test_busy_server_is_reported_with_the_retry_time(server: PageServer, panel: Any) -> None:
    server.model.may_clone.clear()
    uploads = [asyncio.create_task(clone_voice(server, f"Other {n}")) for n in range(MAX_UPLOADS_PER_CALLER)]
    await asyncio.to_thread(server.model.cloning.wait, 30)
    await choose_file(panel)
    await give_consent(panel)
    await submit(panel)
    await wait_for_message(panel, "Too many voices are being created; retry in 5 s.", error=True)
    await expect_http_error(panel, 503)
    server.model.may_clone.set()
    await asyncio.gather(*uploads)
    await submit(panel)
    await wait_for_message(panel, "was created from 6.0 s")


async def test_full_voice_store_is_reported(tmp_path: Path, page: Any) -> None:
    async with page_server(tmp_path, max_stored_voices=1) as server:
        await clone_voice(server, "Zoë")
        await open_panel(page, server)
        await choose_file(page)
        await give_consent(page)
        await submit(page)
        await wait_for_message(page, "Voice quota of this key reached (1 voices); delete one first.", error=True)
        await expect_http_error(page, 409)


async def test_revoked_key_is_reported(tmp_path: Path, page: Any) -> None:
    async with page_server(tmp_path, {"ann": Limits()}) as server:
        await page.goto(server.address)
        await page.get_by_label("API key").fill(server.secrets["ann"])
        await page.get_by_role("button", name="Connect").click()
        await wait_for_status(page, "Ready.")
        page.console_errors.clear()  # of the first attempt, without a key
        await page.get_by_text("Clone a voice").click()
        await choose_file(page)
        await give_consent(page)
        server.keys.revoke("ann")
        await submit(page)
        await wait_for_message(page, "The server rejected the API key.", error=True)
        await expect_http_error(page, 401)


async def test_server_failure_keeps_the_recording(server: PageServer, panel: Any) -> None:
    server.model.next_error = RuntimeError("no memory")
    await choose_file(panel)
    await give_consent(panel)
    await submit(panel)
    await wait_for_message(panel, "Internal error.", error=True)
    await expect_http_error(panel, 500)
    server.model.next_error = None
    await submit(panel)
    await wait_for_message(panel, "was created from 6.0 s")


async def test_unreachable_server_is_reported(tmp_path: Path, page: Any) -> None:
    async with page_server(tmp_path) as server:
        await open_panel(page, server)
    await choose_file(page)
    await give_consent(page)
    await submit(page)
    await wait_for_message(page, "The connection broke during the upload.", error=True)
    page.console_errors.clear()
