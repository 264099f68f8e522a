"""The page in real Chromium: what is written is spoken, and what happens is said in words."""

from http import HTTPStatus
from typing import Any

import pytest

from tests.clients.scripted import VOICES
from tests.web.site import After, Site, respond
from tests.web.watching import status

TEXT = "One two three. Four five six seven."


async def open_page(page: Any, site: Site) -> None:
    await page.goto(site.address)
    await status(page, "Ready.")


async def speak(page: Any, text: str = TEXT) -> None:
    await page.get_by_label("Text to speak").fill(text)
    await page.get_by_role("button", name="Speak", exact=True).click()


def started(site: Site) -> dict[str, Any]:
    return next(message for message in site.received if message["type"] == "start")


async def test_the_page_speaks_what_is_written(site: Site, page: Any) -> None:
    await open_page(page, site)
    assert await page.get_by_label("Voice", exact=True).input_value() == "clara"
    await page.get_by_label("Voice", exact=True).select_option("angus")
    await speak(page)
    await status(page, "Done.")
    assert await page.locator("#whole").text_content() == "0:00.6"
    assert int(await page.locator("#first-audio").text_content()) >= 0
    assert float(await page.locator("#pace").text_content()) > 0
    assert await page.locator("#captions").text_content() == TEXT
    assert await page.locator("#captions .heard").all_text_contents() == TEXT.split()
    assert started(site)["voice"] == "angus"
    assert site.texts() == TEXT


async def test_settings_go_along_and_what_is_not_set_is_the_servers_choice(site: Site, page: Any) -> None:
    await open_page(page, site)
    await speak(page)
    await status(page, "Done.")
    plain = started(site)
    assert {"speed", "temperature", "decode_steps"}.isdisjoint(plain)
    assert await page.get_by_label("Seed").get_attribute("placeholder") == str(plain["seed"])
    site.received.clear()
    await page.get_by_label("Speed of speech").fill("1.5")
    await page.get_by_label("Temperature").fill("0.7")
    await page.get_by_label("Decode steps").fill("4")
    await page.get_by_label("Seed").fill("42")
    await page.get_by_label("Sent as").select_option("pcm")
    await speak(page)
    await status(page, "Done.")
    wished = {"speed": 1.5, "temperature": 0.7, "decode_steps": 4, "seed": 42, "format": "pcm"}
    assert wished.items() <= started(site).items()


async def test_a_setting_that_cannot_be_is_not_sent(site: Site, page: Any) -> None:
    await open_page(page, site)
    await page.get_by_label("Decode steps").fill("99")
    await speak(page)
    assert await page.get_by_label("Decode steps").evaluate("field => field.matches(':focus:invalid')")
    assert site.received == []


async def test_text_written_like_an_llm_goes_out_a_token_at_a_time(site: Site, page: Any) -> None:
    await open_page(page, site)
    await page.get_by_role("switch", name="Write like an LLM").click()
    await page.get_by_label("Tokens a second").fill("60")
    await speak(page)
    await site.until(lambda received: any(message["type"] == "text" for message in received))
    assert not any(message["type"] == "end" for message in site.received)
    await status(page, "Done.")
    pieces = [message["text"] for message in site.received if message["type"] == "text"]
    assert pieces == ["One", " two", " three", ".", " Four", " five", " six", " seven", "."]


async def test_the_next_speak_works_after_a_stop(site: Site, page: Any) -> None:
    await open_page(page, site)
    await speak(page, "word " * 300 + "end.")
    await status(page, "Speaking…")
    await page.get_by_role("button", name="Stop", exact=True).click()
    await status(page, "of 301 words had been heard.")
    await speak(page, "Again.")
    await status(page, "Done.")
    assert await page.locator("#captions").text_content() == "Again."


