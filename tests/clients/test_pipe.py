"""What a sink knows of its listener reaches the server; the rest of `sayline pipe` is in test_cli.py."""

import asyncio
import os
from pathlib import Path

from sayline.pipe import Pipe, Request
from sayline.sinks import FileSink
from sayline.text_input import TextInput

from tests.clients.scripted import ScriptedServer


class Speaker:
    """Plays at once what it is given, but for the last 80 ms."""

    name = "a speaker"

    def __init__(self) -> None:
        self._written_ms = 0.0

    @property
    def played_ms(self) -> float:
        return max(0.0, self._written_ms - 80)

    def open(self, sample_rate_hz: int) -> None:
        pass

    def write(self, pcm: bytes) -> None:
        self._written_ms += len(pcm) / 48

    def close(self, now: bool) -> None:
        pass


async def test_about_once_a_second_the_server_is_told_what_was_heard() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"word " * 30 + b"end. ")
    async with ScriptedServer() as scripted:
        pipe = asyncio.create_task(Pipe(Request(scripted.url), TextInput(reading), Speaker()).run())
        await scripted.until(lambda received: sum(message["type"] == "ack" for message in received) == 2)
        os.close(writing)
        await pipe
    os.close(reading)
    assert [m["played_ms"] for m in scripted.received if m["type"] == "ack"] == [1040, 2080]


def test_of_a_file_nobody_knows_what_was_heard(tmp_path: Path) -> None:
    assert FileSink(tmp_path / "out.wav", raw=False).played_ms is None
