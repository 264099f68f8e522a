"""Audio of one utterance, passed on one frame after the other in the order in which the frames were queued.

Speech comes from the codec's worker threads; a silent frame is there at once. The consumer encodes a stream, so it
needs each frame after all before it were consumed, and never two at a time: a silent frame waits here for the speech
before it.
"""

import threading
from collections import deque
from concurrent.futures import Future

import numpy as np

Audio = Future[np.ndarray]


class Relay:
    """Callbacks of a frame's future run in order and one at a time, before the next future is resolved.

    They run on a worker thread of the codec or, for a silent frame that follows nothing, on the thread that queued it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Audio, Audio]] = deque()  # as made, as passed on
        self._passing = False

    def put(self, made: Audio) -> Audio:
        """Return a future for the same frame, resolved in its turn. It cannot be cancelled."""
        passed: Audio = Future()
        passed.set_running_or_notify_cancel()
        with self._lock:
            self._waiting.append((made, passed))
        made.add_done_callback(lambda _: self._pass_on())
        return passed

    @property
    def waiting(self) -> set[Audio]:
        """Frames, as they were put, that have not been passed on."""
        with self._lock:
            return {made for made, _ in self._waiting}

    def _pass_on(self) -> None:
        """Pass on all that is ready. If another thread is doing so, it takes these too."""
        while pair := self._take():
            made, passed = pair
            error = made.exception()
            if error is None:
                passed.set_result(made.result())
            else:
                passed.set_exception(error)
            with self._lock:
                self._passing = False

    def _take(self) -> tuple[Audio, Audio] | None:
        with self._lock:
            if self._passing or not self._waiting or not self._waiting[0][0].done():
                return None
            self._passing = True
            return self._waiting.popleft()


def silence(samples: int) -> Audio:
    """Return one decoded frame of zeros, read-only because all pauses share it."""
    zeros = np.zeros(samples, np.float32)
    zeros.setflags(write=False)
    made: Audio = Future()
    made.set_result(zeros)
    return made
