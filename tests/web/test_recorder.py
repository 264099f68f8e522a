"""Recording a voice in real Chromium with a microphone that plays a file, is missing or is forbidden."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sayline_tts.engine.cloning.cloning import read_recording
from sayline_tts.server.voices.voices import Voices
from tests.engine.sounds import speech
from tests.web.page_server import (
    FAKE_DEVICE,
    FAKE_PERMISSION,
    MICROPHONE_RATE_HZ,
    PageServer,
    browser_page,
    open_panel,
    page_server,
    voice_names,
    wait_for_message,
)

VOICE = speech(4, MICROPHONE_RATE_HZ)
BLOCKS_PER_S = 50  # of the loudness envelope


@pytest.fixture
def uploads(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The recordings that voices are cloned from."""
    kept: list[bytes] = []
    clone = Voices.clone

    async def keep(self: Voices, data: bytes, name: str) -> Any:
        kept.append(data)
        return await clone(self, data, name)

    monkeypatch.setattr(Voices, "clone", keep)
    return kept


async def record(page: Any, clock: str) -> None:
    """Record until the clock shows this time."""
    await page.get_by_role("button", name="Record").click()
    await page.locator("#clone-time", has_text=clock).wait_for()
    await page.get_by_role("button", name="Stop", exact=True).click()


async def wait_until(page: Any, expression: str) -> None:
    """Wait until an expression is true. `wait_for_function` needs `eval`, which the page's policy forbids."""
    await page.evaluate(f"async () => {{ while (!({expression})) await new Promise(requestAnimationFrame); }}")


async def test_recording_becomes_a_voice(server: PageServer, uploads: list[bytes]) -> None:
    async with browser_page(sound=VOICE) as page:
        await open_panel(page, server)
        await page.get_by_role("button", name="Record").click()
        await wait_for_message(page, "Recording. Speak as you would to a friend…")
        await page.locator("#clone-time", has_text="0:06").wait_for()
        await page.get_by_role("button", name="Stop", exact=True).click()
        await wait_for_message(page, "Play it, or create the voice.")
        await page.get_by_role("button", name="Play the recording").click()
        await page.get_by_role("button", name="Stop playing").click()
        await page.get_by_label("Name (optional)").fill("Me")
        await page.get_by_label("The speaker has agreed").check()
        await page.get_by_role("button", name="Create the voice").click()
        await wait_for_message(page, "“Me” was created from")
        assert await voice_names(page) == ["Me", "ann", "bob", "eve"]
    recording = read_recording(uploads[0], "the upload")
    assert recording.seconds > 5.5
    assert envelope_correlation(recording.speech, recording.rate_hz) > 0.9


def envelope_correlation(recorded: np.ndarray, rate_hz: int) -> float:
    """The correlation of the loudness with that of `VOICE` at the best alignment: 1 if it is the same.

    The median over seconds: on a busy machine the simulated microphone drops some audio.
    """
    reference, envelopes = np.tile(envelope(VOICE, MICROPHONE_RATE_HZ), 2), envelope(recorded, rate_hz)
    windows = np.lib.stride_tricks.sliding_window_view(reference, BLOCKS_PER_S)
    seconds = [
        envelopes[start : start + BLOCKS_PER_S] for start in range(0, len(envelopes) - BLOCKS_PER_S, BLOCKS_PER_S)
    ]
    return float(np.median([max(np.corrcoef(window, second)[0, 1] for window in windows) for second in seconds]))


