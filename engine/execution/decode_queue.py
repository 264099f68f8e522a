"""The codec's queue: latents in, sound out, on threads of its own while FlowLM makes the next.

A slot's frames are decoded in their order, by one thread at a time; different slots by as many threads as there are.
A thread takes a few slots at once, those first whose listeners need it first: the decoder's weights fit the caches of
a core, the activations of many rows do not.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sayline_tts.engine.device import wants_static
from sayline_tts.engine.execution.decoder import Decoder, decoders
from sayline_tts.engine.execution.priority import step_aside
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.scheduling.cost_model import GROUP

HURRY_S = 0.1  # frames due so soon do not wait until others are decoded with them
STRETCH = 1.5  # times as long: a group may take that for being larger, since many small ones cost more in all
NICENESS = 10  # the listeners of a whole batch wait for FlowLM, those of a group for the codec


class Dropped(Exception):
    """The utterance was cancelled before this frame was decoded."""


@dataclass(frozen=True, slots=True)
class Cue:
    """What the codec has to know of a frame besides its latent."""

    slot: int
    fresh: bool  # first frame of its utterance: silence before it
    due_s: float  # when its listener has played all before it, by the clock


@dataclass(frozen=True, slots=True)
class _Frame:
    cue: Cue
    latent: Tensor  # [dim]
    sound: Future[np.ndarray]


class Codec:
    """At most `threads` groups of up to `GROUP` slots are decoded at once. `group_ms`: what one of so many costs."""

    def __init__(
        self,
        model: Model,
        slots: int,
        threads: int,
        group_ms: Callable[[int], float],
        on_progress: Callable[[], None],
        now_s: Callable[[], float],
        apart: bool = False,
    ) -> None:
        self._decoders = decoders(model.mimi, model.device, slots, threads, NICENESS, apart)
        self._idle = list(self._decoders)  # the others have a thread each
        self._group_ms, self._on_progress, self._now_s = group_ms, on_progress, now_s
        self._group = slots if wants_static(model.device) else GROUP
        self._pool = ThreadPoolExecutor(threads, "codec", step_aside, (NICENESS,))
        self._lock = threading.Lock()
        self._waiting: dict[int, deque[_Frame]] = {}  # by slot; none is empty
        self._busy: set[int] = set()  # slots that are being decoded
        self._behind: int | None = None  # somebody waits until the backlog is no more than this
        self._costs: deque[tuple[int, float]] = deque(maxlen=256)

    @property
    def backlog(self) -> int:
        """Frames that are not decoded yet."""
        with self._lock:
            return self._backlog

    def put(self, cues: Sequence[Cue], latents: Tensor) -> list[Future[np.ndarray]]:
        """Frames to decode, `[frames, dim]` on the codec's scale; each brings float32 `[samples]` in [-1, 1].

        These futures cannot be cancelled. They raise what the decoding of their group raised, or `Dropped`. What is
        hung on one (`add_done_callback`) is done before the next frame of its slot is begun.
        """
        sounds = []
        with self._lock:
            for cue, latent in zip(cues, latents, strict=True):
                sounds.append(_begun())
                self._waiting.setdefault(cue.slot, deque()).append(_Frame(cue, latent, sounds[-1]))
            self._hire()
        return sounds

    def follows(self, frames: int) -> bool:
        """Is the codec no more than so many frames behind? If not, `on_progress` is called once when it is so."""
        with self._lock:
            self._behind = frames if self._backlog > frames else None
            return self._behind is None

    def drop(self, slot: int, sounds: Collection[Future[np.ndarray]]) -> None:
        """Nobody wants these of a slot, where they wait still. Others may: of who had the slot before."""
        with self._lock:
            waiting = self._waiting.pop(slot, deque())
            dropped = [frame for frame in waiting if frame.sound in sounds]
            if wanted := deque(frame for frame in waiting if frame.sound not in sounds):
                self._waiting[slot] = wanted
        for frame in dropped:
            frame.sound.set_exception(Dropped("its utterance was cancelled"))

    def costs(self) -> list[tuple[int, float]]:
        """Rows and CPU ms of each group since the last call."""
        return [self._costs.popleft() for _ in range(len(self._costs))]

    def close(self) -> None:
        """Decode what waits; then the threads end."""
        self._pool.shutdown(wait=True)
        for decoder in self._decoders:
            decoder.close()

    @property
    def _backlog(self) -> int:
        return len(self._busy) + sum(map(len, self._waiting.values()))

    def _hire(self) -> None:
        """As many threads as there are groups to decode. Needs the lock."""
        while self._idle and len(self._waiting.keys() - self._busy) > len(self._decoders) - len(self._idle):
            self._pool.submit(self._work, self._idle.pop())

    def _work(self, decoder: Decoder) -> None:
        """One thread's part: group after group until nothing waits."""
        while group := self._take(decoder):
            self._decode(group, decoder)
            if self._done(group):
                self._on_progress()

    def _take(self, decoder: Decoder) -> list[_Frame]:
        with self._lock:
            heads = [frames[0].cue for slot, frames in self._waiting.items() if slot not in self._busy]
            group = first_group(heads, self._now_s(), len(self._decoders), self._group_ms, self._group)
            if not group:
                self._idle.append(decoder)
            self._busy.update(cue.slot for cue in group)
            return [self._pop(slot) for slot in sorted(cue.slot for cue in group)]  # neighbours are read together

    def _pop(self, slot: int) -> _Frame:
        frames = self._waiting[slot]
        frame = frames.popleft()
        if not frames:
            del self._waiting[slot]
        return frame

    def _decode(self, group: list[_Frame], decoder: Decoder) -> None:
        fresh = [frame.cue.slot for frame in group if frame.cue.fresh]
        try:
            latents = torch.stack([frame.latent for frame in group])  # [rows, dim]
            pcm, cost_ms = decoder.decode(fresh, [frame.cue.slot for frame in group], latents)  # [rows, samples]
        except BaseException as error:
            for frame in group:
                frame.sound.set_exception(error)
            return
        start_ns = time.thread_time_ns()
        for frame, samples in zip(group, pcm, strict=True):
            frame.sound.set_result(samples)
        hung_ms = (time.thread_time_ns() - start_ns) / 1e6  # what hangs on them: Opus, say
        self._costs.append((len(group), cost_ms + hung_ms))

    def _done(self, group: list[_Frame]) -> bool:
        """Has somebody waited for this?"""
        with self._lock:
            self._busy -= {frame.cue.slot for frame in group}
            self._hire()
            caught_up = self._behind is not None and self._backlog <= self._behind
            if caught_up:
                self._behind = None
            return caught_up


def first_group(
    cues: list[Cue], now_s: float, threads: int, group_ms: Callable[[int], float], most: int = GROUP
) -> list[Cue]:
    """What a thread decodes next: its share of those who are in a hurry, and as many more as hardly delay them."""
    cues = sorted(cues, key=lambda cue: cue.due_s)
    hurried = sum(cue.due_s <= now_s + HURRY_S for cue in cues) or len(cues)
    size = share = min(most, -(-hurried // threads))
    while size < min(most, len(cues)) and group_ms(size + 1) <= STRETCH * group_ms(share):
        size += 1
    return cues[:size]


def _begun() -> Future[np.ndarray]:
    """A future that who waits for it cannot cancel."""
    future: Future[np.ndarray] = Future()
    future.set_running_or_notify_cancel()
    return future
