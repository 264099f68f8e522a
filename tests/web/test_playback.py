"""Playback in real Chromium: the samples that reach the audio device, and the words highlighted with them."""

import statistics
from typing import Any

import pytest

from tests.web.audio_capture import WINDOW_MS, CapturedAudio, capture_audio, flush_captured_audio
from tests.web.browsers import Browsers
from tests.web.page_controls import open_advanced
from tests.web.page_status import wait_for_status
from tests.web.site import AUTOPLAY, HoldAfter, Site

WORDS = 30
WORD_MS = 80
TEXT = " ".join(f"word{n}" for n in range(WORDS))
PRE_SKIP_MS = 6.5  # dropped by the Opus decoder


async def speak(page: Any, site: Site, text: str = TEXT, format: str = "opus") -> None:
    await capture_audio(page, site)
    await page.goto(site.address)
    await open_advanced(page)
    await page.get_by_label("Audio format").select_option(format)
    await page.get_by_label("Text to speak").fill(text)
    await page.get_by_role("button", name="Speak", exact=True).click()


@pytest.mark.parametrize("format", ["opus", "pcm"])
async def test_played_audio_is_the_speech_without_gaps(site: Site, page: Any, format: str) -> None:
    """Allows underruns on a busy machine, provided that the page reports them."""
    await speak(page, site, format=format)
    await wait_for_status(page, "Done.")
    await flush_captured_audio(page)
    captured = await CapturedAudio.from_page(page)
    gaps = len(captured.sounds) - 1
    assert gaps == int(await page.locator("#underruns").text_content())
    assert captured.speech_ms == pytest.approx(WORDS * WORD_MS, abs=PRE_SKIP_MS + 2 * WINDOW_MS * (1 + gaps))
    assert [message["format"] for message in site.received if message["type"] == "start"] == [format]


async def test_words_are_highlighted_when_they_are_played(site: Site, page: Any) -> None:
    await speak(page, site, format="pcm")
    await wait_for_status(page, "Done.")
    await flush_captured_audio(page)
    captured = await CapturedAudio.from_page(page)
    assert [word for word, _ in captured.highlights] == TEXT.split()
    late_ms = [
        captured.ms(frame) - captured.time_of_speech_ms(n * WORD_MS) for n, (_, frame) in enumerate(captured.highlights)
    ]
    assert min(late_ms) > -WINDOW_MS - 2  # never early; allows for a window and a quantum of the audio thread
    assert statistics.median(late_ms) < 250


async def test_stop_is_silent_within_100_ms(site: Site, page: Any) -> None:
    site.hold = HoldAfter(words=250)
    await speak(page, site, "word " * 300)
    await page.locator("#captions .current").wait_for()
    await page.get_by_role("button", name="Stop", exact=True).click()
    await wait_for_status(page, "words were heard.")
    await flush_captured_audio(page, 300)
    captured = await CapturedAudio.from_page(page)
    stopped_ms = captured.ms(captured.clicks["Stop"])
    assert captured.sound_ms(0, stopped_ms) > 0
    assert captured.sound_ms(stopped_ms + 100, float("inf")) == 0
    cancel = next(message for message in site.received if message["type"] == "cancel")
    assert cancel["played_ms"] == pytest.approx(captured.speech_ms, abs=100)


async def test_pause_holds_everything_and_resume_continues(site: Site, page: Any) -> None:
    await speak(page, site)
    await page.locator("#captions .current").wait_for()
    await page.get_by_role("button", name="Pause", exact=True).click()
    await wait_for_status(page, "Paused.")
    await flush_captured_audio(page, 300)
    played = await page.locator("#played").text_content()
    await flush_captured_audio(page, 300)
    assert await page.locator("#played").text_content() == played
    await page.get_by_role("button", name="Resume").click()
    await wait_for_status(page, "Done.")
    await flush_captured_audio(page)
    captured = await CapturedAudio.from_page(page)
    paused_ms, resumed_ms = captured.ms(captured.clicks["Pause"]), captured.ms(captured.clicks["Resume"])
    assert resumed_ms - paused_ms > 150
    assert captured.sound_ms(paused_ms + 100, resumed_ms - WINDOW_MS) == 0
    assert captured.sound_ms(resumed_ms, float("inf")) > 0
    assert captured.speech_ms == pytest.approx(WORDS * WORD_MS, abs=60)


