"""The page in real Chromium with a scripted server: speech, settings, errors, downloads and code samples."""

from http import HTTPStatus
from typing import Any

import pytest

from tests.clients.scripted import VOICES
from tests.web.browsers import override_constant
from tests.web.page_controls import open_advanced, select_voice, selected_voice, voice_names
from tests.web.page_status import record_statuses, wait_for_status
from tests.web.site import HoldAfter, Site, http_response

TEXT = "One two three. Four five six seven."


async def open_page(page: Any, site: Site) -> None:
    await page.goto(site.address)
    await wait_for_status(page, "Ready.")


async def speak(page: Any, text: str = TEXT) -> None:
    await page.get_by_label("Text to speak").fill(text)
    await page.get_by_role("button", name="Speak", exact=True).click()


def start_message(site: Site) -> dict[str, Any]:
    return next(message for message in site.received if message["type"] == "start")


async def test_page_speaks_the_text(site: Site, page: Any) -> None:
    await open_page(page, site)
    assert await selected_voice(page) == "clara"
    await select_voice(page, "angus")
    await speak(page)
    await wait_for_status(page, "Done.")
    assert await page.locator("#duration").text_content() == "0:00.6"
    assert int(await page.locator("#first-audio").text_content()) >= 0
    assert float(await page.locator("#real-time-factor").text_content()) > 0
    assert await page.locator("#captions").text_content() == TEXT
    assert await page.locator("#captions .played").all_text_contents() == TEXT.split()
    assert start_message(site)["voice"] == "angus"
    assert site.texts() == TEXT


async def test_settings_are_sent_and_unset_ones_omitted(site: Site, page: Any) -> None:
    await open_page(page, site)
    await speak(page)
    await wait_for_status(page, "Done.")
    defaults = start_message(site)
    assert {"speed", "temperature", "decode_steps"}.isdisjoint(defaults)
    await open_advanced(page)
    assert await page.get_by_label("Seed").get_attribute("placeholder") == str(defaults["seed"])
    site.received.clear()
    await page.get_by_label("Speech speed").fill("1.5")
    await page.get_by_label("Temperature").fill("0.7")
    await page.get_by_label("Decode steps").fill("4")
    await page.get_by_label("Seed").fill("42")
    await page.get_by_label("Audio format").select_option("pcm")
    await speak(page)
    await wait_for_status(page, "Done.")
    expected = {"speed": 1.5, "temperature": 0.7, "decode_steps": 4, "seed": 42, "format": "pcm"}
    assert expected.items() <= start_message(site).items()


async def test_invalid_setting_is_not_sent(site: Site, page: Any) -> None:
    await open_page(page, site)
    await open_advanced(page)
    await page.get_by_label("Decode steps").fill("99")
    await page.get_by_text("Advanced").click()
    await speak(page)
    assert await page.get_by_label("Decode steps").evaluate("field => field.matches(':focus:invalid')")
    assert site.received == []


async def test_simulated_llm_sends_one_token_at_a_time(site: Site, page: Any) -> None:
    await open_page(page, site)
    await page.get_by_role("switch", name="Write like an LLM").click()
    await page.get_by_label("Tokens per second").fill("60")
    await speak(page)
    await site.until(lambda received: any(message["type"] == "text" for message in received))
    assert not any(message["type"] == "end" for message in site.received)
    await wait_for_status(page, "Done.")
    pieces = [message["text"] for message in site.received if message["type"] == "text"]
    assert pieces == ["One", " two", " three", ".", " Four", " five", " six", " seven", "."]


async def test_speak_works_again_after_stop(site: Site, page: Any) -> None:
    await open_page(page, site)
    await speak(page, "word " * 300 + "end.")
    await wait_for_status(page, "Speaking…")
    await page.get_by_role("button", name="Stop", exact=True).click()
    await wait_for_status(page, "of 301 words were heard.")
    await speak(page, "Again.")
    await wait_for_status(page, "Done.")
    assert await page.locator("#captions").text_content() == "Again."


