"""Voice cloning from files in real Chromium; recording has its own tests."""

from pathlib import Path
from typing import Any

import pytest

from sayline_tts.engine.models.model import Model
from sayline_tts.server.voices import upload
from tests.engine.sounds import speech, wav
from tests.web.page_controls import selected_voice_name, voice_names
from tests.web.page_server import (
    RECORDING,
    PageServer,
    choose_file,
    focused_name,
    give_consent,
    open_page,
    open_panel,
    page_server,
    submit,
    wait_for_message,
)
from tests.web.test_accessibility import check_accessibility


async def test_cloned_voice_is_selected_and_can_be_previewed(server: PageServer, panel: Any) -> None:
    await choose_file(panel)
    await wait_for_message(panel, "me.wav, 6.0 s. Play it, or create the voice.")
    await panel.get_by_label("Name (optional)").fill("Zoë S.")
    await give_consent(panel)
    await submit(panel)
    await wait_for_message(panel, "“Zoë S.” was created from 6.0 s of speech and is now selected.")
    assert await focused_name(panel) == "Preview it"
    assert await voice_names(panel) == ["Zoë S.", "ann", "bob", "eve"]
    assert await selected_voice_name(panel) == "Zoë S."
    await panel.keyboard.press("Enter")
    await panel.get_by_role("button", name="Stop the preview").wait_for()
    await panel.get_by_role("button", name="Preview this voice").wait_for()
    assert server.model.spoken == ["Hello, this is how I sound."], await panel.locator("#status").text_content()
    await panel.get_by_role("button", name="Done").click()
    assert await panel.evaluate("document.activeElement.closest('.voice-card').textContent") == (
        "Zoë S.Cloned from 6.0 s of speech"
    )
    assert not await panel.get_by_label("Name (optional)").is_visible()


async def test_voice_takes_the_name_of_its_file(panel: Any) -> None:
    for name in ("me at home", "me at home 2"):
        await choose_file(panel, name="me_at-home.wav")
        await wait_for_message(panel, "me_at-home.wav, 6.0 s.")
        assert await panel.get_by_label("Name (optional)").input_value() == name
        await give_consent(panel)
        await submit(panel)
        await wait_for_message(panel, f"“{name}” was created from 6.0 s")
        await panel.get_by_role("button", name="Done").click()
        await panel.get_by_text("Clone a voice").click()
    await choose_file(panel)
    assert await panel.get_by_label("Name (optional)").input_value() == "me"
    await panel.get_by_label("Name (optional)").fill("Zoë")
    await choose_file(panel, name="other.wav")
    assert await panel.get_by_label("Name (optional)").input_value() == "Zoë"


async def test_panel_is_reset_for_the_next_voice(panel: Any) -> None:
    await choose_file(panel)
    await panel.get_by_label("Name (optional)").fill("Zoë")
    await give_consent(panel)
    await submit(panel)
    await panel.get_by_role("button", name="Done").click()
    await panel.get_by_text("Clone a voice").click()
    assert await panel.get_by_label("Name (optional)").input_value() == ""
    assert not await panel.get_by_label("The speaker has agreed").is_checked()
    await submit(panel)
    await wait_for_message(panel, "Record something or choose a file first.", error=True)
    await choose_file(panel)  # the same file again
    await give_consent(panel)
    await submit(panel)
    await wait_for_message(panel, "was created from 6.0 s of speech")
    assert len(await voice_names(panel)) == 5


async def test_consent_text_matches_the_servers_error(panel: Any) -> None:
    with pytest.raises(upload.ConsentMissing) as error:
        upload._checked({"file": RECORDING})
    assert "agreed to this clone of the voice" in str(error.value)
    label = await panel.locator("label", has=panel.locator("#clone-consent")).inner_text()
    assert label.strip() == "The speaker has agreed to this clone of the voice."
    await choose_file(panel)
    await submit(panel)
    await wait_for_message(
        panel, "Tick the box first: the speaker must have agreed to this clone of the voice.", error=True
    )


async def test_missing_consent_prevents_the_upload(server: PageServer, panel: Any) -> None:
    await choose_file(panel)
    await submit(panel)
    await wait_for_message(panel, "Tick the box first", error=True)
    box = panel.get_by_label("The speaker has agreed")
    assert await focused_name(panel) == "The speaker has agreed to this clone of the voice."
    assert await box.get_attribute("aria-invalid") == "true"
    assert not server.model.cloning.is_set()
    await panel.keyboard.press("Space")
    assert await box.get_attribute("aria-invalid") is None
    await submit(panel)
    await wait_for_message(panel, "was created from 6.0 s")