async def test_what_had_been_heard_at_a_stop_stays_lit(site: Site, page: Any) -> None:
    await open_page(page, site)
    await speak(page, "word " * 300)
    await page.locator("#captions .heard").first.wait_for()
    await page.keyboard.press("Escape")
    await status(page, "words had been heard.")
    told = await page.locator("#status").text_content()
    heard = await page.locator("#captions .heard").count()
    assert f": {heard} of 300 words" in told
    assert 0 <= heard < 300


async def test_a_new_speech_from_the_keyboard_needs_no_mouse(site: Site, page: Any) -> None:
    await open_page(page, site)
    await page.get_by_label("Text to speak").focus()
    await page.keyboard.press("Control+Enter")
    await status(page, "Done.")


async def test_an_error_of_the_server_is_shown_in_its_words(site: Site, page: Any) -> None:
    await open_page(page, site)
    await speak(page, "One refuse two three.")
    await status(page, "Too much text waits.")
    await page.get_by_role("button", name="Speak", exact=True).wait_for()
    assert "fault" in await page.locator("#status").get_attribute("class")


async def test_who_waits_sees_the_place_in_line(site: Site, page: Any) -> None:
    site.places = [3]
    site.hold.clear()
    await open_page(page, site)
    await speak(page)
    await status(page, "You are 3rd in line")
    site.hold.set()
    await status(page, "Done.")


async def test_a_server_that_takes_nobody_more_says_when_to_come_again(site: Site, page: Any) -> None:
    site.close_with = (1013, "no more sessions are taken now")
    await page.goto(site.address)
    await status(page, "no more sessions are taken now")
    site.close_with = None
    await page.get_by_role("button", name="Connect").click()
    await status(page, "Ready.")


async def test_sound_that_does_not_come_is_told_in_words(site: Site, page: Any) -> None:
    site.hold = After(words=3)
    await open_page(page, site)
    await speak(page, "one two three four five")
    await status(page, "Waiting for sound: the network or the server is slow.")
    site.hold.set()
    await status(page, "Done.")
    assert await page.locator("#underruns").text_content() == "1"


async def test_the_page_tells_the_server_what_was_heard(site: Site, page: Any) -> None:
    site.hold = After(words=30)
    await open_page(page, site)
    await speak(page, "One two. " * 20)
    await site.until(lambda received: any(message["type"] == "ack" for message in received))
    assert next(message for message in site.received if message["type"] == "ack")["played_ms"] > 0
    site.hold.set()
    await status(page, "Done.")


async def test_nothing_written_is_told_in_words(site: Site, page: Any) -> None:
    await open_page(page, site)
    await speak(page, "  ")
    await status(page, "Write something first.")
    assert site.received == []


async def test_a_server_that_goes_away_and_comes_back_is_told_in_words(site: Site, page: Any) -> None:
    await open_page(page, site)
    await site.connections[0].close(1012, "the server restarts")
    await status(page, "the server restarts")
    await page.get_by_role("button", name="Connect").click()
    await status(page, "Ready.")
    await page.get_by_role("button", name="Speak", exact=True).wait_for()


async def test_a_server_that_is_not_there_is_told_in_words(site: Site, page: Any) -> None:
    site.refuse_with = HTTPStatus.SERVICE_UNAVAILABLE
    site.answers["/healthz"] = lambda _: respond(b"", "text/plain", HTTPStatus.SERVICE_UNAVAILABLE)
    await page.goto(site.address)
    await status(page, "There is no server here any more. Start it with “sayline serve”.")
    assert len(page.complaints) == 2  # the browser's own lines, of the socket and of the door
    page.complaints.clear()


async def test_a_connection_that_breaks_is_told_and_so_is_its_return(site: Site, page: Any) -> None:
    await open_page(page, site)
    for session in site.sessions.values():
        session.cut()
    await status(page, "The connection is lost. Getting it back…")
    await status(page, "Connected again.")
    await status(page, "Ready.")
    await speak(page)
    await status(page, "Done.")


