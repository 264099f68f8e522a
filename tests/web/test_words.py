"""Words on the page in real Chromium: lit while they are heard, with true times where the server knows them."""

from typing import Any

import pytest

from sayline_tts.engine.checkpoint.alignment_heads import AlignmentHeads
from tests.clients import scripted
from tests.clients.speaker import Speaker
from tests.clients.tone import FRAME_MS
from tests.web.site import After, Site, respond
from tests.web.stage import Stage
from tests.web.watching import status

SPOKEN_MS = 50.0  # of a word's frame; what is left of it is a pause
CUES = """(async () => {
    const [video, track] = [document.createElement('video'), document.createElement('track')];
    video.append(track);
    track.src = '/speech.vtt';
    track.track.mode = 'hidden';
    await new Promise((done, fail) => Object.assign(track, { onload: done, onerror: fail }));
    return [...track.track.cues].map(({ startTime, endTime, text }) => [startTime, endTime, text]);
})()"""


class ExactSpeaker(Speaker):
    def say(self, kind: str, **fields: object) -> None:
        if kind == "word":
            super().say(kind, **fields | {"estimated": False})
            place = {name: fields[name] for name in ("start_char", "end_char", "start_ms")}
            super().say("word_end", **place, end_ms=fields["end_ms"] - FRAME_MS + SPOKEN_MS)  # type: ignore[operator]
        else:
            super().say(kind, **fields)


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """The site knows when each word is over."""
    monkeypatch.setattr(scripted, "Speaker", ExactSpeaker)


async def speak(page: Any, address: str, text: str) -> None:
    await page.goto(address)
    await status(page, "Ready.")
    await page.get_by_label("Text to speak").fill(text)
    await page.get_by_role("button", name="Speak", exact=True).click()


async def subtitles(page: Any) -> tuple[str, str]:
    """Name and text."""
    async with page.expect_download() as coming:
        await page.get_by_role("button", name="Subtitles").click()
    download = await coming.value
    return download.suggested_filename, (await download.path()).read_text("utf-8")


async def titles(page: Any) -> list[str]:
    spans = await page.locator("#captions span").all()
    return [str(await span.get_attribute("title")) for span in spans]


async def lit_after_two(site: Site, page: Any) -> list[str]:
    """Which words are lit where the sound of two was heard, and no more comes for a while."""
    site.hold = After(words=2)
    await speak(page, site.address, "One two three.")
    await status(page, "Waiting for sound")
    assert await page.locator("#captions .heard").all_text_contents() == ["One", "two"]
    lit = await page.locator("#captions .now").all_text_contents()
    site.hold.set()
    await status(page, "Done.")
    assert await page.locator("#captions .heard").all_text_contents() == ["One", "two", "three."]
    assert await page.locator("#captions .now").count() == 0
    return list(lit)


async def test_behind_the_true_end_of_a_word_none_is_lit(site: Site, page: Any, exact: None) -> None:
    assert await lit_after_two(site, page) == []


async def test_a_word_whose_end_is_estimated_stays_lit_until_the_next(site: Site, page: Any) -> None:
    assert await lit_after_two(site, page) == ["two"]


async def test_true_times_are_shown_and_saved(site: Site, page: Any, exact: None) -> None:
    await page.goto(site.address)
    await status(page, "Ready.")
    assert await page.get_by_role("button", name="Subtitles").is_disabled()
    await speak(page, site.address, "One & two. Three.")
    await status(page, "Done.")
    assert await titles(page) == ["0.00 to 0.05 s", "0.08 to 0.13 s", "0.16 to 0.21 s", "0.24 to 0.29 s"]
    await page.get_by_label("Text to speak").fill("Something else.")
    name, text = await subtitles(page)
    assert name == "one-two-three.vtt"
    site.answers["/speech.vtt"] = lambda _: respond(text.encode(), "text/vtt")
    one, three = await page.evaluate(CUES)
    assert one == [0, 0.21, "One <00:00:00.080>&amp; <00:00:00.160>two."]
    assert three == [0.24, 0.29, "Three."]
    assert "estimated" not in text


async def test_times_that_are_estimated_are_said_to_be(site: Site, page: Any) -> None:
    await speak(page, site.address, "One two.")
    await status(page, "Done.")
    assert await titles(page) == ["0.00 to 0.08 s, estimated", "0.08 to 0.16 s, estimated"]
    _, text = await subtitles(page)
    assert "NOTE Some of these times are estimated.\n" in text


async def test_a_model_that_shows_its_words_gives_the_page_true_times(stage: Stage, page: Any) -> None:
    stage.model.heads = AlignmentHeads(((0, 0),))
    await speak(page, stage.address, "One two. [pause:0.4] Three.")
    await status(page, "Done.")
    assert await titles(page) == ["0.00 to 0.16 s", "0.16 to 0.32 s", "0.72 to 0.88 s"]
    assert await page.locator("#captions .heard").all_text_contents() == ["One", "two.", "Three."]
