"""The checks of a recording before the upload, in real Chromium."""

from typing import Any

import numpy as np
import pytest

from tests.engine.sounds import encode, speech, tone, wav
from tests.server.voice_server import some_voice
from tests.web.page_server import PageServer, choose_file, focused_name, give_consent, submit, wait_for_message

LONG = wav(speech(40))


async def test_recording_can_be_played_before_the_upload(panel: Any) -> None:
    play_button = panel.get_by_role("button", name="Play it")
    assert await play_button.is_disabled()
    await choose_file(panel, wav(speech(3.2)))
    await wait_for_message(panel, "me.wav, 3.2 s")
    await play_button.click()
    await panel.locator("#clone-listen.playing").wait_for()
    await play_button.wait_for()  # playback has ended
    await choose_file(panel, LONG)
    await wait_for_message(panel, "me.wav, 40.0 s. Only the first 30 s will be used.")
    await play_button.click()
    await panel.get_by_role("button", name="Stop playing").click()
    await play_button.wait_for()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "The file is empty."),
        (wav(speech(2.9)), "Only 2.9 s: a voice needs at least 3 s of speech, better 5."),
        (wav(0 * speech(6)), "The file is silent. Choose a recording of one person speaking."),
        (wav(tone(6)), "This does not sound like speech"),
        (wav(tone(6) + 0.1 * np.random.default_rng(1).normal(size=6 * 24_000)), "This does not sound like speech"),
    ],
)
async def test_unusable_recording_is_rejected_before_the_upload(
    server: PageServer, panel: Any, data: bytes, message: str
) -> None:
    await choose_file(panel, data)
    await wait_for_message(panel, message, error=True)
    await give_consent(panel)
    await submit(panel)
    await wait_for_message(panel, "Record something or choose a file first.", error=True)
    assert await focused_name(panel) == "Record"


async def test_quiet_recording_gets_a_hint(panel: Any) -> None:
    await choose_file(panel, wav(0.02 * speech(6)))
    await wait_for_message(panel, "It is very quiet: move closer to the microphone, or turn it up.")


async def test_one_silent_channel_of_two_is_accepted(panel: Any) -> None:
    left, right = 0 * speech(6), speech(6)
    await choose_file(panel, wav(np.stack([left, right])))
    await wait_for_message(panel, "me.wav, 6.0 s. Play it, or create the voice.")


async def test_undecodable_file_can_still_be_uploaded(panel: Any) -> None:
    await choose_file(panel, some_voice(25).to_bytes(), "me.safetensors")
    await wait_for_message(panel, "me.safetensors. The browser cannot play this file, but the server may accept it.")
    assert await panel.get_by_role("button", name="Play it").is_disabled()
    assert await panel.locator("#clone-time").text_content() == "–:––"
    await give_consent(panel)
    await submit(panel)
    await wait_for_message(panel, "was created from 2.0 s of speech")


async def test_browser_formats_can_be_played(panel: Any) -> None:
    await choose_file(panel, encode(speech(6, 48_000), "libopus", "ogg", 48_000), "me.ogg")
    await wait_for_message(panel, "me.ogg, 6.0 s.")
    assert await panel.get_by_role("button", name="Play it").is_enabled()