async def test_advice_is_shown_and_the_voice_can_be_recreated(panel: Any) -> None:
    await choose_file(panel, wav(speech(4)))
    await wait_for_message(panel, "me.wav, 4.0 s. 5 s or more make the voice more like the speaker.")
    await panel.get_by_label("Name (optional)").fill("Zoë")
    await give_consent(panel)
    await submit(panel)
    await wait_for_message(panel, "“Zoë” was created from 4.0 s of speech and is now selected. What could be better:")
    advice = await panel.locator("#clone-status li").all_text_contents()
    assert advice == ["The recording has only 4.0 s of speech; 5 to 30 s make the clone more similar."]
    await panel.get_by_role("button", name="Delete and try again").click()
    await panel.get_by_role("button", name="Record").wait_for()
    assert await focused_name(panel) == "Record"
    assert await panel.locator("#clone-status").inner_text() == ""
    await panel.locator(".voice-card").nth(3).wait_for(state="detached")
    assert await voice_names(panel) == ["ann", "bob", "eve"]
    await choose_file(panel)
    await submit(panel)  # the name is free again, and the consent is still label
    await wait_for_message(panel, "“Zoë” was created from 6.0 s of speech and is now selected.")


async def test_progress_is_shown_during_the_upload(server: PageServer, panel: Any) -> None:
    server.model.may_clone.clear()
    await choose_file(panel)
    await give_consent(panel)
    await submit(panel)
    await wait_for_message(panel, "The server is creating the voice…")
    assert await panel.get_by_role("progressbar", name="Upload").is_visible()
    assert await panel.get_by_role("button", name="Record").is_disabled()
    assert await panel.locator("#clone-send").get_attribute("aria-disabled") == "true"
    server.model.may_clone.set()
    await wait_for_message(panel, "was created from 6.0 s")


async def test_slow_upload_can_be_cancelled(server: PageServer, panel: Any) -> None:
    network = await panel.context.new_cdp_session(panel)
    await network.send("Network.enable")
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 10_000}
    await network.send("Network.emulateNetworkConditions", slow)
    await choose_file(panel)
    await give_consent(panel)
    await submit(panel)
    await wait_for_message(panel, "Uploading…")
    await panel.get_by_role("button", name="Cancel").click()
    await wait_for_message(panel, "Upload cancelled.")
    assert not server.model.cloning.is_set()
    await panel.get_by_role("button", name="Create the voice").wait_for()


# Accessibility


async def test_cloning_works_by_keyboard_alone(server: PageServer, page: Any) -> None:
    await open_page(page, server.address)
    await page.locator("#voice input:checked").focus()
    visited: list[str] = []
    while not visited or visited[-1] != "Clone a voice":
        await page.keyboard.press("Tab")
        visited.append(await focused_name(page))
    assert visited == ["Preview this voice", "Clone a voice"]
    await page.keyboard.press("Enter")
    visited_in_panel: list[str] = []
    while not visited_in_panel or visited_in_panel[-1] != "Create the voice":
        await page.keyboard.press("Tab")
        visited_in_panel.append(await focused_name(page))
        if visited_in_panel[-1] == "Choose a file":
            await choose_file(page)
            await wait_for_message(page, "me.wav, 6.0 s.")
        if visited_in_panel[-1].startswith("The speaker"):
            await page.keyboard.press("Space")
    consent = "The speaker has agreed to this clone of the voice."
    assert visited_in_panel == [
        "Record",
        "Choose a file",
        "Play it",
        "Name (optional)",
        consent,
        "Create the voice",
    ]
    await page.keyboard.press("Enter")
    await wait_for_message(page, "was created from 6.0 s")
    assert await focused_name(page) == "Preview it"


async def test_status_and_level_have_accessible_roles(panel: Any) -> None:
    region = panel.locator("#clone-status")
    assert await region.get_attribute("role") == "status"
    meter = panel.get_by_role("meter", name="Microphone level")
    assert [await meter.get_attribute(f"aria-value{which}") for which in ("min", "now", "max")] == ["0", "0", "100"]
    assert await panel.get_by_role("form", name="Clone a voice").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_panel_has_no_axe_violations_in_any_state(server: PageServer, panel: Any, scheme: str) -> None:
    await panel.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    await choose_file(panel, wav(speech(4)))
    await submit(panel)
    await wait_for_message(panel, "Tick the box first", error=True)
    await check_accessibility(panel)
    await give_consent(panel)
    server.model.may_clone.clear()
    await submit(panel)
    await wait_for_message(panel, "The server is creating the voice")
    await check_accessibility(panel)
    server.model.may_clone.set()
    await wait_for_message(panel, "What could be better:")
    await check_accessibility(panel)
    await panel.get_by_role("button", name="Delete this voice").click()
    await panel.get_by_role("dialog").wait_for()
    await check_accessibility(panel)


# With the embedded model


async def test_embedded_model_clones_a_voice(tmp_path: Path, page: Any, model: Model) -> None:
    async with page_server(tmp_path, real=model) as server:
        await open_panel(page, server)
        await choose_file(page, RECORDING)
        await give_consent(page)
        await submit(page)
        await wait_for_message(page, "was created from")
        assert len(await voice_names(page)) == len(model.checkpoint.voices()) + 1