async def test_click_on_a_word_replays_from_there(site: Site, page: Any) -> None:
    await speak(page, site)
    await wait_for_status(page, "Done.")
    started = len(site.received)
    await page.locator("#captions span", has_text=f"word{WORDS - 10}").click()
    await wait_for_status(page, "Playing again…")
    await wait_for_status(page, "Done.")
    await flush_captured_audio(page)
    *_, (start_ms, end_ms) = (await CapturedAudio.from_page(page)).sounds
    assert end_ms - start_ms == pytest.approx(10 * WORD_MS, abs=30)
    assert len(site.received) == started  # the server is not involved


async def test_keyboard_seek_replays_the_recording(site: Site, page: Any) -> None:
    await speak(page, site)
    await wait_for_status(page, "Done.")
    await page.get_by_label("Playback position").focus()
    await page.keyboard.press("Home")
    await wait_for_status(page, "Playing again…")
    await page.keyboard.press("Escape")
    await wait_for_status(page, "Stopped.")


async def test_lost_connection_neither_loses_nor_repeats_audio(site: Site, page: Any) -> None:
    text = "one two hangup three four. five snap six seven."
    await speak(page, site, text, format="pcm")
    await wait_for_status(page, "Done.")
    await flush_captured_audio(page)
    captured = await CapturedAudio.from_page(page)
    assert captured.speech_ms == pytest.approx(7 * WORD_MS, abs=WINDOW_MS * (1 + len(captured.sounds)))
    assert await page.locator("#captions .played").all_text_contents() == [
        "one", "two", "three", "four.", "five", "six", "seven."
    ]  # fmt: skip
    assert len(site.connections) > 1


async def test_first_click_is_enough_for_a_new_visitor(site: Site, browsers: Browsers) -> None:
    """With the default autoplay policy, which blocks audio before the first click."""
    async with browsers.page(without=(AUTOPLAY,)) as page:
        await capture_audio(page, site)
        await page.goto(site.address)
        await page.get_by_role("button", name="Speak", exact=True).click()
        await wait_for_status(page, "Done.")
        await flush_captured_audio(page)
        words = len((await page.get_by_label("Text to speak").input_value()).split())
        assert (await CapturedAudio.from_page(page)).speech_ms == pytest.approx(words * WORD_MS, abs=60)


async def test_without_opus_decoder_pcm_is_requested(site: Site, page: Any) -> None:
    await page.add_init_script("delete globalThis.AudioDecoder")
    await capture_audio(page, site)
    await page.goto(site.address)
    await page.get_by_label("Text to speak").fill(TEXT)
    await page.get_by_role("button", name="Speak", exact=True).click()
    await wait_for_status(page, "Done.")
    await flush_captured_audio(page)
    captured = await CapturedAudio.from_page(page)
    assert captured.rate_hz == 24_000
    assert captured.speech_ms == pytest.approx(WORDS * WORD_MS, abs=60)
    assert [message["format"] for message in site.received if message["type"] == "start"] == ["pcm"]
    assert await page.get_by_label("Audio format").input_value() == "pcm"


async def test_volume_zero_is_silent(site: Site, page: Any) -> None:
    await capture_audio(page, site)
    await page.goto(site.address)
    await page.get_by_label("Volume").fill("0")
    await page.get_by_role("button", name="Speak", exact=True).click()
    await wait_for_status(page, "Done.")
    await flush_captured_audio(page)
    assert (await CapturedAudio.from_page(page)).sounds == []


async def test_multi_voice_demo_plays_all_voices_at_once(site: Site, page: Any) -> None:
    await capture_audio(page, site)
    await page.goto(site.address)
    await page.get_by_label("Voices", exact=True).select_option("3")
    await page.get_by_role("button", name="Speak together").click()
    await wait_for_status(page, "Done.")
    starts = [message for message in site.received if message["type"] == "start"]
    assert len({message["context_id"] for message in starts}) == 3
    assert [message["voice"] for message in starts] == ["clara", "angus", "clara"]
    texts = await page.locator(".lane p").all_text_contents()
    assert [site.texts(message["context_id"]) for message in starts] == texts
    assert await page.locator(".lane p > span:not(.played)").count() == 0
    await flush_captured_audio(page)
    words = [len(text.split()) for text in texts]
    played_ms = (await CapturedAudio.from_page(page)).speech_ms
    assert max(words) * WORD_MS - 60 <= played_ms < 0.7 * sum(words) * WORD_MS  # at the same time, not in sequence
