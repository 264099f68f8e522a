"""Recording a voice in real Chromium with a microphone that plays a file, is missing or is forbidden."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from sayline_tts.engine.cloning.cloning import read_recording
from sayline_tts.server.voices.voices import Voices
from tests.engine.sounds import speech, wav
from tests.web.browsers import Browsers, override_constant
from tests.web.page_controls import voice_names
from tests.web.page_server import (
    PageServer,
    open_panel,
    page_server,
    wait_for_message,
)
from tests.web.site import FAKE_DEVICE, FAKE_PERMISSION, INSECURE_HOST

MICROPHONE_RATE_HZ = 48_000
VOICE = speech(4, MICROPHONE_RATE_HZ)
BLOCKS_PER_S = 50  # of the loudness envelope


@pytest.fixture(scope="session")
def microphones(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Browser arguments for simulated microphones, which play a file again and again."""
    folder = tmp_path_factory.mktemp("microphones")
    sounds = {"speech": VOICE, "silence": 0 * VOICE, "quiet": 0.02 * VOICE}
    for name, samples in sounds.items():
        (folder / f"{name}.wav").write_bytes(wav(samples, MICROPHONE_RATE_HZ))
    return {name: f"--use-file-for-fake-audio-capture={folder / name}.wav" for name in sounds}


@pytest_asyncio.fixture(loop_scope="session")
async def page(browsers: Browsers, microphones: dict[str, str]) -> AsyncIterator[Any]:
    """A page with a microphone that receives speech."""
    async with browsers.page(microphones["speech"]) as page:
        yield page


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


async def allow_short_recordings(page: Any) -> None:
    """To save time. Call it before the page is opened."""
    await override_constant(page, "voices/voice_prompt.js", "MIN_S", 3, 0.5)


async def record(page: Any, clock: str) -> None:
    """Record until the clock shows this time."""
    await page.get_by_role("button", name="Record").click()
    await page.locator("#clone-time", has_text=clock).wait_for()
    await page.get_by_role("button", name="Stop", exact=True).click()


async def wait_until(page: Any, expression: str) -> None:
    """Wait until an expression is true. `wait_for_function` needs `eval`, which the page's policy forbids."""
    await page.evaluate(f"async () => {{ while (!({expression})) await new Promise(requestAnimationFrame); }}")


async def test_recording_becomes_a_voice(server: PageServer, page: Any, uploads: list[bytes]) -> None:
    await open_panel(page, server)
    await page.get_by_role("button", name="Record").click()
    await wait_for_message(page, "Recording. Speak as you would to a friend…")
    await page.locator("#clone-time", has_text="0:06").wait_for()
    await page.get_by_role("button", name="Stop", exact=True).click()
    await wait_for_message(page, "Play it, or create the voice.")
    await page.get_by_role("button", name="Play it").click()
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


async def test_level_meter_moves_while_recording_and_resets_afterwards(server: PageServer, page: Any) -> None:
    await open_panel(page, server)
    meter = page.get_by_role("meter", name="Microphone level")
    await page.get_by_role("button", name="Record").click()
    await wait_until(page, "document.getElementById('clone-level').ariaValueNow > 40")
    await page.get_by_role("button", name="Stop", exact=True).click()
    assert await meter.get_attribute("aria-valuenow") == "0"


async def test_microphone_is_released_after_recording_and_when_the_panel_closes(server: PageServer, page: Any) -> None:
    await page.add_init_script(RECORD_TRACKS)
    await allow_short_recordings(page)
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


async def test_recording_stops_at_its_maximum_length(server: PageServer, page: Any, uploads: list[bytes]) -> None:
    await override_constant(page, "voices/voice_prompt.js", "MAX_S", 30, 2)  # half a minute takes half a minute
    await allow_short_recordings(page)
    await open_panel(page, server)
    await page.get_by_role("button", name="Record").click()
    await wait_for_message(page, "recording.wav, 2.0 s.")
    await page.get_by_role("button", name="Record").wait_for()


