"""What contexts, HTTP and monitoring use of an engine, wherever it runs."""

from collections.abc import Callable
from typing import Any, Protocol

from sayline_tts.engine.models.model_description import ModelDescription
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.utterance import Utterance
from sayline_tts.server.access.limits import ANONYMOUS
from sayline_tts.server.synthesis.output_stream import Listener
from sayline_tts.server.synthesis.repeat_cache import RepeatKey
from sayline_tts.server.synthesis.streams import Streams
from sayline_tts.server.synthesis.timeline import Timeline
from sayline_tts.server.voices.voices import Voices


class SpeechEngine(Protocol):
    """`EngineLoop` speaks in this process, `Fleet` on other machines.

    Call it on the event loop that `start` was called on. `on_failed` is called once if it ends because of an error.
    """

    voices: Voices
    streams: Streams  # of all utterances that have not ended
    on_failed: Callable[[], None]

    @property
    def model(self) -> ModelDescription: ...

    @property
    def can_extend(self) -> bool:
        """Whether text may grow while it is spoken."""

    @property
    def capacity(self) -> int:
        """How many utterances can speak at the same time."""

    @property
    def slots(self) -> int: ...

    @property
    def slots_used(self) -> int: ...

    @property
    def codec_backlog(self) -> int:
        """Frames that are not decoded yet."""

    @property
    def codec_workers(self) -> int: ...

    @property
    def codec_restarts(self) -> int: ...

    @property
    def speaking(self) -> int:
        """How many utterances have something to speak."""

    @property
    def waiting(self) -> int:
        """How many utterances wait for admission."""

    @property
    def alive(self) -> bool: ...

    @property
    def stuck_s(self) -> float:
        """Age of the oldest step or frame that is still in progress."""

    def start(self) -> None: ...

    async def warm_up(self) -> None:
        """Do all one-time work before the first listener arrives."""

    async def stop(self) -> None:
        """End every utterance as cancelled, and all threads and connections."""

    async def voice(self, name: str, owner: str = ANONYMOUS) -> Voice:
        """One of the model's own voices, or one of `owner`'s. Raises `UnknownVoice`, `VoiceError`."""

    def submit(
        self,
        utterance: Utterance,
        listener: Listener[Any],
        on_reclaim: Callable[[], None] = lambda: None,
        key: RepeatKey | None = None,
    ) -> Timeline:
        """Have an utterance spoken and return the times of its stages, which are filled in. Raises `Full`.

        `on_reclaim`: it has had no text for some seconds and others wait for its slot, so it should end. With `key`,
        its text is complete, and its speech is taken from the cache or kept there.
        """

    def check_room(self) -> None:
        """Raise `Full` if an utterance that may not queue would be rejected now."""

    def wake(self) -> None:
        """An utterance has a new part, or has ended."""
