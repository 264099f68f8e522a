"""What is heard and what is seen of it: the samples that reach the sound device, by the audio clock."""

import statistics
from typing import Any

import pytest

from tests.web.listening import WINDOW_MS, Heard, listen
from tests.web.site import ARGUMENTS, CHROMIUM, After, Site
from tests.web.watching import status

WORDS = 30
WORD_MS = 80
TEXT = " ".join(f"word{n}" for n in range(WORDS))
PRE_SKIP_MS = 6.5  # of Opus, which the last frame is shorter by


async def speak(page: Any, site: Site, text: str = TEXT, format: str = "opus") -> None:
    await listen(page, site)
    await page.goto(site.address)
    await page.get_by_label("Sent as").select_option(format)
    await page.get_by_label("Text to speak").fill(text)
    await page.get_by_role("button", name="Speak", exact=True).click()


async def all_passed(page: Any) -> None:
    """What was on its way to the device is noted."""
    await page.evaluate("new Promise((next) => setTimeout(next, 300))")


@pytest.mark.parametrize("format", ["opus", "pcm"])
async def test_what_is_heard_is_the_speech_without_a_gap(site: Site, page: Any, format: str) -> None:
    """Unless this machine is so busy that it runs dry; then the page says so."""
    await speak(page, site, format=format)
    await status(page, "Done.")
    await all_passed(page)
    heard = await Heard.of(page)
    gaps = len(heard.loud) - 1
    assert gaps == int(await page.locator("#underruns").text_content())
    assert heard.speech_ms == pytest.approx(WORDS * WORD_MS, abs=PRE_SKIP_MS + 2 * WINDOW_MS * (1 + gaps))
    assert [message["format"] for message in site.received if message["type"] == "start"] == [format]


async def test_words_light_up_when_they_are_heard(site: Site, page: Any) -> None:
    await speak(page, site, format="pcm")
    await status(page, "Done.")
    await all_passed(page)
    heard = await Heard.of(page)
    assert [word for word, _ in heard.lit] == TEXT.split()
    late_ms = [heard.ms(frame) - heard.when_ms(n * WORD_MS) for n, (_, frame) in enumerate(heard.lit)]
    assert min(late_ms) > -WINDOW_MS - 2  # a window, and a quantum of the audio thread: never before it is heard
    assert statistics.median(late_ms) < 250


async def test_stop_is_silence_within_100_ms(site: Site, page: Any) -> None:
    site.hold = After(words=250)
    await speak(page, site, "word " * 300)
    await page.locator("#captions .now").wait_for()
    await page.get_by_role("button", name="Stop", exact=True).click()
    await status(page, "words had been heard.")
    await all_passed(page)
    heard = await Heard.of(page)
    stopped_ms = heard.ms(heard.presses["Stop"])
    assert heard.loud_ms(0, stopped_ms) > 0
    assert heard.loud_ms(stopped_ms + 100, float("inf")) == 0
    cancel = next(message for message in site.received if message["type"] == "cancel")
    assert cancel["played_ms"] == pytest.approx(heard.speech_ms, abs=100)


async def test_a_pause_holds_everything_and_resume_goes_on_where_it_was(site: Site, page: Any) -> None:
    await speak(page, site)
    await page.locator("#captions .now").wait_for()
    await page.get_by_role("button", name="Pause").click()
    await status(page, "Paused.")
    await all_passed(page)
    played = await page.locator("#played").text_content()
    await all_passed(page)
    assert await page.locator("#played").text_content() == played
    await page.get_by_role("button", name="Resume").click()
    await status(page, "Done.")
    await all_passed(page)
    heard = await Heard.of(page)
    paused_ms, resumed_ms = heard.ms(heard.presses["Pause"]), heard.ms(heard.presses["Resume"])
    assert resumed_ms - paused_ms > 150
    assert heard.loud_ms(paused_ms + 100, resumed_ms - WINDOW_MS) == 0
    assert heard.loud_ms(resumed_ms, float("inf")) > 0
    assert heard.speech_ms == pytest.approx(WORDS * WORD_MS, abs=60)


