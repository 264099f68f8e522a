"""Voice selection in real Chromium with a real server."""

from pathlib import Path
from typing import Any

from sayline_tts.server.access.limits import Limits
from tests.web.page_controls import select_voice, selected_voice, voice_groups, voice_names
from tests.web.page_server import (
    PageServer,
    clone_voice,
    expect_http_error,
    focused_name,
    open_page,
    page_server,
)
from tests.web.page_status import wait_for_status

SAMPLE_TEXT = "Hello, this is how I sound."


async def test_model_voices_are_listed_and_its_default_selected(server: PageServer, page: Any) -> None:
    await open_page(page, server.address)
    assert await voice_names(page) == ["ann", "bob", "eve"]
    assert await selected_voice(page) == "ann"
    assert await page.get_by_role("button", name="Delete this voice").is_disabled()
    assert await voice_groups(page) == []


async def test_preview_speaks_a_sample_in_the_selected_voice(server: PageServer, page: Any) -> None:
    await open_page(page, server.address)
    await select_voice(page, "bob")
    await page.get_by_role("button", name="Preview this voice").click()
    await page.locator("#preview.playing").wait_for()
    await page.get_by_role("button", name="Preview this voice").wait_for()
    assert server.model.spoken == [SAMPLE_TEXT]
    assert server.model.loaded == ["bob"]


async def test_preview_stops_on_second_click_or_other_selection(server: PageServer, page: Any) -> None:
    server.runner.may_step.clear()  # so that the preview does not end
    await open_page(page, server.address)
    for stop in (
        page.get_by_role("button", name="Stop the preview").click,
        lambda: select_voice(page, "bob"),
    ):
        await page.get_by_role("button", name="Preview this voice").click()
        await page.get_by_role("button", name="Stop the preview").wait_for()
        await stop()
        await page.get_by_role("button", name="Preview this voice").wait_for()
    server.runner.may_step.set()


async def test_unavailable_voice_shows_the_servers_message(server: PageServer, page: Any) -> None:
    await open_page(page, server.address)
    await select_voice(page, "eve")
    await page.get_by_role("button", name="Preview this voice").click()
    await wait_for_status(page, "Voice 'eve' cannot be downloaded; see the server's log, and try again later.")
    await page.get_by_role("button", name="Preview this voice").wait_for()


async def test_cloned_voices_are_listed_and_speak(server: PageServer, page: Any) -> None:
    id = await clone_voice(server, "Zoë S.")
    await open_page(page, server.address)
    assert await voice_names(page) == ["Zoë S.", "ann", "bob", "eve"]
    assert await voice_groups(page) == ["Yours", "Built in"]
    assert await selected_voice(page) == "ann"
    await select_voice(page, "Zoë S.")
    await page.get_by_role("button", name="Preview this voice").click()
    await page.get_by_role("button", name="Stop the preview").wait_for()
    await page.get_by_role("button", name="Preview this voice").wait_for()
    assert server.model.loaded == [id]
    await page.get_by_role("button", name="Speak", exact=True).click()
    await wait_for_status(page, "Done.")
    assert len(server.model.spoken) > 1


async def test_cloned_voice_is_deleted_by_keyboard_after_confirmation(server: PageServer, page: Any) -> None:
    await clone_voice(server, "Zoë S.")
    await open_page(page, server.address)
    await select_voice(page, "Zoë S.")
    await page.locator("#voice input:checked").focus()
    for _ in range(2):
        await page.keyboard.press("Tab")
    assert await focused_name(page) == "Delete this voice"
    await page.keyboard.press("Enter")
    await page.get_by_role("dialog", name="Delete the voice “Zoë S.”?").wait_for()
    await page.keyboard.press("Escape")
    assert await focused_name(page) == "Delete this voice"
    assert await voice_names(page) == ["Zoë S.", "ann", "bob", "eve"]
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await wait_for_status(page, "The voice “Zoë S.” was deleted.")
    assert await voice_names(page) == ["ann", "bob", "eve"]
    assert (await selected_voice(page), await page.evaluate("document.activeElement.value")) == ("ann", "ann")
    assert await page.get_by_role("button", name="Delete this voice").is_disabled()


async def test_cancelled_deletion_keeps_the_voice(server: PageServer, page: Any) -> None:
    await clone_voice(server, "Zoë S.")
    await open_page(page, server.address)
    await select_voice(page, "Zoë S.")
    await page.get_by_role("button", name="Delete this voice").click()
    await page.get_by_role("button", name="Cancel").click()
    await page.get_by_role("dialog").wait_for(state="hidden")
    await page.reload()
    await wait_for_status(page, "Ready.")
    assert await voice_names(page) == ["Zoë S.", "ann", "bob", "eve"]


async def test_deleting_a_foreign_voice_is_refused_with_a_reason(tmp_path: Path, page: Any) -> None:
    async with page_server(tmp_path) as keyless:
        await clone_voice(keyless, "Everybody's")
    async with page_server(tmp_path, {"ann": Limits()}) as server:
        await page.goto(server.address)
        await page.get_by_label("API key").fill(server.secrets["ann"])
        await page.get_by_role("button", name="Connect").click()
        await wait_for_status(page, "Ready.")
        page.console_errors.clear()  # of the first attempt, without a key
        await select_voice(page, "Everybody's")
        await page.get_by_role("button", name="Delete this voice").click()
        await page.get_by_role("button", name="Delete", exact=True).click()
        await wait_for_status(page, "This voice was created without a key; delete it without one.")
        assert await voice_names(page) == ["Everybody's", "ann", "bob", "eve"]
        await expect_http_error(page, 403)


async def test_voice_deleted_elsewhere_disappears_from_the_list(server: PageServer, page: Any) -> None:
    id = await clone_voice(server, "Zoë S.")
    await open_page(page, server.address)
    await select_voice(page, "Zoë S.")
    await page.request.delete(f"{server.address}v1/voices/{id}")
    await page.get_by_role("button", name="Delete this voice").click()
    await page.get_by_role("button", name="Delete", exact=True).click()
    await wait_for_status(page, "No cloned voice")
    await page.locator(".voice-card").nth(3).wait_for(state="detached")
    assert await voice_names(page) == ["ann", "bob", "eve"]
    await expect_http_error(page, 404)


async def test_key_lists_only_its_own_voices(tmp_path: Path, page: Any) -> None:
    async with page_server(tmp_path, {"ann": Limits(voices=("bob",)), "eve": Limits()}) as server:
        await clone_voice(server, "Mine", "ann")
        await clone_voice(server, "Hers", "eve")
        await page.goto(server.address)
        await page.get_by_label("API key").fill(server.secrets["ann"])
        await page.get_by_role("button", name="Connect").click()
        await wait_for_status(page, "Ready.")
        page.console_errors.clear()
        assert await voice_names(page) == ["Mine", "bob"]
        assert await selected_voice(page) == "bob"


async def test_selection_is_disabled_without_a_server(tmp_path: Path, page: Any) -> None:
    async with page_server(tmp_path) as server:
        await open_page(page, server.address)
    await page.locator("#voice[aria-disabled=true]").wait_for()
    assert await page.locator("#voice input:enabled").count() == 0
    assert await page.get_by_role("button", name="Preview this voice").is_disabled()
