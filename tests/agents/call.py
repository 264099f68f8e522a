"""A LiveKit agent session without a room; the test controls its audio output."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any, Self

from livekit import rtc
from livekit.agents import Agent, AgentSession, tts
from livekit.agents.llm import ChatMessage
from livekit.agents.voice.io import AudioOutput, AudioOutputCapabilities, TextOutput
from livekit.agents.voice.speech_handle import SpeechHandle

WAIT_S = 10  # for what must come


class Loudspeaker(AudioOutput):
    """Plays nothing before `play`, and so far as it is told; what is cleared was played so far."""

    def __init__(self) -> None:
        super().__init__(label="loudspeaker", capabilities=AudioOutputCapabilities(pause=False))
        self.audio = b""
        self.changed = asyncio.Condition()
        self.played_s = 0.0
        self._held = False

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if not self._held:
            self._held = True
            self.on_playback_started(created_at=0.0)
        async with self.changed:
            self.audio += bytes(frame.data)
            self.changed.notify_all()

    def flush(self) -> None:
        super().flush()

    def clear_buffer(self) -> None:
        self._finish(interrupted=True)

    def play_out(self) -> None:
        self.played_s = len(self.audio) / 48_000
        self._finish(interrupted=False)

    async def until(self, duration_ms: float) -> None:
        """So much has come to be played."""
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(lambda: len(self.audio) >= duration_ms * 48), WAIT_S)

    def _finish(self, interrupted: bool) -> None:
        if self._held:
            self._held = False
            self.on_playback_finished(playback_position=self.played_s, interrupted=interrupted)


class Captions(TextOutput):
    def __init__(self) -> None:
        super().__init__(label="captions", next_in_chain=None)
        self.text = ""

    async def capture_text(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass


class Call:
    """Use with `async with`."""

    def __init__(self, voice: tts.TTS[Any], use_tts_aligned_transcript: bool = False) -> None:
        self.loudspeaker = Loudspeaker()
        self.captions = Captions()
        self.session: AgentSession[None] = AgentSession(
            tts=voice, use_tts_aligned_transcript=use_tts_aligned_transcript
        )
        self.agent = Agent(instructions="")

    async def __aenter__(self) -> Self:
        self.session.output.audio = self.loudspeaker
        self.session.output.transcription = self.captions
        await self.session.start(agent=self.agent)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.aclose()

    def say(self, *tokens: str) -> SpeechHandle:
        return self.session.say(written(tokens))

    def remembered(self) -> list[str]:
        """What the language model will find that it has said."""
        items = self.agent.chat_ctx.items
        return [item.text_content or "" for item in items if isinstance(item, ChatMessage) and item.role == "assistant"]


async def written(tokens: Iterable[str]) -> AsyncIterator[str]:
    for token in tokens:
        await asyncio.sleep(0)
        yield token