async def test_what_was_said_can_be_heard_again_from_a_word_on(site: Site, page: Any) -> None:
    await speak(page, site)
    await status(page, "Done.")
    started = len(site.received)
    await page.locator("#captions span", has_text=f"word{WORDS - 10}").click()
    await status(page, "Once more…")
    await status(page, "Done.")
    await all_passed(page)
    *_, (start_ms, end_ms) = (await Heard.of(page)).loud
    assert end_ms - start_ms == pytest.approx(10 * WORD_MS, abs=30)
    assert len(site.received) == started  # the server has nothing to do with it


async def test_what_was_said_can_be_heard_again_by_the_keyboard(site: Site, page: Any) -> None:
    await speak(page, site)
    await status(page, "Done.")
    await page.get_by_label("Hear again from here").focus()
    await page.keyboard.press("Home")
    await status(page, "Once more…")
    await page.keyboard.press("Escape")
    await status(page, "Stopped.")


async def test_a_connection_that_breaks_loses_nothing_and_repeats_nothing(site: Site, page: Any) -> None:
    text = "one two hangup three four. five snap six seven."
    await speak(page, site, text, format="pcm")
    await status(page, "Done.")
    await all_passed(page)
    heard = await Heard.of(page)
    assert heard.speech_ms == pytest.approx(7 * WORD_MS, abs=WINDOW_MS * (1 + len(heard.loud)))
    assert await page.locator("#captions .heard").all_text_contents() == [
        "one", "two", "three", "four.", "five", "six", "seven."
    ]  # fmt: skip
    assert len(site.connections) > 1


async def test_one_click_is_all_that_a_first_time_visitor_needs(site: Site, playwright: Any) -> None:
    """As browsers are: silent until somebody clicks."""
    strict = [argument for argument in ARGUMENTS if "autoplay" not in argument]
    browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=strict)
    page = await browser.new_page()
    await listen(page, site)
    await page.goto(site.address)
    await page.get_by_role("button", name="Speak", exact=True).click()
    await status(page, "Done.")
    await all_passed(page)
    words = len((await page.get_by_label("Text to speak").input_value()).split())
    assert (await Heard.of(page)).speech_ms == pytest.approx(words * WORD_MS, abs=60)
    await browser.close()


async def test_a_browser_that_decodes_no_opus_is_sent_pcm(site: Site, page: Any) -> None:
    await page.add_init_script("delete globalThis.AudioDecoder")
    await listen(page, site)
    await page.goto(site.address)
    await page.get_by_label("Text to speak").fill(TEXT)
    await page.get_by_role("button", name="Speak", exact=True).click()
    await status(page, "Done.")
    await all_passed(page)
    heard = await Heard.of(page)
    assert heard.rate_hz == 24_000
    assert heard.speech_ms == pytest.approx(WORDS * WORD_MS, abs=60)
    assert [message["format"] for message in site.received if message["type"] == "start"] == ["pcm"]
    assert await page.get_by_label("Sent as").input_value() == "pcm"


async def test_the_volume_can_be_turned_down(site: Site, page: Any) -> None:
    await listen(page, site)
    await page.goto(site.address)
    await page.get_by_label("Volume").fill("0")
    await page.get_by_role("button", name="Speak", exact=True).click()
    await status(page, "Done.")
    await all_passed(page)
    assert (await Heard.of(page)).loud == []


async def test_several_are_heard_at_once(site: Site, page: Any) -> None:
    await listen(page, site)
    await page.goto(site.address)
    await page.get_by_label("Voices", exact=True).select_option("3")
    await page.get_by_role("button", name="Speak together").click()
    await status(page, "Done.")
    starts = [message for message in site.received if message["type"] == "start"]
    assert len({message["context_id"] for message in starts}) == 3
    assert [message["voice"] for message in starts] == ["clara", "angus", "clara"]
    texts = await page.locator(".lane p").all_text_contents()
    assert [site.texts(message["context_id"]) for message in starts] == texts
    assert await page.locator(".lane p > span:not(.heard)").count() == 0
    await all_passed(page)
    words = [len(text.split()) for text in texts]
    heard_ms = (await Heard.of(page)).speech_ms
    assert max(words) * WORD_MS - 60 <= heard_ms < 0.7 * sum(words) * WORD_MS  # beside each other, not in turn
