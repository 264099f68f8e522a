"""Synthesis of a complete text as a stream of bytes, for HTTP.

A download is not played in real time, so it is not paced by a clock: speech is generated as fast as the client reads
it. Bytes already read count as lead, so live listeners get priority.
"""

import asyncio
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from msgspec import UNSET

from sayline_tts.engine.errors import InputError, TextError
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.utterance import Status, Utterance
from sayline_tts.engine.segment import Segment, Silence
from sayline_tts.engine.timing.word_time_estimator import WordTime
from sayline_tts.server.access.limits import Caller
from sayline_tts.server.accounting.usage import Usage
from sayline_tts.server.audio.formats import Encoder
from sayline_tts.server.settings import Settings
from sayline_tts.server.synthesis.playback import Playback
from sayline_tts.server.synthesis.repeat_cache import RepeatKey, repeat_key
from sayline_tts.server.synthesis.speech_engine import SpeechEngine
from sayline_tts.server.synthesis.text_feeder import TextFeeder
from sayline_tts.server.synthesis.text_options import TextOptions

# Of the audio already read, this much counts as not yet played: more than the lead of live listeners, who go first.
READ_LEAD_MS = 4_000.0
# Bound for read and unread audio together. The utterance stops asking for steps at half of it, which bounds the memory
# for a client that does not read.
MAX_LEAD_MS = 12_000.0


class SpeechFailed(Exception):
    """Synthesis failed inside the server; the cause was logged where it happened."""


class ShuttingDown(InputError):
    code = "shutting_down"
    retry_after_ms = 5_000.0  # a guess: a restart takes about so long


@dataclass(frozen=True)
class SpeechOptions:
    voice: Voice
    temperature: float | None = None  # None: the model's default
    seed: int | None = None  # None: random
    decode_steps: int = 1
    text_options: TextOptions = field(default_factory=TextOptions)  # `speed` must match the encoder's
    caller: Caller | None = None  # these three: for the repeat cache, which is used if the voice has a name
    voice_name: str | None = None
    cache: bool | None = None


