"""What the page tells its user in each state, and what it keeps, in real Chromium with a scripted server."""

import json
from http import HTTPStatus
from typing import Any

import pytest

from tests.clients.scripted import READY
from tests.web.browsers import override_constant
from tests.web.page_controls import open_advanced, select_voice, selected_voice
from tests.web.page_status import wait_for_status
from tests.web.screenshots import FULL, ServerSimulation
from tests.web.site import HoldAfter, Site, http_response

PHONE = {"width": 390, "height": 844}


async def open_page(page: Any, site: Site) -> None:
    await page.goto(site.address)
    await wait_for_status(page, "Ready.")


async def speak(page: Any, text: str) -> None:
    await page.get_by_label("Text to speak").fill(text)
    await page.get_by_role("button", name="Speak", exact=True).click()


async def is_editing(page: Any) -> bool:
    """Whether the text is shown, and not its words."""
    opacity = await page.locator("#text").evaluate("each => getComputedStyle(each).opacity")
    assert (opacity == "1") == await page.locator("#captions").is_hidden()
    return bool(opacity == "1")


async def test_words_take_the_place_of_the_text_until_it_is_edited(site: Site, page: Any) -> None:
    await open_page(page, site)
    assert await is_editing(page)
    await speak(page, "One two three.")
    await wait_for_status(page, "Done.")
    assert not await is_editing(page)
    text, words = [await page.locator(each).bounding_box() for each in ("#text", "#captions")]
    assert {side: words[side] for side in ("x", "y", "width")} == pytest.approx(
        {side: text[side] for side in ("x", "y", "width")}, abs=2
    )
    await page.get_by_label("Text to speak").press("End")
    assert await is_editing(page)
    await page.get_by_role("button", name="Replay").click()
    assert not await is_editing(page)


async def test_after_a_stop_the_rest_is_struck_through_and_the_heard_text_is_copied(site: Site, page: Any) -> None:
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    site.hold = HoldAfter(words=4)
    await open_page(page, site)
    await speak(page, "One two three four five six.")
    await page.locator("#captions .played").nth(2).wait_for()
    await page.get_by_role("button", name="Stop", exact=True).click()
    await wait_for_status(page, "words were heard.")
    struck = await page.locator("#captions s").text_content()
    await page.get_by_text("What your LLM should remember").wait_for()
    await page.get_by_role("button", name="Copy what was heard").click()
    await page.locator("#copy-heard", has_text="Copied").wait_for()
    heard = await page.evaluate("navigator.clipboard.readText()")
    assert heard.startswith("One two")
    assert heard + struck == "One two three four five six."
    await speak(page, "Again.")
    assert await page.get_by_text("What your LLM should remember").is_hidden()
    site.hold.set()


async def test_text_voice_and_settings_survive_a_reload(site: Site, page: Any) -> None:
    await open_page(page, site)
    await page.get_by_label("Text to speak").fill("Keep me.")
    await select_voice(page, "angus")
    await open_advanced(page)
    await page.get_by_label("Temperature").fill("0.7")
    await page.get_by_label("Speech speed").fill("1.5")
    await page.get_by_label("Volume").fill("0.4")
    await page.get_by_role("switch", name="Write like an LLM").check()
    await page.reload()
    await wait_for_status(page, "Ready.")
    assert await page.get_by_label("Text to speak").input_value() == "Keep me."
    assert await selected_voice(page) == "angus"
    assert await page.locator("#temperature").input_value() == "0.7"
    assert await page.locator("#speed-now").text_content() == "1.50×"
    assert await page.get_by_label("Volume").input_value() == "0.4"
    assert await page.get_by_role("switch", name="Write like an LLM").is_checked()
    assert 'voice="angus"' in await page.locator("#code").text_content()


async def test_page_works_without_storage(site: Site, page: Any) -> None:
    await page.add_init_script("delete Window.prototype.localStorage")
    await open_page(page, site)
    await speak(page, "One.")
    await wait_for_status(page, "Done.")


async def test_sample_text_replaces_the_text(site: Site, page: Any) -> None:
    await open_page(page, site)
    await page.get_by_role("button", name="Prices and dates").click()
    assert "$1,249.99" in await page.get_by_label("Text to speak").input_value()
    assert "$1,249.99" in await page.locator("#code").text_content()


async def test_header_tells_model_version_and_load(site: Site, page: Any) -> None:
    load = {"speaking": 3, "capacity": 98}
    site.responders["/healthz"] = lambda _: http_response(json.dumps(load).encode(), "application/json")
    await override_constant(page, "view/server_facts.js", "POLL_MS", 2000, 20)
    await open_page(page, site)
    await page.get_by_text("Model tone · version 1 · 3 of 98 speaking").wait_for()
    load["speaking"] = 4
    await page.get_by_text("4 of 98 speaking").wait_for()
    assert await page.locator("#model-note").text_content() == ""
    assert await page.get_by_role("link", name="API docs").get_attribute("href") == "/docs"


