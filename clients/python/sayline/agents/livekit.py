"""LiveKit Agents' text-to-speech over a Sayline server: `pip install 'sayline-client[livekit]'`.

    voice = TTS("ws://127.0.0.1:8000", voice="clara")
    session = AgentSession(tts=voice, ...)
    voice.follow(session)

Each answer of the agent is one context: tokens are sent as the LLM writes them; audio and timed words return.
With `follow`, an interruption cancels the context at the playback position, and the chat context keeps what was heard.

Sayline normalizes Markdown and emoji itself: `AgentSession(tts_text_transforms=[])` avoids the delay of LiveKit's
filters.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Literal

from livekit.agents import APIConnectOptions, tts
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS
from livekit.agents.voice import AgentSession
from livekit.agents.voice.io import AudioOutput, PlaybackFinishedEvent

from sayline.agents.livekit_stream import SpeechStream
from sayline.agents.reconnecting_session import ReconnectingSession
from sayline.agents.speech import Speech

PLAYBACK_REPORT_TIMEOUT_S = 1.0  # an interrupted output reports its position within this time


class TTS(tts.TTS[Literal["heard"]]):
    """LiveKit TTS. After an interruption the event `heard` carries what was heard (`sayline.Cancelled`)."""

    def __init__(
        self,
        url: str = "ws://127.0.0.1:8000",
        *,
        api_key: str | None = None,
        voice: str | None = None,
        language: str | None = None,
        speed: float | None = None,
        temperature: float | None = None,
        sample_rate_hz: int = 24_000,
    ) -> None:
        """None means the server's default. `language` is that of text normalization. `sample_rate_hz` must be that of
        the server's model; LiveKit needs it before the connection exists.
        """
        capabilities = tts.TTSCapabilities(streaming=True, aligned_transcript=True)
        super().__init__(capabilities=capabilities, sample_rate=sample_rate_hz, num_channels=1)
        self.server = ReconnectingSession(url, api_key)
        self.options: dict[str, Any] = {}
        self.update_options(voice=voice, language=language, speed=speed, temperature=temperature)
        self._session: AgentSession[Any] | None = None
        self._output: AudioOutput | None = None
        self._current: Speech | None = None  # the latest speech with audio
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def provider(self) -> str:
        return "sayline"

    def update_options(self, **options: str | float | None) -> None:
        """Set `voice`, `language`, `speed` or `temperature` for the next contexts."""
        self.options |= options

    def prewarm(self) -> None:
        self.run(self.server.connect())

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        return self._synthesize_with_stream(text, conn_options=conn_options)

    def stream(self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS) -> tts.SynthesizeStream:
        self._follow_output()
        return SpeechStream(self, conn_options)

    def follow(self, session: AgentSession[Any]) -> None:
        """Take the playback position of interrupted answers from this session's audio output."""
        self._session = session

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self.server.close()

    # Called by its streams

    def set_current(self, speech: Speech) -> None:
        self._current = speech

    def abandon(self, speech: Speech) -> None:
        """Cancel speech that is no longer wanted."""
        self.run(self._cancel_unplayed(speech))

    def run(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # of the connection: the next context raises it too

    def _follow_output(self) -> None:
        """Follow the session's current output, which is set at its start and may change."""
        output = self._session.output.audio if self._session is not None else None
        if output is not self._output:
            if self._output is not None:
                self._output.off("playback_finished", self._on_playback_finished)
            if output is not None:
                output.on("playback_finished", self._on_playback_finished)
            self._output = output

    def _on_playback_finished(self, event: PlaybackFinishedEvent) -> None:
        speech, self._current = self._current, None
        if event.interrupted and speech is not None:
            played_ms = event.playback_position * 1000
            event.synchronized_transcript = speech.heard_text(played_ms)  # this goes into the chat context
            self.run(self._cancel(speech, played_ms))

    async def _cancel_unplayed(self, speech: Speech) -> None:
        """Cancel at the position that the output reports; without an output the server extrapolates."""
        if self._output is not None and self._current is speech:
            await asyncio.sleep(PLAYBACK_REPORT_TIMEOUT_S)
        if not speech.cancelled:
            await self._cancel(speech, None if self._output is None else 0.0)

    async def _cancel(self, speech: Speech, played_ms: float | None) -> None:
        self.emit("heard", await speech.cancel(played_ms))