class SpeechStream:
    """Async iterator over the encoded bytes of a text. Must be closed, also after errors.

    Admission happens in the constructor, which raises `Full`. Iterating raises `TextError` for a text without words,
    `SpeechFailed`, and `ShuttingDown`.
    """

    def __init__(
        self, engine_loop: SpeechEngine, settings: Settings, text: str, options: SpeechOptions, encoder: Encoder
    ) -> None:
        self.frames = 0  # generated
        self.text_tokens = 0  # of the segments spoken so far
        self.first_audio_ms: float | None = None  # time from the start to the first frame
        self.words: list[WordTime] = []  # that have begun, in ms of the listener's audio
        self.status = Status.RUNNING
        self.first_sent_s: float | None = None  # loop time
        self._begun_chars = 0
        self._speed = options.text_options.speed
        self._engine_loop, self._encoder = engine_loop, encoder
        self._events: asyncio.Queue[bytes | Status | TextError] = asyncio.Queue()
        self._unacknowledged = False
        self._clock_s = asyncio.get_running_loop().time
        self._start_s = self._clock_s()
        self._playback = _ReadPlayback(lambda: self._clock_s() * 1000 * self._speed)
        self._utterance = self._make_utterance(options, settings)
        self._feeder = TextFeeder(
            engine_loop.model, settings, engine_loop.wake, self._on_empty_text, text_options=options.text_options
        )
        self.timeline = engine_loop.submit(self._utterance, self, key=self._repeat_key(text, options))
        self._feeder.attach(self._utterance)
        self._feeder.push(text)
        self._feeder.end()

    # For the reader

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """The next bytes. Requesting them acknowledges the previous ones as sent."""
        while self.status is Status.RUNNING:
            self._acknowledge()
            match await self._events.get():
                case bytes(data):
                    self._unacknowledged = True
                    if data:
                        return data
                case Status.FINISHED:
                    self._end(Status.FINISHED)
                    if rest := await asyncio.to_thread(self._encoder.end):
                        return rest
                case Status.CANCELLED:  # by the server, since after `close` nothing is read
                    self._end(Status.CANCELLED)
                    raise ShuttingDown("the server is shutting down; retry in a moment")
                case TextError() as error:
                    self._end(Status.FAILED)
                    raise error
                case _:
                    self._end(Status.FAILED)
                    raise SpeechFailed
        raise StopAsyncIteration

    @property
    def missed_words(self) -> int:
        """Words that the model left out."""
        return sum(time.missed for time in self.words)

    @property
    def unread_ms(self) -> float:
        """Generated audio that was not read."""
        return self._utterance.produced_ms - self._playback.sent_ms

    @property
    def total_ms(self) -> float:
        """Time since the start."""
        return (self._clock_s() - self._start_s) * 1000

    @property
    def text_s(self) -> tuple[float | None, float | None]:
        """Loop times at which the text came and at which its first part could be spoken."""
        return self._feeder.first_push_s, self._feeder.first_speakable_s

    @property
    def warnings(self) -> list[str]:
        """What was skipped of the text, as far as it has been read."""
        return self._feeder.warnings

    @property
    def total_audio_bytes(self) -> int | None:
        """Bytes of 16-bit PCM of the whole answer, if they are known already: of speech that is repeated."""
        model = self._engine_loop.model
        is_resampled = self._encoder.sample_rate_hz != model.sample_rate_hz or self._speed != 1
        frames = self.timeline.replayed_frames
        return None if is_resampled or not frames else 2 * frames * model.frame_samples

    @property
    def usage(self) -> Usage:
        """The account of this speech, final once it has ended."""
        generated_ms = self.frames * self._engine_loop.model.frame_ms / self._speed
        complete = self.status is Status.FINISHED
        return Usage(
            taken_chars=self._feeder.taken_chars,
            billed_chars=0 if self.status is Status.FAILED else self._begun_chars,
            generated_ms=generated_ms,
            heard_ms=generated_ms if complete else min(generated_ms, self._playback.sent_ms / self._speed),
            retries=self._utterance.retries,
            first_audio_ms=UNSET if self.first_audio_ms is None else self.first_audio_ms,
        )

    def close(self) -> None:
        """Stop generating. Closing twice is harmless."""
        self._end(Status.CANCELLED)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Listener of the engine

    def encode(self, pcm: np.ndarray) -> bytes:
        return self._encoder.encode(pcm)

    def end_part(self) -> bytes:
        """No padding between parts: the text is complete, so the next part follows at once."""
        return b""

    def on_queue_position(self, position: int | None) -> None:
        raise AssertionError("may_queue is False")

    def on_frame(self, data: bytes) -> None:
        if not self.frames:
            self.first_audio_ms = (self._clock_s() - self._start_s) * 1000
        self.frames += 1
        self._events.put_nowait(data)

    def on_part_end(self, data: bytes) -> None:
        pass

    def on_word(self, time: WordTime) -> None:
        """Keep the time of a word when it begins, and not when it has ended, which repeats it."""
        if time.estimated or not time.final:
            start_ms, end_ms = time.start_ms / self._speed, time.end_ms / self._speed
            self.words.append(replace(time, start_ms=start_ms, end_ms=end_ms))

    def on_segment(self, segment: Segment, start_ms: float, end_ms: float) -> None:
        self.text_tokens += len(segment.tokens)
        self._feeder.on_spoken(segment)

    def on_silence(self, silence: Silence) -> None:
        self._feeder.on_spoken(silence)

    def on_ended(self, status: Status) -> None:
        self._events.put_nowait(status)

    # Internals

    def _end(self, status: Status) -> None:
        if self.status is Status.RUNNING:
            self.status = status
            self._begun_chars = self._feeder.begun_chars
            self._feeder.close()
            self._engine_loop.streams.cancel(self._utterance)

    def _on_empty_text(self, message: str) -> None:
        self._events.put_nowait(TextError(message))

    def _acknowledge(self) -> None:
        if self._unacknowledged:
            self._unacknowledged = False
            self.first_sent_s = self.first_sent_s or self._clock_s()
            self._playback.on_sent(self._engine_loop.model.frame_ms)
            self._engine_loop.streams.wake_soon()

    def _repeat_key(self, text: str, options: SpeechOptions) -> RepeatKey | None:
        if options.caller is None or options.voice_name is None:
            return None
        settings, sampling = options.text_options, self._utterance.sampling
        return repeat_key(options.caller, options.voice_name, [text], settings, sampling, options.seed, options.cache)

    def _make_utterance(self, options: SpeechOptions, settings: Settings) -> Utterance:
        model = self._engine_loop.model
        return Utterance(
            options.voice,
            model.sampling(options.temperature, options.decode_steps, options.seed),
            frame_ms=model.frame_ms,
            playback=self._playback,
            max_lead_ms=MAX_LEAD_MS,
            may_queue=False,
            guarded=settings.guard and self._engine_loop.can_extend,
        )


class _ReadPlayback(Playback):
    """Playback of a client that may read faster than it plays: it never has more than `READ_LEAD_MS` to play."""

    @property
    def played_ms(self) -> float:
        return max(super().played_ms, self.sent_ms - READ_LEAD_MS)