async def test_demo_voice_says_what_it_is_and_how_to_get_others(site: Site, page: Any) -> None:
    site.greeting = READY | {"model": "embedded"}
    await open_page(page, site)
    await page.get_by_text("the small demo voice that comes with Sayline").wait_for()
    await page.get_by_text("sayline serve --variant english").wait_for()


async def test_sample_texts_are_hidden_from_models_of_other_languages(site: Site, page: Any) -> None:
    site.greeting = READY | {"model": "german"}
    await open_page(page, site)
    assert await page.get_by_role("button", name="Story").is_hidden()


async def test_full_server_counts_down(site: Site, page: Any) -> None:
    server = ServerSimulation()
    await page.route_web_socket("**/v1/stream", server.accept)
    await override_constant(page, "view/status_line.js", "TICK_MS", 1000, 100)
    await open_page(page, site)
    server.answer = [{**FULL, "seq": 0}]
    # Each text stays for a tenth of a second, which a busy machine may miss: the page keeps them.
    await page.evaluate("""() => {
      const countdown = document.querySelector('#countdown');
      window.counted = [];
      new MutationObserver(() => window.counted.push(countdown.textContent)).observe(countdown, {childList: true});
    }""")
    await speak(page, "One.")
    await wait_for_status(page, "All voices are busy. Press Speak to try again.")
    counted = [text for text in await page.evaluate("window.counted") if text]
    assert counted == [f"Try again in {seconds} s" for seconds in (5, 4, 3, 2, 1)]
    assert await is_editing(page)
    server.answer = None
    await speak(page, "One.")
    await wait_for_status(page, "Done.")


async def test_worklet_is_loaded_before_it_is_needed(site: Site, page: Any) -> None:
    await open_page(page, site)
    # The worklet's requests are not shown to Playwright: the audio context is asked.
    await page.evaluate(
        """() => {
            const addModule = AudioWorklet.prototype.addModule;
            AudioWorklet.prototype.addModule = async function (url) {
                await addModule.call(this, url);
                document.body.classList.add('loaded');
            };
        }"""
    )
    await page.get_by_label("Text to speak").click()
    await page.locator("body.loaded").wait_for()
    site.responders["/clients/js/ring_worklet.js"] = lambda _: http_response(b"", "text/plain", HTTPStatus.NOT_FOUND)
    await speak(page, "One.")
    await wait_for_status(page, "Done.")


async def test_worklet_that_cannot_be_loaded_is_told_in_plain_words(site: Site, page: Any) -> None:
    site.responders["/clients/js/ring_worklet.js"] = lambda _: http_response(b"", "text/plain", HTTPStatus.NOT_FOUND)
    await open_page(page, site)
    await speak(page, "One.")
    await wait_for_status(page, "The audio player could not be loaded, because the server cannot be reached.")
    del site.responders["/clients/js/ring_worklet.js"]
    await speak(page, "One.")
    await wait_for_status(page, "Done.")
    page.console_errors.clear()  # reported by the browser


async def test_skipped_text_is_told_when_the_speech_is_done(site: Site, page: Any) -> None:
    server = ServerSimulation()
    await page.route_web_socket("**/v1/stream", server.accept)
    await open_page(page, site)
    server.answer = [{"type": "done", "seq": 0, "duration_ms": 0, "warnings": ["the Thai script was skipped"]}]
    await speak(page, "สวัสดี")
    await wait_for_status(page, "Done, but not all of it was spoken: The Thai script was skipped.")


async def test_text_that_is_too_long_to_save_is_told(site: Site, page: Any) -> None:
    error = {"code": "text_limit", "message": "text too long (25000 characters, limit 20000 per request); split it"}
    await page.route("**/generate", lambda route: route.fulfill(status=413, json={"error": error}))
    await open_page(page, site)
    await page.get_by_role("button", name="WAV").click()
    await page.locator("#save-note.error", has_text="at most 20000 characters").wait_for()
    page.console_errors.clear()  # reported by the browser
    await page.get_by_label("Text to speak").fill("A shorter text.")
    await page.locator("#save-note:not(.error)", has_text="The same text").wait_for()


async def test_voices_that_are_stopped_wait_in_no_line(site: Site, page: Any) -> None:
    server = ServerSimulation()
    await page.route_web_socket("**/v1/stream", server.accept)
    await open_page(page, site)
    server.answer = [{"type": "queued", "seq": 0, "place": 1}]
    await page.get_by_role("button", name="Speak together").click()
    notes = page.locator(".lane .note")
    await notes.filter(has_text="in line: 1").nth(3).wait_for()
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Speak together").wait_for()
    assert await notes.all_inner_texts() == [""] * 4