def envelope(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """The loudness envelope in blocks of 20 ms."""
    block = rate_hz // BLOCKS_PER_S
    return np.asarray(np.abs(samples[: len(samples) // block * block]).reshape(-1, block).mean(axis=1))


async def test_level_meter_moves_while_recording_and_resets_afterwards(server: PageServer) -> None:
    async with browser_page(sound=VOICE) as page:
        await open_panel(page, server)
        meter = page.get_by_role("meter", name="Microphone level")
        await page.get_by_role("button", name="Record").click()
        await wait_until(page, "document.getElementById('clone-level').ariaValueNow > 40")
        await page.get_by_role("button", name="Stop", exact=True).click()
        assert await meter.get_attribute("aria-valuenow") == "0"


async def test_microphone_is_released_after_recording_and_when_the_panel_closes(server: PageServer) -> None:
    async with browser_page(sound=VOICE) as page:
        await page.add_init_script(RECORD_TRACKS)
        await open_panel(page, server)
        await record(page, "0:01")
        assert await page.evaluate("tracks.map(track => track.readyState)") == ["ended"]
        await page.get_by_role("button", name="Record").click()
        await wait_for_message(page, "Recording.")
        await page.get_by_text("Clone a voice").click()
        await wait_until(page, "tracks.every(track => track.readyState === 'ended')")
        assert await page.evaluate("tracks.length") == 2


RECORD_TRACKS = """
globalThis.tracks = [];
const getUserMedia = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (constraints) => {
  const stream = await getUserMedia(constraints);
  tracks.push(...stream.getTracks());
  return stream;
};
"""


async def test_recording_stops_at_its_maximum_length(server: PageServer, uploads: list[bytes]) -> None:
    async with browser_page(sound=VOICE) as page:
        await limit_recording_length(page)
        await open_panel(page, server)
        await page.get_by_role("button", name="Record").click()
        await wait_for_message(page, "recording.wav, 2.0 s.")
        await page.get_by_role("button", name="Record").wait_for()


async def limit_recording_length(page: Any) -> None:
    """Lower the maximum length of a recording, to save time."""

    async def change(route: Any) -> None:
        answer = await route.fetch()
        text = await answer.text()
        assert "MAX_S = 30;" in text
        await route.fulfill(response=answer, body=text.replace("MAX_S = 30;", "MAX_S = 2;"))

    await page.route("**/voices/voice_prompt.js", change)


async def test_muted_microphone_is_reported_while_recording(server: PageServer) -> None:
    async with browser_page(sound=0 * VOICE) as page:
        await open_panel(page, server)
        await page.get_by_role("button", name="Record").click()
        await wait_for_message(page, "Recording, but there is no sound. Is the microphone muted?")
        await page.get_by_role("button", name="Stop", exact=True).click()
        await wait_for_message(page, "The recording is silent. Is the microphone muted?", error=True)


async def test_quiet_recording_is_reported_before_the_upload(server: PageServer) -> None:
    async with browser_page("--disable-features=WebRtcApmInAudioService", sound=0.02 * VOICE) as page:
        await open_panel(page, server)
        await record(page, "0:05")
        await wait_for_message(page, "It is very quiet: move closer to the microphone, or turn it up.")


async def test_short_recording_is_reported_before_the_upload(server: PageServer) -> None:
    async with browser_page(sound=VOICE) as page:
        await open_panel(page, server)
        await record(page, "0:01")
        await wait_for_message(page, "5 s or more make the voice more like the speaker.")


async def test_submit_while_recording_only_stops_the_recording(server: PageServer) -> None:
    async with browser_page(sound=VOICE) as page:
        await open_panel(page, server)
        await page.get_by_role("button", name="Record").click()
        await page.locator("#clone-time", has_text="0:01").wait_for()
        await page.get_by_role("button", name="Create the voice").click()
        await wait_for_message(page, "recording.wav, ")
        assert not server.model.cloning.is_set()


async def test_forbidden_microphone_is_reported(server: PageServer) -> None:
    async with browser_page("--deny-permission-prompts", without=(FAKE_PERMISSION,)) as page:
        await open_panel(page, server)
        await page.get_by_role("button", name="Record").click()
        await wait_for_message(
            page, "The browser blocks the microphone. Allow it for this page in the address bar", error=True
        )
        await page.get_by_role("button", name="Record").wait_for()


async def test_missing_microphone_is_reported(server: PageServer) -> None:
    async with browser_page(without=(FAKE_DEVICE,)) as page:
        await open_panel(page, server)
        await page.get_by_role("button", name="Record").click()
        await wait_for_message(
            page, "No microphone was found. Connect one and press Record again, or choose a file.", error=True
        )


async def test_insecure_page_reports_that_it_has_no_microphone(tmp_path: Path) -> None:
    async with (
        page_server(tmp_path, host_names="sayline.example") as server,
        browser_page("--host-resolver-rules=MAP sayline.example 127.0.0.1") as page,
    ):
        await page.goto(server.address.replace("127.0.0.1", "sayline.example"))
        await page.get_by_text("Clone a voice").click()
        await page.get_by_role("button", name="Record").click()
        await wait_for_message(page, "Browsers allow the microphone only on https pages and on localhost.", error=True)
        page.console_errors.clear()


async def test_unplugged_microphone_keeps_the_recording(server: PageServer) -> None:
    async with browser_page(sound=VOICE) as page:
        await page.add_init_script(RECORD_TRACKS)
        await open_panel(page, server)
        await page.get_by_role("button", name="Record").click()
        await page.locator("#clone-time", has_text="0:01").wait_for()
        await page.evaluate("tracks[0].dispatchEvent(new Event('ended'))")
        await wait_for_message(page, "recording.wav, ")
        await page.get_by_role("button", name="Record").wait_for()


async def test_refused_microphone_keeps_the_previous_recording(server: PageServer) -> None:
    async with browser_page(sound=VOICE) as page:
        await open_panel(page, server)
        await record(page, "0:01")
        refuse = "async () => { throw new DOMException('', 'NotReadableError') }"
        await page.evaluate(f"() => {{ navigator.mediaDevices.getUserMedia = {refuse} }}")
        await page.get_by_role("button", name="Record").click()
        await wait_for_message(
            page, "The microphone does not http_response. Close other programs that use it", error=True
        )
        assert await page.get_by_role("button", name="Play the recording").is_enabled()
