"""What a voice shall be made from, judged in real Chromium before it is sent."""

from typing import Any

import numpy as np
import pytest

from tests.engine.sounds import encode, speech, wav
from tests.server.cloners import some_voice
from tests.web.stage import Stage, agree, choose, focused, send, told

LONG = wav(speech(40))


async def test_what_was_chosen_can_be_heard_before_it_is_sent(panel: Any) -> None:
    listen = panel.get_by_role("button", name="Listen to it")
    assert await listen.is_disabled()
    await choose(panel, wav(speech(0.6)))
    await told(panel, "me.wav, 0.6 s")
    await listen.click()
    await panel.locator("#clone-listen.speaking").wait_for()
    await listen.wait_for()  # it has ended by itself
    await choose(panel, LONG)
    await told(panel, "me.wav, 40.0 s. Only the first 30 s will be used.")
    await listen.click()
    await panel.get_by_role("button", name="Stop listening").click()
    await listen.wait_for()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "That file is empty."),
        (wav(speech(0.2)), "That is too short to hear a voice in."),
        (wav(0 * speech(6)), "There is nothing to hear in it. Is the microphone muted?"),
    ],
)
async def test_what_is_no_voice_is_told_before_it_is_sent(stage: Stage, panel: Any, data: bytes, words: str) -> None:
    await choose(panel, data)
    await told(panel, words, fault=True)
    await agree(panel)
    await send(panel)
    await told(panel, "Record something, or choose a file, first.", fault=True)
    assert await focused(panel) == "Record"


async def test_a_quiet_recording_gets_a_hint(panel: Any) -> None:
    await choose(panel, wav(0.02 * speech(6)))
    await told(panel, "It is very quiet: go nearer to the microphone, or turn it up.")


async def test_two_channels_of_which_one_is_silent_are_no_fault(panel: Any) -> None:
    left, right = 0 * speech(6), speech(6)
    await choose(panel, wav(np.stack([left, right])))
    await told(panel, "me.wav, 6.0 s. Listen to it, or make the voice.")


async def test_what_this_browser_cannot_play_may_still_be_a_voice(panel: Any) -> None:
    await choose(panel, some_voice(25).to_bytes(), "me.safetensors")
    await told(panel, "me.safetensors. It cannot be played here; the server may know it all the same.")
    assert await panel.get_by_role("button", name="Listen to it").is_disabled()
    assert await panel.locator("#clone-time").text_content() == "–:––"
    await agree(panel)
    await send(panel)
    await told(panel, "is made from 2.0 s of speech")


async def test_formats_that_browsers_know_can_be_heard(panel: Any) -> None:
    await choose(panel, encode(speech(6, 48_000), "libopus", "ogg", 48_000), "me.ogg")
    await told(panel, "me.ogg, 6.0 s.")
    assert await panel.get_by_role("button", name="Listen to it").is_enabled()
