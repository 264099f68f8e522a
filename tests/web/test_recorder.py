"""Recording a voice on the page, in real Chromium with a microphone that is a file, or missing, or forbidden."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sayline_tts.engine.cloning.cloning import hear
from sayline_tts.server.voices.voices import Voices
from tests.engine.sounds import speech
from tests.web.stage import (
    ASKS_NOBODY,
    FAKES_IT,
    MICROPHONE_RATE_HZ,
    Stage,
    browsing,
    open_panel,
    staged,
    told,
    voices_of,
)

VOICE = speech(4, MICROPHONE_RATE_HZ)
BLOCKS = 50  # of loudness a second


@pytest.fixture
def uploads(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What voices are made from."""
    kept: list[bytes] = []
    clone = Voices.clone

    async def keep(self: Voices, data: bytes, name: str) -> Any:
        kept.append(data)
        return await clone(self, data, name)

    monkeypatch.setattr(Voices, "clone", keep)
    return kept


async def record(page: Any, clock: str) -> None:
    """Until so much is there, and a little more."""
    await page.get_by_role("button", name="Record").click()
    await page.locator("#clone-time", has_text=clock).wait_for()
    await page.get_by_role("button", name="Stop", exact=True).click()


async def until(page: Any, so: str) -> None:
    """Playwright's own way needs `eval`, which the page's policy forbids."""
    await page.evaluate(f"async () => {{ while (!({so})) await new Promise(requestAnimationFrame); }}")


async def test_what_the_microphone_hears_becomes_a_voice(stage: Stage, uploads: list[bytes]) -> None:
    async with browsing(sound=VOICE) as page:
        await open_panel(page, stage)
        await page.get_by_role("button", name="Record").click()
        await told(page, "Recording. Speak as you would to a friend…")
        await page.locator("#clone-time", has_text="0:06").wait_for()
        await page.get_by_role("button", name="Stop", exact=True).click()
        await told(page, "Listen to it, or make the voice.")
        await page.get_by_role("button", name="Listen to it").click()
        await page.get_by_role("button", name="Stop listening").click()
        await page.get_by_label("Name (optional)").fill("Me")
        await page.get_by_label("The speaker has agreed").check()
        await page.get_by_role("button", name="Make the voice").click()
        await told(page, "“Me” is made from")
        assert await voices_of(page) == ["Me", "ann", "bob", "eve"]
    heard = hear(uploads[0], "the upload")
    assert heard.seconds > 5.5
    assert likeness(heard.speech, heard.rate_hz) > 0.9


def likeness(heard: np.ndarray, rate_hz: int) -> float:
    """How much the loudness over time is that of `VOICE`, wherever that begins: 1 where it is the same.

    The median of what seconds give: where a machine is busy, the browser's microphone leaves something out at times.
    """
    ours, theirs = np.tile(envelope(VOICE, MICROPHONE_RATE_HZ), 2), envelope(heard, rate_hz)
    places = np.lib.stride_tricks.sliding_window_view(ours, BLOCKS)
    seconds = [theirs[start : start + BLOCKS] for start in range(0, len(theirs) - BLOCKS, BLOCKS)]
    return float(np.median([max(np.corrcoef(place, second)[0, 1] for place in places) for second in seconds]))


