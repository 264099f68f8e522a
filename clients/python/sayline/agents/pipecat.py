"""Pipecat's text-to-speech service over a Sayline server: `pip install 'sayline-client[pipecat]'`.

    tts = SaylineTTSService(url="ws://127.0.0.1:8000", settings=SaylineTTSService.Settings(voice="clara"))

Each turn of the assistant is one context: tokens are sent as the LLM writes them, audio and words return, and
an interruption cancels it at the playback position. Words enter the language model's context as they are heard.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

from loguru import logger
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    CancelFrame,
    EndFrame,
    ErrorFrame,
    Frame,
    InterruptionFrame,
    StartFrame,
    TTSAudioRawFrame,
    TTSStoppedFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TextAggregationMode, TTSService
from pipecat.transcriptions.language import Language
from pipecat.utils.types import NOT_GIVEN, NotGiven

import sayline
from sayline.agents.playout import Playout
from sayline.agents.reconnecting_session import ReconnectingSession

IDLE_TIMEOUT_S = 600.0  # Pipecat ends a turn after this silence; the server signals the end itself


@dataclass
class Turn:
    """One turn of the assistant. Its text ends before its audio, unless the speech fails."""

    speech: sayline.Context | None  # None: failed
    reading: asyncio.Task[None] | None = None
    text_ended: bool = False
    audio_ended: bool = False
    interruptible: bool = True

    @property
    def over(self) -> bool:
        return self.text_ended and self.audio_ended


@dataclass
class SaylineTTSSettings(TTSSettings):
    """May change between turns; None means the server's default. `language` is that of text normalization."""

    speed: float | NotGiven | None = field(default_factory=lambda: NOT_GIVEN)
    temperature: float | NotGiven | None = field(default_factory=lambda: NOT_GIVEN)