async def test_resting_on_a_voice_plays_it_and_leaving_stops_it(site: Site, page: Any) -> None:
    site.hold.clear()
    await override_constant(page, "voices/voice_cards.js", "DWELL_MS", 500, 1)
    await open_page(page, site)
    await page.locator(".voice-card", has_text="angus").hover()
    await page.locator(".voice-card.playing", has_text="angus").wait_for()
    await site.until(lambda received: any(message["type"] == "end" for message in received))
    assert next(message for message in site.received if message["type"] == "start")["voice"] == "angus"
    assert await selected_voice(page) == "clara"
    await page.locator("h1").hover()
    await site.until(lambda received: received[-1]["type"] == "cancel")
    await page.locator(".voice-card.playing").wait_for(state="detached")


async def test_card_that_moves_under_a_still_pointer_plays_nothing(site: Site, page: Any) -> None:
    await override_constant(page, "voices/voice_cards.js", "DWELL_MS", 500, 1)
    await open_page(page, site)
    card = page.locator(".voice-card", has_text="angus")
    await card.dispatch_event("pointerenter", {"pointerType": "mouse"})
    await page.evaluate("new Promise((resolve) => setTimeout(resolve, 100))")
    assert await page.locator(".voice-card.playing").count() == 0
    await card.hover()
    await page.locator(".voice-card.playing", has_text="angus").wait_for()


async def test_resting_on_a_voice_plays_nothing_before_the_first_click(site: Site, page: Any) -> None:
    """The browser would block it. Playwright's own steps count as clicks, so that the page is told otherwise."""
    await page.add_init_script(
        "Object.defineProperty(Navigator.prototype, 'userActivation', { value: { hasBeenActive: false } })"
    )
    await override_constant(page, "voices/voice_cards.js", "DWELL_MS", 500, 1)
    await open_page(page, site)
    await page.locator(".voice-card", has_text="angus").hover()
    await speak(page, "One.")
    await wait_for_status(page, "Done.")
    assert [message["voice"] for message in site.received if message["type"] == "start"] == ["clara"]


async def test_resting_on_a_voice_does_not_interrupt_speech(site: Site, page: Any) -> None:
    site.hold = HoldAfter(words=2)
    await override_constant(page, "voices/voice_cards.js", "DWELL_MS", 500, 1)
    await open_page(page, site)
    await speak(page, "One two three.")
    await page.locator("#captions .played").first.wait_for()
    await page.locator(".voice-card", has_text="angus").hover()
    site.hold.set()
    await wait_for_status(page, "Done.")
    assert len([message for message in site.received if message["type"] == "start"]) == 1


async def test_mute_button_restores_the_volume(site: Site, page: Any) -> None:
    await open_page(page, site)
    await page.get_by_label("Volume").fill("0.4")
    mute = page.get_by_role("button", name="Mute")
    for pressed, volume in (("true", "0"), ("false", "0.4")):
        await mute.click()
        assert await mute.get_attribute("aria-pressed") == pressed
        assert await page.get_by_label("Volume").input_value() == volume


async def test_text_and_speech_share_a_clock(site: Site, page: Any) -> None:
    await open_page(page, site)
    await page.get_by_role("switch", name="Write like an LLM").check()
    await page.get_by_label("Tokens per second").fill("40")
    await speak(page, "One. Two three four five six seven eight nine ten eleven twelve.")
    await wait_for_status(page, "Done.")
    await page.get_by_text("Heard while the text was still being written (shaded):").wait_for()
    await page.get_by_role("switch", name="Write like an LLM").uncheck()
    await speak(page, "One.")
    await page.get_by_text("Above, the text as it is written").wait_for()


async def test_several_voices_sum_up_their_times_to_first_audio(site: Site, page: Any) -> None:
    await open_page(page, site)
    await page.get_by_role("button", name="Speak together").click()
    await page.get_by_text("First audio of 4 voices: median").wait_for()
    assert await page.locator(".lane canvas").count() == 4
    await page.keyboard.press("Escape")


async def test_speak_stays_in_reach_on_a_phone(site: Site, page: Any) -> None:
    await page.set_viewport_size(PHONE)
    site.hold = HoldAfter(words=2)
    await open_page(page, site)
    await speak(page, "One two three.")
    await page.locator("#captions .played").first.wait_for()
    await page.locator("#timeline").scroll_into_view_if_needed()
    for id in ("speak", "status", "first-audio"):
        box = await page.locator(f"#{id}").bounding_box()
        assert 0 <= box["y"] <= PHONE["height"] - box["height"], id
    site.hold.set()