async def test_words_heard_before_a_stop_stay_marked(site: Site, page: Any) -> None:
    await open_page(page, site)
    await speak(page, "word " * 300)
    await page.locator("#captions .played").first.wait_for()
    await page.keyboard.press("Escape")
    await wait_for_status(page, "words were heard.")
    shown = await page.locator("#status").text_content()
    heard = await page.locator("#captions .played").count()
    assert f": {heard} of 300 words" in shown
    assert 0 <= heard < 300


async def test_keyboard_shortcut_starts_speech(site: Site, page: Any) -> None:
    await open_page(page, site)
    await page.get_by_label("Text to speak").focus()
    await page.keyboard.press("Control+Enter")
    await wait_for_status(page, "Done.")


async def test_server_error_is_shown(site: Site, page: Any) -> None:
    await open_page(page, site)
    await speak(page, "One refuse two three.")
    await wait_for_status(page, "Too much text waits.")
    await page.get_by_role("button", name="Speak", exact=True).wait_for()
    assert "error" in await page.locator("#status").get_attribute("class")


async def test_queue_position_is_shown(site: Site, page: Any) -> None:
    site.places = [3]
    site.hold.clear()
    await open_page(page, site)
    await speak(page)
    await wait_for_status(page, "You are 3rd in line")
    site.hold.set()
    await wait_for_status(page, "Done.")


async def test_full_server_is_shown_and_speak_retries(site: Site, page: Any) -> None:
    site.close_with = (1013, "no more sessions are taken now")
    await page.goto(site.address)
    await wait_for_status(page, "The server is full: it takes no more sessions now. Press Speak to try again.")
    site.close_with = None
    await speak(page)
    await wait_for_status(page, "Done.")
    assert site.texts() == TEXT


async def test_stalled_audio_is_shown(site: Site, page: Any) -> None:
    site.hold = HoldAfter(words=3)
    await open_page(page, site)
    await speak(page, "one two three four five")
    await wait_for_status(page, "Waiting for audio: the network or the server is slow.")
    site.hold.set()
    await wait_for_status(page, "Done.")
    assert await page.locator("#underruns").text_content() == "1"


async def test_played_position_is_acknowledged(site: Site, page: Any) -> None:
    site.hold = HoldAfter(words=30)
    await open_page(page, site)
    await speak(page, "One two. " * 20)
    await site.until(lambda received: any(message["type"] == "ack" for message in received))
    assert next(message for message in site.received if message["type"] == "ack")["played_ms"] > 0
    site.hold.set()
    await wait_for_status(page, "Done.")


async def test_empty_text_is_not_sent(site: Site, page: Any) -> None:
    await open_page(page, site)
    await speak(page, "  ")
    await wait_for_status(page, "Enter some text first.")
    assert site.received == []


async def test_closed_session_is_shown_and_speak_reopens_it(site: Site, page: Any) -> None:
    await open_page(page, site)
    await site.connections[0].close(1012, "the server restarts")
    await wait_for_status(page, "The server restarted. Press Speak to start again.")
    await speak(page)
    await wait_for_status(page, "Done.")
    assert site.texts() == TEXT


async def test_unreachable_server_is_shown(site: Site, page: Any) -> None:
    site.refuse_with = HTTPStatus.SERVICE_UNAVAILABLE
    site.responders["/healthz"] = lambda _: http_response(b"", "text/plain", HTTPStatus.SERVICE_UNAVAILABLE)
    await page.goto(site.address)
    await wait_for_status(
        page, "The server cannot be reached. Check that “sayline serve” is running, then press Speak."
    )
    assert len(page.console_errors) == 2  # the browser reports the WebSocket and the HTTP request
    page.console_errors.clear()


async def test_lost_and_restored_connection_is_shown(site: Site, page: Any) -> None:
    await override_constant(page, "server_connection.js", "NOTICE_MS", 3000, 1000)
    await open_page(page, site)
    await record_statuses(page)
    for session in site.sessions.values():
        session.cut()
    await wait_for_status(page, "Connected again.")
    assert "Connection lost. Reconnecting…" in await page.evaluate("statuses"), "it may be shown for a moment only"
    await wait_for_status(page, "Ready.")
    await speak(page)
    await wait_for_status(page, "Done.")


