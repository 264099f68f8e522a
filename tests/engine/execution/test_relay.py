"""Frames are passed on in order and one at a time, on whatever threads."""

import random
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest

from sayline_tts.engine.execution.relay import Audio, Relay, silence


def sound(number: int) -> np.ndarray:
    return np.full(1, number, np.float32)


def test_silence_waits_for_the_speech_before_it_and_its_callbacks() -> None:
    relay, heard = Relay(), list[str]()
    speech: Audio = Future()
    first, second = relay.put(speech), relay.put(silence(1))
    assert not second.done()
    first.add_done_callback(lambda _: heard.append(f"first, second is there: {second.done()}"))
    second.add_done_callback(lambda _: heard.append("second"))
    speech.set_result(sound(1))
    assert heard == ["first, second is there: False", "second"]


def test_silence_that_follows_nothing_is_ready_at_once() -> None:
    passed = Relay().put(silence(7))
    assert not passed.result(0).any()
    assert passed.result(0).shape == (7,)
    with pytest.raises(ValueError, match="read-only"):
        passed.result(0)[0] = 1


def test_error_is_passed_on_and_later_frames_follow() -> None:
    relay, broken = Relay(), Future[np.ndarray]()
    first, second = relay.put(broken), relay.put(silence(1))
    broken.set_exception(MemoryError("no more"))
    with pytest.raises(MemoryError, match="no more"):
        first.result(0)
    assert second.done()


def test_future_cannot_be_cancelled() -> None:
    assert not Relay().put(Future()).cancel()


@pytest.mark.parametrize("seed", range(5))
def test_callbacks_of_one_utterance_never_overlap_and_keep_their_order(seed: int) -> None:
    """As in the server: one thread queues frames and adds callbacks, others resolve them."""
    rng, relay, heard, inside = random.Random(seed), Relay(), list[int](), threading.Lock()

    def hear(passed: Audio) -> None:
        assert inside.acquire(blocking=False), "two at once"
        time.sleep(0)  # lets the other threads try
        heard.append(int(passed.result()[0]))
        inside.release()

    with ThreadPoolExecutor(3) as codec:
        for number in range(300):
            made: Audio = Future()
            if rng.random() < 0.4:
                made.set_result(sound(number))
            passed = relay.put(made)
            if not made.done():
                codec.submit(made.set_result, sound(number))
            passed.add_done_callback(hear)
    assert heard == list(range(300))
