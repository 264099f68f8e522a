"""`Pipe` from text to player; files and the command line are tested in test_cli.py."""

import asyncio

import pytest
from sayline.pipe import NothingToSay, Pipe, Request
from sayline.player import Player
from sayline.sinks import PlayerSink
from sayline.text_stream import text_of

from tests.clients.devices import FakeDevice
from tests.clients.scripted import ScriptedServer


async def test_text_is_played_and_timed() -> None:
    device = FakeDevice()
    async with ScriptedServer() as scripted:
        run = Pipe(Request(scripted.url, seed=7), text_of(["word " * 30, "end. "]), PlayerSink(Player(device)))
        running = asyncio.create_task(run.run())
        async with asyncio.timeout(10):
            while not running.done():
                if device.sample_rate_hz:
                    device.play(10)
                await asyncio.sleep(0)
        await running
    assert scripted.texts() == "word " * 30 + "end. "
    assert scripted.received[0] == {"type": "start", "context_id": "speech-1", "format": "opus", "seed": 7}
    assert run.stopwatch.speech_ms == 31 * 80
    assert device.sample_rate_hz == 0  # it is closed


async def test_text_without_words_is_an_error() -> None:
    async with ScriptedServer() as scripted:
        with pytest.raises(NothingToSay, match="try: sayline speak"):
            await Pipe(Request(scripted.url), text_of([" ", "\n"]), PlayerSink(Player(FakeDevice()))).run()