async def test_api_key_is_requested_and_not_shown(site: Site, page: Any) -> None:
    site.api_key = "secret"
    await page.goto(site.address)
    await wait_for_status(page, "requires an API key")
    await page.get_by_label("API key").fill("wrong")
    await page.get_by_role("button", name="Connect").click()
    await wait_for_status(page, "rejected this API key")
    await page.get_by_label("API key").fill("secret")
    await page.get_by_role("button", name="Connect").click()
    await wait_for_status(page, "Ready.")
    assert await page.get_by_label("API key").is_hidden()
    assert "secret" not in await page.locator("#code").text_content()
    assert 'os.environ["SAYLINE_API_KEY"]' in await page.locator("#code").text_content()
    # The browser reports the rejected requests, and those for tokens, which need the real server.
    reported = ("401", "Authentication", "Failed to load resource: net::")
    assert all(any(text in error for text in reported) for error in page.console_errors)
    page.console_errors.clear()


async def test_download_requests_the_same_speech(site: Site, page: Any) -> None:
    requests: list[Any] = []

    async def answer(route: Any) -> None:
        requests.append(route.request.post_data_json)
        await route.fulfill(body=b"RIFF", content_type="audio/wav")

    await page.route("**/generate", answer)
    await open_page(page, site)
    await page.get_by_label("Speech speed").fill("1.25")
    await speak(page)
    await wait_for_status(page, "Done.")
    async with page.expect_download() as coming:
        await page.get_by_role("button", name="WAV").click()
    download = await coming.value
    assert download.suggested_filename == "one-two-three-four-five-six-seven.wav"
    assert (await download.path()).read_bytes() == b"RIFF"
    seed = start_message(site)["seed"]
    assert requests == [{"text": TEXT, "voice": "clara", "format": "wav", "speed": 1.25, "seed": seed}]
    assert await page.locator("#save-note").text_content() == f"Saved as {download.suggested_filename}."


async def test_failed_download_shows_the_servers_message(site: Site, page: Any) -> None:
    answer = {"error": {"message": "all are speaking; try again", "code": "full"}}
    await page.route("**/generate", lambda route: route.fulfill(status=503, json=answer))
    await open_page(page, site)
    await page.get_by_role("button", name="MP3").click()
    await page.locator("#save-note.error", has_text="All are speaking; try again.").wait_for()
    assert await page.get_by_role("button", name="MP3").is_enabled()
    assert len(page.console_errors) == 1  # reported by the browser
    page.console_errors.clear()


async def test_code_sample_is_copied_as_shown(site: Site, page: Any) -> None:
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await open_page(page, site)
    await page.get_by_label("Text to speak").fill("It's \"five\" o'clock.")
    for name in ("JavaScript", "curl", "OpenAI", "Python"):
        button = page.get_by_role("group", name="As a program").get_by_role("button", name=name)
        await button.click()
        assert await page.locator("#copied").text_content() == ""
        await page.get_by_role("button", name="Copy", exact=True).click()
        await page.locator("#copied", has_text="Copied.").wait_for()
        assert await page.evaluate("navigator.clipboard.readText()") == await page.locator("#code").text_content()
        assert await button.get_attribute("aria-pressed") == "true"


async def test_preview_interrupts_speech(site: Site, page: Any) -> None:
    site.hold = HoldAfter(words=250)
    await open_page(page, site)
    assert await voice_names(page) == VOICES
    await speak(page, "word " * 300)
    await wait_for_status(page, "Speaking…")
    await page.locator("#preview").click()
    await site.until(lambda received: len([m for m in received if m["type"] == "start"]) == 2)
    assert [m["context_id"] for m in site.received if m["type"] == "cancel"] == ["speech-1"]


@pytest.mark.parametrize("word", ["explode", "damage"])
async def test_page_speaks_again_after_a_failure(site: Site, page: Any, word: str) -> None:
    await open_page(page, site)
    await speak(page, f"One two {word} three.")
    await page.locator("#status.error").wait_for()
    await speak(page)  # which connects again, if the session is over
    await wait_for_status(page, "Done.")
