"""The choice of a voice in real Chromium, with a real server behind it."""

from pathlib import Path
from typing import Any

from sayline_tts.server.access.limits import Limits
from tests.web.stage import Stage, enter, expect_refusal, focused, make_voice, staged, voices_of
from tests.web.watching import status

PHRASE = "Hello, this is how I sound."


async def test_the_models_voices_are_there_and_its_own_choice_is_chosen(stage: Stage, page: Any) -> None:
    await enter(page, stage.address)
    assert await voices_of(page) == ["ann", "bob", "eve"]
    assert await page.get_by_label("Voice", exact=True).input_value() == "ann"
    assert await page.get_by_role("button", name="Delete this voice").is_disabled()
    assert await page.locator("#voice optgroup").count() == 0


async def test_one_click_speaks_a_phrase_in_the_voice_that_is_chosen(stage: Stage, page: Any) -> None:
    await enter(page, stage.address)
    await page.get_by_label("Voice", exact=True).select_option("bob")
    await page.get_by_role("button", name="Hear this voice").click()
    await page.locator("#preview.speaking").wait_for()
    await page.get_by_role("button", name="Hear this voice").wait_for()
    assert stage.model.spoken == [PHRASE]
    assert stage.model.loaded == ["bob"]


async def test_a_second_click_or_another_choice_hushes_it(stage: Stage, page: Any) -> None:
    stage.runner.may_step.clear()  # so it never ends by itself
    await enter(page, stage.address)
    for hush in (
        page.get_by_role("button", name="Stop the voice").click,
        lambda: page.get_by_label("Voice", exact=True).select_option("bob"),
    ):
        await page.get_by_role("button", name="Hear this voice").click()
        await page.get_by_role("button", name="Stop the voice").wait_for()
        await hush()
        await page.get_by_role("button", name="Hear this voice").wait_for()
    stage.runner.may_step.set()


async def test_a_voice_that_cannot_be_had_is_told_in_the_servers_words(stage: Stage, page: Any) -> None:
    await enter(page, stage.address)
    await page.get_by_label("Voice", exact=True).select_option("eve")
    await page.get_by_role("button", name="Hear this voice").click()
    await status(page, "The hub does not answer; try again.")
    await page.get_by_role("button", name="Hear this voice").wait_for()


async def test_own_voices_stand_beside_the_models_and_speak(stage: Stage, page: Any) -> None:
    id = await make_voice(stage, "Zoë S.")
    await enter(page, stage.address)
    assert await voices_of(page) == ["Zoë S.", "ann", "bob", "eve"]
    assert await page.locator("#voice optgroup").evaluate_all("all => all.map(each => each.label)") == [
        "Yours",
        "Built in",
    ]
    assert await page.get_by_label("Voice", exact=True).input_value() == "ann"
    await page.get_by_label("Voice", exact=True).select_option("Zoë S.")
    await page.get_by_role("button", name="Hear this voice").click()
    await page.get_by_role("button", name="Stop the voice").wait_for()
    await page.get_by_role("button", name="Hear this voice").wait_for()
    assert stage.model.loaded == [id]
    await page.get_by_role("button", name="Speak", exact=True).click()
    await status(page, "Done.")
    assert len(stage.model.spoken) > 1


async def test_an_own_voice_is_deleted_by_keyboard_after_a_question(stage: Stage, page: Any) -> None:
    await make_voice(stage, "Zoë S.")
    await enter(page, stage.address)
    select = page.get_by_label("Voice", exact=True)
    await select.select_option("Zoë S.")
    await select.focus()
    for _ in range(2):
        await page.keyboard.press("Tab")
    assert await focused(page) == "Delete this voice"
    await page.keyboard.press("Enter")
    await page.get_by_role("dialog", name="Delete the voice “Zoë S.”?").wait_for()
    await page.keyboard.press("Escape")
    assert await focused(page) == "Delete this voice"
    assert await voices_of(page) == ["Zoë S.", "ann", "bob", "eve"]
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await status(page, "The voice “Zoë S.” is deleted.")
    assert await voices_of(page) == ["ann", "bob", "eve"]
    assert (await select.input_value(), await page.evaluate("document.activeElement.id")) == ("ann", "voice")
    assert await page.get_by_role("button", name="Delete this voice").is_disabled()


async def test_a_voice_that_was_kept_stays(stage: Stage, page: Any) -> None:
    await make_voice(stage, "Zoë S.")
    await enter(page, stage.address)
    await page.get_by_label("Voice", exact=True).select_option("Zoë S.")
    await page.get_by_role("button", name="Delete this voice").click()
    await page.get_by_role("button", name="Keep it").click()
    await page.get_by_role("dialog").wait_for(state="hidden")
    await page.reload()
    await status(page, "Ready.")
    assert await voices_of(page) == ["Zoë S.", "ann", "bob", "eve"]


async def test_a_voice_that_is_not_yours_stays_and_the_page_says_why(tmp_path: Path, page: Any) -> None:
    async with staged(tmp_path) as before:
        await make_voice(before, "Everybody's")
    async with staged(tmp_path, {"ann": Limits()}) as stage:
        await page.goto(stage.address)
        await page.get_by_label("API key").fill(stage.secrets["ann"])
        await page.get_by_role("button", name="Connect").click()
        await status(page, "Ready.")
        page.complaints.clear()  # of the first attempt, without a key
        await page.get_by_label("Voice", exact=True).select_option("Everybody's")
        await page.get_by_role("button", name="Delete this voice").click()
        await page.get_by_role("button", name="Delete it").click()
        await status(page, "That voice was made without a key, and only who has none may delete it.")
        assert await voices_of(page) == ["Everybody's", "ann", "bob", "eve"]
        await expect_refusal(page, 403)


async def test_a_voice_that_somebody_else_deleted_is_gone_from_the_list(stage: Stage, page: Any) -> None:
    id = await make_voice(stage, "Zoë S.")
    await enter(page, stage.address)
    await page.get_by_label("Voice", exact=True).select_option("Zoë S.")
    await page.request.delete(f"{stage.address}v1/voices/{id}")
    await page.get_by_role("button", name="Delete this voice").click()
    await page.get_by_role("button", name="Delete it").click()
    await status(page, "There is no voice")
    await page.locator("#voice option").nth(3).wait_for(state="detached")
    assert await voices_of(page) == ["ann", "bob", "eve"]
    await expect_refusal(page, 404)


async def test_a_key_sees_its_own_voices_alone(tmp_path: Path, page: Any) -> None:
    async with staged(tmp_path, {"ann": Limits(voices=("bob",)), "eve": Limits()}) as stage:
        await make_voice(stage, "Mine", "ann")
        await make_voice(stage, "Hers", "eve")
        await page.goto(stage.address)
        await page.get_by_label("API key").fill(stage.secrets["ann"])
        await page.get_by_role("button", name="Connect").click()
        await status(page, "Ready.")
        page.complaints.clear()
        assert await voices_of(page) == ["Mine", "bob"]
        assert await page.get_by_label("Voice", exact=True).input_value() == "bob"


async def test_without_a_server_nobody_can_be_chosen(tmp_path: Path, page: Any) -> None:
    async with staged(tmp_path) as stage:
        await enter(page, stage.address)
    await page.locator("#voice:disabled").wait_for()
    assert await page.get_by_role("button", name="Hear this voice").is_disabled()
