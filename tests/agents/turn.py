"""A turn of any LiveKit speech plugin: text in, and the audio and words that come out."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from livekit.agents import APIConnectOptions, tts
from livekit.agents.types import USERDATA_TIMED_TRANSCRIPT, TimedString

ONCE = APIConnectOptions(max_retry=0)
WAIT_S = 60


@dataclass
class Turn:
    audio: bytearray = field(default_factory=bytearray)  # 16-bit PCM
    rate_hz: int = 0
    words: list[TimedString] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return len(self.audio) / 2 / self.rate_hz if self.rate_hz else 0.0

    @property
    def text(self) -> str:
        return "".join(self.words)

    @property
    def starts_s(self) -> list[float]:
        return [float(str(word.start_time)) for word in self.words]


async def speak(voice: tts.TTS[Any], *pieces: str) -> Turn:
    """Speak a text that comes in pieces."""
    turn = Turn()
    async with voice.stream(conn_options=ONCE) as stream, asyncio.timeout(WAIT_S):
        for piece in pieces:
            stream.push_text(piece)
        stream.end_input()
        async for event in stream:
            turn.audio += bytes(event.frame.data)
            turn.rate_hz = event.frame.sample_rate
            turn.words += event.frame.userdata.get(USERDATA_TIMED_TRANSCRIPT, [])
    return turn


async def interrupt(voice: tts.TTS[Any], text: str) -> None:
    """Speak until the first audio, and interrupt."""
    async with voice.stream(conn_options=ONCE) as stream, asyncio.timeout(WAIT_S):
        stream.push_text(text)
        stream.flush()
        await anext(aiter(stream))
