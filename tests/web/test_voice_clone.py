"""Cloning on the page in real Chromium, from files; the microphone has its own tests."""

from pathlib import Path
from typing import Any

import pytest

from sayline_tts.engine.models.model import Model
from sayline_tts.server.voices import upload
from tests.engine.sounds import speech, wav
from tests.web.stage import AUDIO, Stage, agree, choose, enter, focused, open_panel, send, staged, told, voices_of
from tests.web.test_access import check


async def test_a_file_becomes_a_voice_that_is_chosen_and_speaks(stage: Stage, panel: Any) -> None:
    await choose(panel)
    await told(panel, "me.wav, 6.0 s. Listen to it, or make the voice.")
    await panel.get_by_label("Name (optional)").fill("Zoë S.")
    await agree(panel)
    await send(panel)
    await told(panel, "“Zoë S.” is made from 6.0 s of speech, and chosen.")
    assert await focused(panel) == "Hear it"
    assert await voices_of(panel) == ["Zoë S.", "ann", "bob", "eve"]
    assert await panel.get_by_label("Voice", exact=True).locator("option:checked").text_content() == "Zoë S."
    await panel.keyboard.press("Enter")
    await panel.get_by_role("button", name="Stop the voice").wait_for()
    await panel.get_by_role("button", name="Hear this voice").wait_for()
    assert stage.model.spoken == ["Hello, this is how I sound."]
    await panel.get_by_role("button", name="Done").click()
    assert await panel.evaluate("document.activeElement.id") == "voice"
    assert not await panel.get_by_label("Name (optional)").is_visible()


async def test_the_panel_is_new_for_the_next_voice(panel: Any) -> None:
    await choose(panel)
    await panel.get_by_label("Name (optional)").fill("Zoë")
    await agree(panel)
    await send(panel)
    await panel.get_by_role("button", name="Done").click()
    await panel.get_by_text("Clone a voice").click()
    assert await panel.get_by_label("Name (optional)").input_value() == ""
    assert not await panel.get_by_label("The speaker has agreed").is_checked()
    await send(panel)
    await told(panel, "Record something, or choose a file, first.", fault=True)
    await choose(panel)  # the same file again
    await agree(panel)
    await send(panel)
    await told(panel, "is made from 6.0 s of speech")
    assert len(await voices_of(panel)) == 5


async def test_the_words_of_the_tick_box_are_what_the_server_asks(panel: Any) -> None:
    with pytest.raises(upload.ConsentMissing) as error:
        upload._checked({"file": AUDIO})
    asked = "the speaker must have agreed to this copy of the voice"
    assert str(error.value).startswith(asked)
    ticked = await panel.locator("label", has=panel.locator("#clone-consent")).inner_text()
    assert ticked.strip() == "The speaker has agreed to this copy of the voice."
    await choose(panel)
    await send(panel)
    await told(panel, f"Tick the box first: {asked}.", fault=True)


async def test_without_consent_nothing_is_sent(stage: Stage, panel: Any) -> None:
    await choose(panel)
    await send(panel)
    await told(panel, "Tick the box first", fault=True)
    box = panel.get_by_label("The speaker has agreed")
    assert await focused(panel) == "The speaker has agreed to this copy of the voice."
    assert await box.get_attribute("aria-invalid") == "true"
    assert not stage.model.cloning.is_set()
    await panel.keyboard.press("Space")
    assert await box.get_attribute("aria-invalid") is None
    await send(panel)
    await told(panel, "is made from 6.0 s")


async def test_the_servers_advice_is_shown_and_the_voice_can_be_made_again(panel: Any) -> None:
    await choose(panel, wav(speech(2)))
    await told(panel, "me.wav, 2.0 s. 5 s or more make a voice that is more like the speaker.")
    await panel.get_by_label("Name (optional)").fill("Zoë")
    await agree(panel)
    await send(panel)
    await told(panel, "“Zoë” is made from 2.0 s of speech, and chosen. What could be better:")
    advice = await panel.locator("#clone-status li").all_text_contents()
    assert advice == ["There are only 2.0 s of speech; 5 to 30 s make a voice more like the speaker."]
    await panel.get_by_role("button", name="Delete it and try again").click()
    await panel.get_by_role("button", name="Record").wait_for()
    assert await focused(panel) == "Record"
    assert await panel.locator("#clone-status").inner_text() == ""
    await panel.locator("#voice option").nth(3).wait_for(state="detached")
    assert await voices_of(panel) == ["ann", "bob", "eve"]
    await choose(panel)
    await send(panel)  # its name is free again, and who agreed still does
    await told(panel, "“Zoë” is made from 6.0 s of speech, and chosen.")


