"""The streams of an engine's utterances, whether it speaks in this process or elsewhere.

What is in the repeat cache is replayed from it and never reaches the engine; what belongs there is recorded.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from sayline_tts.engine.scheduling.utterance import Status, Utterance
from sayline_tts.server.metrics import Metrics
from sayline_tts.server.synthesis.output_stream import Listener, OutputStream
from sayline_tts.server.synthesis.repeat_cache import Recorder, RepeatCache, RepeatKey
from sayline_tts.server.synthesis.replay_stream import ReplayStream
from sayline_tts.server.synthesis.timeline import Timeline

WAKE_DELAY_S = 0.02


class Streams:
    """All streams that have not closed.

    `begin` hands the utterance of a new stream to the engine and adds the stream here, or raises `Full`. `wake` has the
    engine look at its utterances again. `on_removed` is called once for each stream that has closed.
    """

    def __init__(
        self,
        repeats: RepeatCache | None,
        metrics: Metrics,
        begin: Callable[[OutputStream], None],
        wake: Callable[[], None],
        on_removed: Callable[[Utterance], None],
    ) -> None:
        self.repeats = repeats or RepeatCache(0)
        self._metrics, self._begin, self._wake, self._on_removed = metrics, begin, wake, on_removed
        self.spoken: dict[Utterance, OutputStream] = {}  # what the engine speaks
        self.replays: dict[Utterance, ReplayStream] = {}
        self._idle = asyncio.Event()
        self._delayed_wake: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self.spoken) + len(self.replays)

    @property
    def waiting_since(self) -> list[float]:
        """For each stream with a frame that is generated and not delivered: since when, in loop time."""
        return [stream.waiting_since for stream in self._all if stream.waiting_since is not None]

    def submit(
        self,
        utterance: Utterance,
        listener: Listener[Any],
        on_reclaim: Callable[[], None],
        key: RepeatKey | None,
        gain: float = 1.0,
    ) -> Timeline:
        """See `SpeechEngine.submit`. `gain`: a factor for all samples that the engine makes."""
        recorder = None
        if key is not None and self.repeats.max_bytes:
            recording = self.repeats.get(key)
            self._metrics.on_repeat(recording is not None)
            if recording is not None:
                replay = ReplayStream(utterance, listener, self.remove, recording)
                self.replays[utterance] = replay
                return replay.timeline
            recorder = Recorder(self.repeats, key)
        stream = OutputStream(utterance, listener, self.remove, recorder, gain)
        stream.on_reclaim = on_reclaim
        self._begin(stream)
        return stream.timeline

    def forget_repeats(self) -> None:
        """Begin with an empty repeat cache. What is being recorded now is not kept."""
        self.repeats = RepeatCache(self.repeats.max_bytes)

    def cancel(self, utterance: Utterance) -> None:
        """End an utterance without another call to its listener. Idempotent."""
        if stream := self.spoken.get(utterance) or self.replays.get(utterance):
            stream.close()

    def finish(self, status: Status) -> None:
        """End every utterance."""
        for stream in self._all:
            stream.finish(status)

    def remove(self, stream: OutputStream | ReplayStream) -> None:
        """Forget an utterance whose stream has closed."""
        del (self.spoken if isinstance(stream, OutputStream) else self.replays)[stream.utterance]
        self._idle.set()
        self._on_removed(stream.utterance)
        self._wake()

    def wake_replays(self) -> None:
        for replay in self.replays.values():
            replay.wake()

    def wake_soon(self) -> None:
        """Playback has gone on: look again within `WAKE_DELAY_S`; further calls until then are merged into one."""
        if self._delayed_wake is None:
            self._delayed_wake = asyncio.get_running_loop().call_later(WAKE_DELAY_S, self._on_delayed_wake)

    async def wait_until_idle(self) -> None:
        """Wait until every utterance has ended."""
        while len(self):
            self._idle.clear()
            await self._idle.wait()

    @property
    def _all(self) -> list[OutputStream | ReplayStream]:
        return [*self.spoken.values(), *self.replays.values()]

    def _on_delayed_wake(self) -> None:
        self._delayed_wake = None
        self._wake()
