"""Decode queue of the codec: latents in, PCM out, on worker threads of its own while FlowLM makes the next latents.

The frames of a slot are decoded in their order, by one worker at a time; different slots by as many workers as there
are. Silent frames keep that order too, and are not decoded. A worker takes a small group of slots, those with the
nearest deadlines first: the decoder's weights fit the caches of a core, the activations of many rows do not.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from sayline_tts.engine.device import set_niceness, uses_static_shapes
from sayline_tts.engine.execution.decoder import Decoder, make_decoders
from sayline_tts.engine.execution.frame_queues import Frame, FrameJob, FrameQueues
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.scheduling.cost_model import MAX_DECODE_GROUP

URGENT_S = 0.1  # a frame due within this time does not wait to be decoded together with later ones
GROUP_STRETCH = 1.5  # a group may grow until it takes this many times as long: many small groups cost more in all
NICENESS = 10  # of the workers: all listeners of a batch wait for FlowLM, only those of a group for the codec


class FrameDropped(Exception):
    """The utterance was cancelled before this frame was decoded."""


class DecodeQueue:
    """Decodes at most `threads` groups of up to `MAX_DECODE_GROUP` slots at once.

    `group_ms`: estimated cost of a group by its rows. `on_progress` is called on a worker thread once the backlog has
    shrunk to what `caught_up` asked for. `decode_in_processes`: give each worker a process of its own, if possible.
    """

    def __init__(
        self,
        model: Model,
        slots: int,
        threads: int,
        group_ms: Callable[[int], float],
        on_progress: Callable[[], None],
        now_s: Callable[[], float],
        decode_in_processes: bool = False,
    ) -> None:
        self._decoders = make_decoders(model.mimi, model.device, slots, threads, NICENESS, decode_in_processes)
        self._idle = list(self._decoders)  # each of the others is used by a worker
        self._group_ms, self._on_progress, self._now_s = group_ms, on_progress, now_s
        self._max_group = slots if uses_static_shapes(model.device) else MAX_DECODE_GROUP
        self._pool = ThreadPoolExecutor(threads, "codec", set_niceness, (NICENESS,))
        self._lock = threading.Lock()
        self._queues = FrameQueues()
        self._silence = silent_frame(model.frame_samples)
        self._progress_at: int | None = None  # backlog at which to call `on_progress`
        self._costs: deque[tuple[int, float]] = deque(maxlen=256)

    @property
    def backlog(self) -> int:
        """Frames that are not decoded yet."""
        with self._lock:
            return self._queues.backlog

    def put(self, jobs: Sequence[FrameJob], latents: Tensor) -> list[Future[np.ndarray]]:
        """Queue frames to decode: `latents` `[frames, dim]` on the codec's scale.

        Returns a future for each, of float32 `[samples]` in [-1, 1], that cannot be cancelled. It raises what decoding
        its group raised, or `FrameDropped`. Callbacks added with `add_done_callback` run on the worker, before the next
        frame of the slot is decoded or resolved.
        """
        with self._lock:
            futures = [self._queues.put(job, latent) for job, latent in zip(jobs, latents, strict=True)]
            self._start_workers()
        return futures

    def put_silence(self, slot: int) -> Future[np.ndarray]:
        """Queue a silent frame behind the frames of the slot's current utterance. Returns as `put` does.

        The future is done already if there are none. All silent frames share one read-only array.
        """
        with self._lock:
            return self._queues.put_silence(slot) or self._silence

    def next_utterance(self, slot: int, drop: bool) -> None:
        """End the slot's current utterance: later frames belong to the next one. `drop`: drop its waiting frames."""
        with self._lock:
            dropped = self._queues.next_utterance(slot, drop)
        for frame in dropped:
            frame.audio.set_exception(FrameDropped("the utterance was cancelled"))

    def caught_up(self, frames: int) -> bool:
        """Return whether the backlog is at most `frames`. If not, `on_progress` is called once when it is."""
        with self._lock:
            self._progress_at = frames if self._queues.backlog > frames else None
            return self._progress_at is None

    def costs(self) -> list[tuple[int, float]]:
        """Return rows and CPU ms of each group decoded since the last call."""
        return [self._costs.popleft() for _ in range(len(self._costs))]

    @property
    def workers(self) -> int:
        """Workers that are able to work at full speed: all but those whose process cannot be replaced."""
        return sum(decoder.alive for decoder in self._decoders)

    @property
    def restarts(self) -> int:
        """Worker processes that died and were replaced."""
        return sum(decoder.restarts for decoder in self._decoders)

    def check_workers(self) -> None:
        """Replace processes that died while they had nothing to do. Those at work are replaced at once."""
        with self._lock:
            for decoder in [each for each in self._idle if not each.alive]:
                self._idle.remove(decoder)
                self._pool.submit(self._revive, decoder)

    def close(self) -> None:
        """Decode all that waits, then end the workers."""
        self._pool.shutdown(wait=True)
        for decoder in self._decoders:
            decoder.close()

    def _start_workers(self) -> None:
        """Start as many workers as there are slots to decode. The caller holds the lock."""
        while self._idle and len(self._queues.ready) > len(self._decoders) - len(self._idle):
            self._pool.submit(self._work, self._idle.pop())

    def _revive(self, decoder: Decoder) -> None:
        decoder.revive()
        self._work(decoder)

    def _work(self, decoder: Decoder) -> None:
        """Decode group after group until nothing waits."""
        while group := self._take(decoder):
            self._decode(group, decoder)
            if self._finish([frame.slot for frame in group]):
                self._on_progress()

    def _take(self, decoder: Decoder) -> list[Frame]:
        """Take the next group out of the queue. If there is none, `decoder` becomes idle."""
        with self._lock:
            threads = len(self._decoders)
            group = next_group(self._queues.ready, self._now_s(), threads, self._group_ms, self._max_group)
            if not group:
                self._idle.append(decoder)
            return self._queues.take(sorted(job.slot for job in group))  # the state of adjacent slots lies together

    def _decode(self, group: list[Frame], decoder: Decoder) -> None:
        fresh = {frame.slot: frame.job.position for frame in group if frame.job and frame.job.fresh}
        try:
            latents = torch.stack([frame.latent for frame in group if frame.latent is not None])  # [rows, dim]
            pcm, cost_ms = decoder.decode(fresh, [frame.slot for frame in group], latents)  # [rows, samples]
        except BaseException as error:
            for frame in group:
                frame.audio.set_exception(error)
            return
        start_ns = time.thread_time_ns()
        for frame, samples in zip(group, pcm, strict=True):
            frame.audio.set_result(samples)
        callbacks_ms = (time.thread_time_ns() - start_ns) / 1e6  # Opus encoding, for example
        self._costs.append((len(group), cost_ms + callbacks_ms))

    def _finish(self, slots: list[int]) -> bool:
        """Resolve the silent frames that follow in `slots`, then free these for the next group.

        Returns whether the backlog has reached what `caught_up` asked for.
        """
        while True:
            with self._lock:
                silent = self._queues.finish(slots)
                if not silent:
                    self._start_workers()
                    reached = self._progress_at is not None and self._queues.backlog <= self._progress_at
                    if reached:
                        self._progress_at = None
                    return reached
            for frame in silent:
                frame.audio.set_result(self._silence.result())


def next_group(
    jobs: list[FrameJob],
    now_s: float,
    threads: int,
    group_ms: Callable[[int], float],
    max_group: int = MAX_DECODE_GROUP,
) -> list[FrameJob]:
    """Return what a worker decodes next: its share of the urgent frames, and as many more as hardly delay those."""
    jobs = sorted(jobs, key=lambda job: job.due_s)
    urgent = sum(job.due_s <= now_s + URGENT_S for job in jobs) or len(jobs)
    size = share = min(max_group, -(-urgent // threads))
    while size < min(max_group, len(jobs)) and group_ms(size + 1) <= GROUP_STRETCH * group_ms(share):
        size += 1
    return jobs[:size]


def silent_frame(samples: int) -> Future[np.ndarray]:
    """Return a decoded frame of zeros, read-only because all silent frames share it."""
    zeros = np.zeros(samples, np.float32)
    zeros.setflags(write=False)
    audio: Future[np.ndarray] = Future()
    audio.set_result(zeros)
    return audio