async def test_sending_shows_how_far_it_is_and_can_be_taken_back(stage: Stage, panel: Any) -> None:
    stage.model.may_clone.clear()
    await choose(panel)
    await agree(panel)
    await send(panel)
    await told(panel, "The server listens to it and makes the voice…")
    assert await panel.get_by_role("progressbar", name="Sent").is_visible()
    assert await panel.get_by_role("button", name="Record").is_disabled()
    assert await panel.locator("#clone-send").get_attribute("aria-disabled") == "true"
    stage.model.may_clone.set()
    await told(panel, "is made from 6.0 s")


async def test_an_upload_that_takes_long_can_be_cancelled(stage: Stage, panel: Any) -> None:
    network = await panel.context.new_cdp_session(panel)
    await network.send("Network.enable")
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 10_000}
    await network.send("Network.emulateNetworkConditions", slow)
    await choose(panel)
    await agree(panel)
    await send(panel)
    await told(panel, "Sending…")
    await panel.get_by_role("button", name="Cancel").click()
    await told(panel, "Nothing was sent.")
    assert not stage.model.cloning.is_set()
    await panel.get_by_role("button", name="Make the voice").wait_for()


# For everybody


async def test_all_of_it_is_done_by_keyboard_alone(stage: Stage, page: Any) -> None:
    await enter(page, stage.address)
    await page.get_by_label("Voice", exact=True).focus()
    passed: list[str] = []
    while not passed or passed[-1] != "Clone a voice":
        await page.keyboard.press("Tab")
        passed.append(await focused(page))
    assert passed == ["Hear this voice", "Clone a voice"]
    await page.keyboard.press("Enter")
    walk: list[str] = []
    while not walk or walk[-1] != "Make the voice":
        await page.keyboard.press("Tab")
        walk.append(await focused(page))
        if walk[-1] == "Choose a file":
            await choose(page)
            await told(page, "me.wav, 6.0 s.")
        if walk[-1].startswith("The speaker"):
            await page.keyboard.press("Space")
    consent = "The speaker has agreed to this copy of the voice."
    assert walk == ["Record", "Choose a file", "Listen to it", "Name (optional)", consent, "Make the voice"]
    await page.keyboard.press("Enter")
    await told(page, "is made from 6.0 s")
    assert await focused(page) == "Hear it"


async def test_what_is_told_is_told_to_screen_readers(panel: Any) -> None:
    region = panel.locator("#clone-status")
    assert await region.get_attribute("role") == "status"
    meter = panel.get_by_role("meter", name="Level of the microphone")
    assert [await meter.get_attribute(f"aria-value{which}") for which in ("min", "now", "max")] == ["0", "0", "100"]
    assert await panel.get_by_role("form", name="Clone a voice").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_wrong_in_any_state(stage: Stage, panel: Any, scheme: str) -> None:
    await panel.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    await choose(panel, wav(speech(2)))
    await send(panel)
    await told(panel, "Tick the box first", fault=True)
    await check(panel)
    await agree(panel)
    stage.model.may_clone.clear()
    await send(panel)
    await told(panel, "The server listens to it")
    await check(panel)
    stage.model.may_clone.set()
    await told(panel, "What could be better:")
    await check(panel)
    await panel.get_by_role("button", name="Delete this voice").click()
    await panel.get_by_role("dialog").wait_for()
    await check(panel)


# With the model that comes along


async def test_the_embedded_model_makes_the_voice(tmp_path: Path, page: Any, model: Model) -> None:
    async with staged(tmp_path, real=model) as stage:
        await open_panel(page, stage)
        await choose(page, AUDIO)
        await agree(page)
        await send(page)
        await told(page, "is made from 6.0 s of speech")
        assert len(await voices_of(page)) == len(model.checkpoint.voices()) + 1