async def test_muted_microphone_is_reported_while_recording(
    server: PageServer, browsers: Browsers, microphones: dict[str, str]
) -> None:
    async with browsers.page(microphones["silence"]) as page:
        await open_panel(page, server)
        await page.get_by_role("button", name="Record").click()
        await wait_for_message(page, "Recording, but there is no sound. Is the microphone muted?")
        await page.get_by_role("button", name="Stop", exact=True).click()
        await wait_for_message(page, "The recording is silent. Is the microphone muted?", error=True)


async def test_quiet_recording_is_reported_before_the_upload(
    server: PageServer, browsers: Browsers, microphones: dict[str, str]
) -> None:
    async with browsers.page("--disable-features=WebRtcApmInAudioService", microphones["quiet"]) as page:
        await override_constant(page, "voices/voice_prompt.js", "RECOMMENDED_S", 5, 1)
        await allow_short_recordings(page)
        await open_panel(page, server)
        await record(page, "0:01")
        await wait_for_message(page, "It is very quiet: move closer to the microphone, or turn it up.")


async def test_short_recording_is_reported_before_the_upload(server: PageServer, page: Any) -> None:
    await allow_short_recordings(page)
    await open_panel(page, server)
    await record(page, "0:01")
    await wait_for_message(page, "5 s or more make the voice more like the speaker.")


async def test_submit_while_recording_only_stops_the_recording(server: PageServer, page: Any) -> None:
    await allow_short_recordings(page)
    await open_panel(page, server)
    await page.get_by_role("button", name="Record").click()
    await page.locator("#clone-time", has_text="0:01").wait_for()
    await page.get_by_role("button", name="Create the voice").click()
    await wait_for_message(page, "recording.wav, ")
    assert not server.model.cloning.is_set()


async def test_forbidden_microphone_is_reported(server: PageServer, browsers: Browsers) -> None:
    async with browsers.page(f"{FAKE_PERMISSION}=deny", without=(FAKE_PERMISSION,)) as page:
        await open_panel(page, server)
        await page.get_by_role("button", name="Record").click()
        await wait_for_message(
            page, "The browser blocks the microphone. Allow it for this page in the address bar", error=True
        )
        await page.get_by_role("button", name="Record").wait_for()


async def test_missing_microphone_is_reported(server: PageServer, browsers: Browsers) -> None:
    async with browsers.page(without=(FAKE_DEVICE,)) as page:
        await open_panel(page, server)
        await page.get_by_role("button", name="Record").click()
        await wait_for_message(
            page, "No microphone was found. Connect one and press Record again, or choose a file.", error=True
        )


async def test_insecure_page_reports_that_it_has_no_microphone(tmp_path: Path, page: Any) -> None:
    async with page_server(tmp_path, host_names=INSECURE_HOST) as server:
        await page.goto(server.address.replace("127.0.0.1", INSECURE_HOST))
        await page.get_by_text("Clone a voice").click()
        await page.get_by_role("button", name="Record").click()
        await wait_for_message(page, "Browsers allow the microphone only on https pages and on localhost.", error=True)
        page.console_errors.clear()


async def test_unplugged_microphone_keeps_the_recording(server: PageServer, page: Any) -> None:
    await page.add_init_script(RECORD_TRACKS)
    await allow_short_recordings(page)
    await open_panel(page, server)
    await page.get_by_role("button", name="Record").click()
    await page.locator("#clone-time", has_text="0:01").wait_for()
    await page.evaluate("tracks[0].dispatchEvent(new Event('ended'))")
    await wait_for_message(page, "recording.wav, ")
    await page.get_by_role("button", name="Record").wait_for()


async def test_refused_microphone_keeps_the_previous_recording(server: PageServer, page: Any) -> None:
    await allow_short_recordings(page)
    await open_panel(page, server)
    await record(page, "0:01")
    refuse = "async () => { throw new DOMException('', 'NotReadableError') }"
    await page.evaluate(f"() => {{ navigator.mediaDevices.getUserMedia = {refuse} }}")
    await page.get_by_role("button", name="Record").click()
    await wait_for_message(page, "The microphone does not respond. Close other programs that use it", error=True)
    assert await page.get_by_role("button", name="Play it").is_enabled()