class SaylineTTSService(TTSService):
    """Accepts the arguments of `TTSService` too. After an interruption the event `on_heard` carries what was heard
    (`sayline.Cancelled`).

    Tokens are sent to the server as they arrive. Pipecat adds words to the context at the end of their sentence: if the
    LLM stalls within a sentence, the part that was heard is missing there.
    `text_aggregation_mode=TextAggregationMode.SENTENCE` waits for complete sentences instead.
    """

    Settings = SaylineTTSSettings
    _settings: SaylineTTSSettings

    def __init__(
        self,
        *,
        url: str = "ws://127.0.0.1:8000",
        api_key: str | None = None,
        settings: SaylineTTSSettings | None = None,
        text_aggregation_mode: TextAggregationMode = TextAggregationMode.TOKEN,
        **kwargs: Any,
    ) -> None:
        chosen = self.Settings(model=None, voice=None, language=None, speed=None, temperature=None)
        if settings is not None:
            chosen.apply_update(settings)
        super().__init__(
            text_aggregation_mode=text_aggregation_mode,
            append_trailing_space=True,  # keeps sentences apart
            push_text_frames=False,
            push_start_frame=True,
            stop_frame_timeout_s=IDLE_TIMEOUT_S,
            settings=chosen,
            **kwargs,
        )
        self._server = ReconnectingSession(url, api_key)
        self._playout = Playout()
        self._turns: dict[str, Turn] = {}  # by Pipecat's context id
        self._register_event_handler("on_heard")

    def can_generate_metrics(self) -> bool:
        return True

    @property
    def supports_processing_metrics(self) -> bool:
        return False  # audio arrives after `run_tts` has returned

    def language_to_service_language(self, language: Language) -> str:
        return str(language).split("-")[0]

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        try:
            await self._server.connect()
        except sayline.SaylineError as error:
            await self.push_error(str(error), exception=error)

    async def stop(self, frame: EndFrame) -> None:
        for context_id in list(self._turns):
            await self.flush_audio(context_id)
        await super().stop(frame)
        await self._close_server()

    async def cancel(self, frame: CancelFrame) -> None:
        await super().cancel(frame)
        await self._close_server()

    async def cleanup(self) -> None:
        await super().cleanup()
        await self._close_server()

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        try:
            turn = self._turns.get(context_id) or await self._begin(context_id)
            if turn.speech is not None:
                await turn.speech.push(text)
                await self.start_tts_usage_metrics(text)
            yield None
        except sayline.SaylineError as error:
            self._turns.setdefault(context_id, Turn(None, audio_ended=True)).speech = None
            yield ErrorFrame(str(error), exception=error)

    async def flush_audio(self, context_id: str | None = None) -> None:
        """End the text of this turn."""
        turn = self._turns.get(context_id or "")
        if context_id is None or turn is None or turn.text_ended:
            return
        turn.text_ended = True
        if turn.speech is not None:
            try:
                await turn.speech.end()
            except sayline.SaylineError as error:  # raised to the reader too
                logger.debug(f"{self}: {error}")
        await self._close_when_over(context_id, turn)

    async def on_audio_context_interrupted(self, context_id: str) -> None:
        await self.stop_all_metrics()
        self._interrupt(context_id)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, BotStartedSpeakingFrame):
            self._playout.begin()
        await super().process_frame(frame, direction)
        if isinstance(frame, InterruptionFrame):  # also turns that Pipecat has finished but the listener has not heard
            for context_id, turn in list(self._turns.items()):
                if turn.interruptible and not self.audio_context_available(context_id):
                    self._interrupt(context_id)
            self._playout.stop()

    async def push_frame(self, frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        await super().push_frame(frame, direction)
        if isinstance(frame, TTSAudioRawFrame) and frame.context_id in self._turns:
            self._playout.give(frame.context_id, 1000 * frame.num_frames / frame.sample_rate)
            self._turns[frame.context_id].interruptible = frame.interruptible

    async def _begin(self, context_id: str) -> Turn:
        for former_id, former in list(self._turns.items()):
            if former.over and self._playout.is_heard(former_id):
                self._playout.forget(former_id)
                del self._turns[former_id]
        chosen = self._settings
        speech = await self._server.open(
            voice=chosen.voice, language=chosen.language, speed=chosen.speed, temperature=chosen.temperature
        )
        turn = self._turns[context_id] = Turn(speech)
        turn.reading = self.create_task(self._read(context_id, turn, speech), name=f"{context_id}::read")
        return turn

    async def _read(self, context_id: str, turn: Turn, speech: sayline.Context) -> None:
        rate_hz = speech.sample_rate_hz
        try:
            async for event in speech:
                if isinstance(event, sayline.Frame):
                    await self.append_to_audio_context(
                        context_id, TTSAudioRawFrame(event.pcm, rate_hz, 1, context_id=context_id)
                    )
                elif isinstance(event, sayline.Word):
                    await self.add_word_timestamps([(event.text, event.start_ms / 1000)], context_id)
        except sayline.SaylineError as error:
            turn.speech = None
            await self.append_to_audio_context(context_id, ErrorFrame(str(error), exception=error))
        turn.audio_ended = True
        await self._close_when_over(context_id, turn)

    async def _close_when_over(self, context_id: str, turn: Turn) -> None:
        """Close the turn's audio context, so that Pipecat continues; text arriving later would reopen it."""
        if turn.over and self.audio_context_available(context_id):
            await self.append_to_audio_context(context_id, TTSStoppedFrame(context_id=context_id))
            await self.remove_audio_context(context_id)

    def _interrupt(self, context_id: str) -> None:
        turn = self._turns.pop(context_id, None)
        if (
            turn is not None
            and turn.speech is not None
            and not (turn.audio_ended and self._playout.is_heard(context_id))
        ):
            self.create_task(
                self._report_heard(turn.speech, self._playout.played_ms(context_id)), name=f"{context_id}::cancel"
            )
        self._playout.forget(context_id)

    async def _report_heard(self, speech: sayline.Context, played_ms: float) -> None:
        try:
            await self._call_event_handler("on_heard", await speech.cancel(played_ms))
        except sayline.SaylineError as error:
            logger.debug(f"{self}: {error}")

    async def _close_server(self) -> None:
        for turn in self._turns.values():
            if turn.reading is not None:
                await self.cancel_task(turn.reading)
        self._turns.clear()
        await self._server.close()
