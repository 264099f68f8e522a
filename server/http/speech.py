"""A whole text for one listener who takes it as a stream of bytes: how HTTP speaks. Knows no request and no socket.

Who loads a file does not play it meanwhile, so nothing here waits for the clock: speech is made as fast as it is taken.
But what was taken counts as lead, so everybody who listens live goes first.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from sayline_tts.engine.errors import InputError, TextError
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.utterance import Status, Utterance
from sayline_tts.engine.segment import Segment, Silence
from sayline_tts.engine.timing.word_time_estimator import WordTime
from sayline_tts.server.audio.formats import Encoder
from sayline_tts.server.settings import Settings
from sayline_tts.server.synthesis.engine_loop import Worker
from sayline_tts.server.synthesis.playback import Playback
from sayline_tts.server.synthesis.text_feeder import Backlog, Manner

TAKEN_LEAD_MS = 4_000.0  # of what was taken, so much counts as not yet heard: more than who listens live has
# Of both, what was taken and what was not. With half of it he presses no more, which bounds the memory of one who does
# not take what is made.
MAX_LEAD_MS = 12_000.0


class SpeechFailed(Exception):
    """Our own fault, and logged where it happened."""


class ShuttingDown(InputError):
    code = "shutting_down"


@dataclass(frozen=True)
class SpeechOptions:
    voice: Voice
    temperature: float | None = None  # None: the model's own
    seed: int | None = None  # None: another each time
    decode_steps: int = 1
    manner: Manner = field(default_factory=Manner)  # its speed is the encoder's


class Speech:
    """Iterate over it for its bytes; the first come with the first frame. `close` it, also after a fault.

    It has its place in the engine at once, and before anything is said: raises `Full`. Iterating raises `TextError`
    where there is nothing to say, `SpeechFailed` and `ShuttingDown`.
    """

    def __init__(self, worker: Worker, settings: Settings, text: str, options: SpeechOptions, encoder: Encoder) -> None:
        self.frames = 0  # spoken
        self.text_tokens = 0  # of the segments that were spoken
        self.first_audio_ms: float | None = None  # from the beginning to the first frame
        self.status = Status.RUNNING
        self._worker, self._encoder = worker, encoder
        self._news: asyncio.Queue[bytes | Status | TextError] = asyncio.Queue()
        self._taking = False
        self._clock_s = asyncio.get_running_loop().time
        self._began_s = self._clock_s()
        self._playback = Playback(lambda: self._clock_s() * 1000 * options.manner.speed)
        self._utterance = self._make_utterance(options)
        self._backlog = Backlog(worker.model, settings, worker.wake, self._on_nothing, manner=options.manner)
        worker.speak(self._utterance, self)
        self._backlog.begin(self._utterance)
        self._backlog.push(text)
        self._backlog.end()

    # For who takes it

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """Asking for more says that all before has left."""
        while self.status is Status.RUNNING:
            self._count_taken()
            match await self._news.get():
                case bytes(data):
                    self._taking = True
                    if data:
                        return data
                case Status.FINISHED:
                    self._end(Status.FINISHED)
                    if rest := await asyncio.to_thread(self._encoder.end):
                        return rest
                case Status.CANCELLED:  # not by us: nobody listens to what we cancelled
                    self._end(Status.CANCELLED)
                    raise ShuttingDown("the server is shutting down; ask again in a moment")
                case TextError() as error:
                    self._end(Status.FAILED)
                    raise error
                case _:
                    self._end(Status.FAILED)
                    raise SpeechFailed
        raise StopAsyncIteration

    @property
    def untaken_ms(self) -> float:
        """Of audio that was made."""
        return self._utterance.produced_ms - self._playback.sent_ms

    def close(self) -> None:
        """No frame is made any more. Twice is harmless."""
        self._end(Status.CANCELLED)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What the engine says

    def encode(self, pcm: np.ndarray) -> bytes:
        return self._encoder.encode(pcm)

    def end_part(self) -> bytes:
        """The next part follows at once."""
        return b""

    def on_place(self, place: int) -> None:
        raise AssertionError("it does not wait")

    def on_frame(self, data: bytes) -> None:
        if not self.frames:
            self.first_audio_ms = (self._clock_s() - self._began_s) * 1000
        self.frames += 1
        self._news.put_nowait(data)

    def on_part_end(self, data: bytes) -> None:
        pass

    def on_word(self, time: WordTime) -> None:
        pass

    def on_segment(self, segment: Segment, start_ms: float, end_ms: float) -> None:
        self.text_tokens += len(segment.tokens)
        self._backlog.on_spoken(segment)

    def on_silence(self, silence: Silence) -> None:
        self._backlog.on_spoken(silence)

    def on_ended(self, status: Status) -> None:
        self._news.put_nowait(status)

    # What follows

    def _end(self, status: Status) -> None:
        if self.status is Status.RUNNING:
            self.status = status
            self._backlog.close()
            self._worker.cancel(self._utterance)

    def _on_nothing(self) -> None:
        self._news.put_nowait(TextError("there is nothing to say in this text; send some words"))

    def _count_taken(self) -> None:
        if self._taking:
            self._taking = False
            self._playback.on_sent(self._worker.model.frame_ms)
            self._worker.wake_soon()

    def _heard_ms(self) -> float:
        return max(self._playback.played_ms, self._playback.sent_ms - TAKEN_LEAD_MS)

    def _make_utterance(self, options: SpeechOptions) -> Utterance:
        model = self._worker.model
        return Utterance(
            options.voice,
            model.sampling(options.temperature, options.decode_steps, options.seed),
            frame_ms=model.frame_ms,
            played_ms=self._heard_ms,
            sent_ms=lambda: self._playback.sent_ms,
            max_lead_ms=MAX_LEAD_MS,
            waits=False,
        )