async def test_a_server_with_a_key_asks_for_it(site: Site, page: Any) -> None:
    site.api_key = "secret"
    await page.goto(site.address)
    await status(page, "asks for an API key")
    await page.get_by_label("API key").fill("wrong")
    await page.get_by_role("button", name="Connect").click()
    await status(page, "did not take this API key")
    await page.get_by_label("API key").fill("secret")
    await page.get_by_role("button", name="Connect").click()
    await status(page, "Ready.")
    assert await page.get_by_label("API key").is_hidden()
    assert "secret" not in await page.locator("#code").text_content()
    assert 'os.environ["SAYLINE_API_KEY"]' in await page.locator("#code").text_content()
    assert all(
        "401" in complaint or "Authentication" in complaint for complaint in page.complaints
    )  # the browser's own
    page.complaints.clear()


async def test_a_download_asks_for_what_was_heard(site: Site, page: Any) -> None:
    asked: list[Any] = []

    async def answer(route: Any) -> None:
        asked.append(route.request.post_data_json)
        await route.fulfill(body=b"RIFF", content_type="audio/wav")

    await page.route("**/generate", answer)
    await open_page(page, site)
    await page.get_by_label("Speed of speech").fill("1.25")
    await speak(page)
    await status(page, "Done.")
    async with page.expect_download() as coming:
        await page.get_by_role("button", name="WAV").click()
    download = await coming.value
    assert download.suggested_filename == "one-two-three-four-five-six-seven.wav"
    assert (await download.path()).read_bytes() == b"RIFF"
    seed = started(site)["seed"]
    assert asked == [{"text": TEXT, "voice": "clara", "format": "wav", "speed": 1.25, "seed": seed}]
    assert await page.locator("#save-note").text_content() == f"Saved as {download.suggested_filename}."


async def test_a_download_that_fails_is_told_in_the_servers_words(site: Site, page: Any) -> None:
    answer = {"error": {"message": "all are speaking; try again", "code": "full"}}
    await page.route("**/generate", lambda route: route.fulfill(status=503, json=answer))
    await open_page(page, site)
    await page.get_by_role("button", name="MP3").click()
    await page.locator("#save-note.fault", has_text="All are speaking; try again.").wait_for()
    assert await page.get_by_role("button", name="MP3").is_enabled()
    assert len(page.complaints) == 1  # the browser's own
    page.complaints.clear()


async def test_the_program_is_copied_as_it_is_shown(site: Site, page: Any) -> None:
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await open_page(page, site)
    await page.get_by_label("Text to speak").fill("It's \"five\" o'clock.")
    for name in ("JavaScript", "curl", "Python"):
        button = page.get_by_role("group", name="Copy as").get_by_role("button", name=name)
        await button.click()
        await page.locator("#copied", has_text=f"{name} copied.").wait_for()
        assert await page.evaluate("navigator.clipboard.readText()") == await page.locator("#code").text_content()
        assert await button.get_attribute("aria-pressed") == "true"


async def test_a_voice_can_be_tried_while_another_speaks(site: Site, page: Any) -> None:
    site.hold = After(words=250)
    await open_page(page, site)
    assert await page.get_by_label("Voice", exact=True).locator("option").all_text_contents() == VOICES
    await speak(page, "word " * 300)
    await status(page, "Speaking…")
    await page.locator("#preview").click()
    await site.until(lambda received: len([m for m in received if m["type"] == "start"]) == 2)
    assert [m["context_id"] for m in site.received if m["type"] == "cancel"] == ["speech-1"]


@pytest.mark.parametrize("word", ["explode", "damage"])
async def test_a_fault_in_the_midst_leaves_a_page_that_speaks_again(site: Site, page: Any, word: str) -> None:
    await open_page(page, site)
    await speak(page, f"One two {word} three.")
    await page.locator("#status.fault").wait_for()
    if word == "damage":  # the session is over
        await page.get_by_role("button", name="Connect").click()
        await status(page, "Ready.")
    await speak(page)
    await status(page, "Done.")