def envelope(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """In blocks of 20 ms."""
    block = rate_hz // BLOCKS
    return np.asarray(np.abs(samples[: len(samples) // block * block]).reshape(-1, block).mean(axis=1))


async def test_the_level_moves_while_somebody_speaks_and_rests_afterwards(stage: Stage) -> None:
    async with browsing(sound=VOICE) as page:
        await open_panel(page, stage)
        meter = page.get_by_role("meter", name="Level of the microphone")
        await page.get_by_role("button", name="Record").click()
        await until(page, "document.getElementById('clone-level').ariaValueNow > 40")
        await page.get_by_role("button", name="Stop", exact=True).click()
        assert await meter.get_attribute("aria-valuenow") == "0"


async def test_the_microphone_is_let_go_after_recording_and_when_the_panel_is_closed(stage: Stage) -> None:
    async with browsing(sound=VOICE) as page:
        await page.add_init_script(KEEP_TRACKS)
        await open_panel(page, stage)
        await record(page, "0:01")
        assert await page.evaluate("tracks.map(track => track.readyState)") == ["ended"]
        await page.get_by_role("button", name="Record").click()
        await told(page, "Recording.")
        await page.get_by_text("Clone a voice").click()
        await until(page, "tracks.every(track => track.readyState === 'ended')")
        assert await page.evaluate("tracks.length") == 2


KEEP_TRACKS = """
globalThis.tracks = [];
const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (wish) => {
  const stream = await ask(wish);
  tracks.push(...stream.getTracks());
  return stream;
};
"""


async def test_a_recording_stops_by_itself_at_its_longest(stage: Stage, uploads: list[bytes]) -> None:
    async with browsing(sound=VOICE) as page:
        await shorten(page)
        await open_panel(page, stage)
        await page.get_by_role("button", name="Record").click()
        await told(page, "recording.wav, 2.0 s.")
        await page.get_by_role("button", name="Record").wait_for()


async def shorten(page: Any) -> None:
    """Half a minute takes half a minute."""

    async def change(route: Any) -> None:
        answer = await route.fetch()
        text = await answer.text()
        assert "MAX_S = 30;" in text
        await route.fulfill(response=answer, body=text.replace("MAX_S = 30;", "MAX_S = 2;"))

    await page.route("**/voice_prompt.js", change)


async def test_a_muted_microphone_is_told_while_it_records(stage: Stage) -> None:
    async with browsing(sound=0 * VOICE) as page:
        await open_panel(page, stage)
        await page.get_by_role("button", name="Record").click()
        await told(page, "Recording, but nothing is heard. Is the microphone muted?")
        await page.get_by_role("button", name="Stop", exact=True).click()
        await told(page, "There is nothing to hear in it. Is the microphone muted?", fault=True)


async def test_a_quiet_microphone_is_told_before_anything_is_sent(stage: Stage) -> None:
    async with browsing("--disable-features=WebRtcApmInAudioService", sound=0.02 * VOICE) as page:
        await open_panel(page, stage)
        await record(page, "0:05")
        await told(page, "It is very quiet: go nearer to the microphone, or turn it up.")


async def test_a_short_recording_is_told_before_anything_is_sent(stage: Stage) -> None:
    async with browsing(sound=VOICE) as page:
        await open_panel(page, stage)
        await record(page, "0:01")
        await told(page, "5 s or more make a voice that is more like the speaker.")


async def test_pressing_make_while_recording_stops_first(stage: Stage) -> None:
    async with browsing(sound=VOICE) as page:
        await open_panel(page, stage)
        await page.get_by_role("button", name="Record").click()
        await page.locator("#clone-time", has_text="0:01").wait_for()
        await page.get_by_role("button", name="Make the voice").click()
        await told(page, "recording.wav, ")
        assert not stage.model.cloning.is_set()


async def test_a_microphone_that_is_forbidden_is_told_in_words(stage: Stage) -> None:
    async with browsing("--deny-permission-prompts", without=(ASKS_NOBODY,)) as page:
        await open_panel(page, stage)
        await page.get_by_role("button", name="Record").click()
        await told(page, "This page may not use the microphone. Allow it beside the address above", fault=True)
        await page.get_by_role("button", name="Record").wait_for()


async def test_a_microphone_that_is_not_there_is_told_in_words(stage: Stage) -> None:
    async with browsing(without=(FAKES_IT,)) as page:
        await open_panel(page, stage)
        await page.get_by_role("button", name="Record").click()
        await told(page, "There is no microphone. Plug one in and press Record again, or choose a file.", fault=True)


async def test_a_page_that_came_over_plain_http_has_no_microphone_and_says_so(tmp_path: Path) -> None:
    async with (
        staged(tmp_path, host_names="sayline.example") as stage,
        browsing("--host-resolver-rules=MAP sayline.example 127.0.0.1") as page,
    ):
        await page.goto(stage.address.replace("127.0.0.1", "sayline.example"))
        await page.get_by_text("Clone a voice").click()
        await page.get_by_role("button", name="Record").click()
        await told(page, "A browser gives the microphone only to pages from https or from localhost.", fault=True)
        page.complaints.clear()


async def test_a_microphone_that_is_pulled_out_leaves_what_was_recorded(stage: Stage) -> None:
    async with browsing(sound=VOICE) as page:
        await page.add_init_script(KEEP_TRACKS)
        await open_panel(page, stage)
        await page.get_by_role("button", name="Record").click()
        await page.locator("#clone-time", has_text="0:01").wait_for()
        await page.evaluate("tracks[0].dispatchEvent(new Event('ended'))")
        await told(page, "recording.wav, ")
        await page.get_by_role("button", name="Record").wait_for()


async def test_an_earlier_recording_stays_when_the_microphone_is_refused(stage: Stage) -> None:
    async with browsing(sound=VOICE) as page:
        await open_panel(page, stage)
        await record(page, "0:01")
        refuse = "async () => { throw new DOMException('', 'NotReadableError') }"
        await page.evaluate(f"() => {{ navigator.mediaDevices.getUserMedia = {refuse} }}")
        await page.get_by_role("button", name="Record").click()
        await told(page, "The microphone does not answer: another program may hold it.", fault=True)
        assert await page.get_by_role("button", name="Listen to it").is_enabled()
