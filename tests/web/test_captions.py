"""Captions in real Chromium: words are highlighted while they play, with exact times if the server knows them."""

from typing import Any

import pytest

from sayline_tts.engine.checkpoint.alignment_heads import AlignmentHeads
from tests.clients import scripted
from tests.clients.speaker import Speaker
from tests.clients.tone import FRAME_MS
from tests.web.page_server import PageServer
from tests.web.page_status import wait_for_status
from tests.web.site import HoldAfter, Site, http_response

SPOKEN_MS = 50.0  # of each word's frame; the rest is a pause
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
    """The scripted server reports exact word ends."""
    monkeypatch.setattr(scripted, "Speaker", ExactSpeaker)


async def speak(page: Any, address: str, text: str) -> None:
    await page.goto(address)
    await wait_for_status(page, "Ready.")
    await page.get_by_label("Text to speak").fill(text)
    await page.get_by_role("button", name="Speak", exact=True).click()


async def subtitles(page: Any) -> tuple[str, str]:
    """The name and the text of the downloaded file."""
    async with page.expect_download() as coming:
        await page.get_by_role("button", name="Subtitles").click()
    download = await coming.value
    return download.suggested_filename, (await download.path()).read_text("utf-8")


async def titles(page: Any) -> list[str]:
    spans = await page.locator("#captions span").all()
    return [str(await span.get_attribute("title")) for span in spans]


async def highlighted_after_two_words(site: Site, page: Any) -> list[str]:
    """The highlighted words when two words have been played and the third is held back."""
    site.hold = HoldAfter(words=2)
    await speak(page, site.address, "One two three.")
    await wait_for_status(page, "Waiting for audio")
    assert await page.locator("#captions .played").all_text_contents() == ["One", "two"]
    highlighted = await page.locator("#captions .current").all_text_contents()
    site.hold.set()
    await wait_for_status(page, "Done.")
    assert await page.locator("#captions .played").all_text_contents() == ["One", "two", "three."]
    assert await page.locator("#captions .current").count() == 0
    return list(highlighted)


async def test_no_word_is_highlighted_after_its_exact_end(site: Site, page: Any, exact: None) -> None:
    assert await highlighted_after_two_words(site, page) == []


async def test_word_with_estimated_end_stays_highlighted_until_the_next(site: Site, page: Any) -> None:
    assert await highlighted_after_two_words(site, page) == ["two"]


async def test_exact_times_are_shown_and_saved(site: Site, page: Any, exact: None) -> None:
    await page.goto(site.address)
    await wait_for_status(page, "Ready.")
    assert await page.get_by_role("button", name="Subtitles").is_disabled()
    await speak(page, site.address, "One & two. Three.")
    await wait_for_status(page, "Done.")
    assert await titles(page) == ["0.00 to 0.05 s", "0.08 to 0.13 s", "0.16 to 0.21 s", "0.24 to 0.29 s"]
    await page.get_by_label("Text to speak").fill("Something else.")
    name, text = await subtitles(page)
    assert name == "one-two-three.vtt"
    site.responders["/speech.vtt"] = lambda _: http_response(text.encode(), "text/vtt")
    one, three = await page.evaluate(CUES)
    assert one == [0, 0.21, "One <00:00:00.080>&amp; <00:00:00.160>two."]
    assert three == [0.24, 0.29, "Three."]
    assert "estimated" not in text


async def test_estimated_times_are_labelled(site: Site, page: Any) -> None:
    await speak(page, site.address, "One two.")
    await wait_for_status(page, "Done.")
    assert await titles(page) == ["0.00 to 0.08 s, estimated", "0.08 to 0.16 s, estimated"]
    _, text = await subtitles(page)
    assert "NOTE Some of these times are estimated.\n" in text


async def test_model_with_alignment_heads_gives_exact_times(server: PageServer, page: Any) -> None:
    server.model.heads = AlignmentHeads(((0, 0),))
    await speak(page, server.address, "One two. [pause:0.4] Three.")
    await wait_for_status(page, "Done.")
    assert await titles(page) == ["0.00 to 0.16 s", "0.16 to 0.32 s", "0.72 to 0.88 s"]
    assert await page.locator("#captions .played").all_text_contents() == ["One", "two.", "Three."]
