"""The sounds of one utterance, passed on one after the other in the order in which they were asked for.

Speech comes from the codec's threads, a pause is there at once. Who encodes them needs each when all before it were
taken, and never two at a time; so a pause waits here for the speech before it.
"""

import threading
from collections import deque
from concurrent.futures import Future

import numpy as np

Sound = Future[np.ndarray]


class Relay:
    """What is hung on a sound (`add_done_callback`), in order and by one thread, is done before the next one is there.

    That thread is the codec's, or, for a pause that follows nothing, the one that asked.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Sound, Sound]] = deque()  # as it is made, as it is passed on
        self._passing = False

    def put(self, made: Sound) -> Sound:
        """The same, in its turn. It cannot be cancelled."""
        passed: Sound = Future()
        passed.set_running_or_notify_cancel()
        with self._lock:
            self._waiting.append((made, passed))
        made.add_done_callback(lambda _: self._pass_on())
        return passed

    @property
    def waiting(self) -> set[Sound]:
        """As they were put, what is not passed on yet."""
        with self._lock:
            return {made for made, _ in self._waiting}

    def _pass_on(self) -> None:
        """All that is there; if a thread is at it already, that one goes on with these."""
        while pair := self._take():
            made, passed = pair
            error = made.exception()
            if error is None:
                passed.set_result(made.result())
            else:
                passed.set_exception(error)
            with self._lock:
                self._passing = False

    def _take(self) -> tuple[Sound, Sound] | None:
        with self._lock:
            if self._passing or not self._waiting or not self._waiting[0][0].done():
                return None
            self._passing = True
            return self._waiting.popleft()


def silence(samples: int) -> Sound:
    """One frame of zeros, made. All pauses share it, so nobody may write to it."""
    zeros = np.zeros(samples, np.float32)
    zeros.setflags(write=False)
    made: Sound = Future()
    made.set_result(zeros)
    return made
