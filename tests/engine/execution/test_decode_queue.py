"""Frames of a slot are decoded in order, urgent ones first, and a group that fails fails alone."""

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sayline_tts.engine.execution.decode_queue import URGENT_S, DecodeQueue, FrameDropped, next_group, silent_frame
from sayline_tts.engine.execution.decoder import Decoder
from sayline_tts.engine.execution.frame_queues import FrameJob
from sayline_tts.engine.models.mimi import MimiState
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.scheduling.cost_model import MAX_DECODE_GROUP

SLOTS = 6


def steep_cost(rows: int) -> float:
    """Cost of groups that become much slower with each row."""
    return 10.0**rows


class BlockingDecoder:
    """Records the groups it decodes; each waits for `may_go_on` unless `free`."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self.groups: list[list[int]] = []
        self.begun, self.may_go_on = threading.Semaphore(0), threading.Semaphore(0)
        self.free = False
        self.error: Exception | None = None
        self.alive, self.restarts, self.revived = True, 0, 0

    def decode(self, fresh: dict[int, int], slots: list[int], latents: Tensor) -> tuple[np.ndarray, float]:
        self.groups.append(slots)
        self.begun.release()
        if not self.free:
            assert self.may_go_on.acquire(timeout=30)
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return self._decoder.decode(fresh, slots, latents)

    def revive(self) -> None:
        self.revived += 1
        self.alive = True

    def close(self) -> None:
        self._decoder.close()

    def until_begun(self) -> None:
        assert self.begun.acquire(timeout=30)


class Rig:
    """A decode queue whose workers use one `BlockingDecoder`."""

    def __init__(self, model: Model, threads: int) -> None:
        self.progress = threading.Event()
        self.queue = DecodeQueue(model, SLOTS, threads, steep_cost, self.progress.set, lambda: 0.0)
        self.decoder = BlockingDecoder(self.queue._decoders[0])
        self.queue._decoders, self.queue._idle = [self.decoder] * threads, [self.decoder] * threads
        self.seed = 0

    def put(self, *slots: int, fresh: bool = False, due_s: float = 1.0) -> list[Any]:
        self.seed += 1
        jobs = [FrameJob(slot, fresh, due_s) for slot in slots]
        return self.queue.put(jobs, torch.randn(len(slots), 32, generator=torch.Generator().manual_seed(self.seed)))

    def close(self) -> None:
        self.decoder.free = True
        self.decoder.may_go_on.release(1000)
        self.queue.close()


@pytest.fixture
def rig(model: Model) -> Iterator[Rig]:
    """With one worker."""
    rig = Rig(model, 1)
    yield rig
    rig.close()


def test_frames_of_many_slots_on_many_threads_equal_each_slot_alone(model: Model) -> None:
    """In random groups, while new frames are queued."""
    rng = np.random.default_rng(0)
    latents = torch.randn(SLOTS, 12, 32, generator=torch.Generator().manual_seed(1))
    queue = DecodeQueue(model, SLOTS, 3, float, lambda: None, time.monotonic)
    futures: dict[int, list[Any]] = {slot: [] for slot in range(SLOTS)}
    while left := [slot for slot in futures if len(futures[slot]) < 12]:
        chosen = [slot for slot in left if rng.random() < 0.6]
        jobs = [FrameJob(slot, not futures[slot], float(rng.random())) for slot in chosen]
        if chosen:
            made = queue.put(jobs, torch.stack([latents[slot, len(futures[slot])] for slot in chosen]))
            for slot, future in zip(chosen, made, strict=True):
                futures[slot].append(future)
    queue.close()
    for slot in futures:
        state = MimiState(model.mimi, model.device, 1)
        with torch.inference_mode():
            alone = [model.mimi.decode(latent[None], state, torch.tensor([0]))[0] for latent in latents[slot]]
        together = np.concatenate([future.result() for future in futures[slot]])
        np.testing.assert_allclose(together, torch.cat(alone).numpy(), atol=1e-4)


def test_urgent_frames_go_first_and_without_others() -> None:
    jobs = [FrameJob(slot, False, due_s) for slot, due_s in enumerate([9.0, 5.05, 7.0, 5.0, 5.2])]
    assert [job.slot for job in next_group(jobs, 5.0, 1, steep_cost)] == [3, 1]
    assert [job.slot for job in next_group(jobs, 4.0, 1, steep_cost)] == [3, 1, 4, 2, 0]
    assert next_group([], 5.0, 1, steep_cost) == []
    assert URGENT_S < 0.2


def test_group_size_is_bounded_and_workers_share_the_frames() -> None:
    jobs = [FrameJob(slot, False, 9.0) for slot in range(20)]
    assert len(next_group(jobs, 0.0, 1, steep_cost)) == MAX_DECODE_GROUP
    assert len(next_group(jobs[:6], 0.0, 2, steep_cost)) == 3
    assert len(next_group(jobs[:1], 0.0, 2, steep_cost)) == 1


def test_later_frames_join_urgent_ones_if_that_hardly_takes_longer() -> None:
    jobs = [FrameJob(slot, False, due_s) for slot, due_s in enumerate([0.0, 9.0, 9.1, 9.2, 9.3])]
    assert len(next_group(jobs, 0.0, 2, lambda rows: 10.0 + rows)) == 5
    assert len(next_group(jobs, 0.0, 2, lambda rows: 4.0 + 2 * rows)) == 2
    assert len(next_group(jobs, 0.0, 2, steep_cost)) == 1
    assert len(next_group(jobs[1:], 0.0, 2, lambda rows: 10.0 + rows)) == 4, "one worker; the other one rests"


def test_frames_of_a_slot_are_decoded_in_order_and_one_at_a_time(rig: Rig) -> None:
    rig.put(0, fresh=True), rig.put(0, due_s=-1.0), rig.put(0)
    futures = rig.put(1, fresh=True)
    rig.decoder.free = True
    rig.decoder.may_go_on.release()
    futures[0].result(30)
    rig.queue.close()
    assert [group.count(0) for group in rig.decoder.groups] == [1, 1, 1]


def test_urgent_frame_overtakes_earlier_ones(rig: Rig) -> None:
    rig.put(0)
    rig.decoder.until_begun()
    rig.put(1, 2, 3)
    rig.put(4, due_s=0.0)
    rig.decoder.free = True
    rig.decoder.may_go_on.release()
    rig.queue.close()
    assert rig.decoder.groups == [[0], [4], [1, 2, 3]]


def test_two_workers_decode_at_once(model: Model) -> None:
    rig = Rig(model, 2)
    rig.put(0, 1)
    rig.decoder.until_begun()
    rig.decoder.until_begun()
    assert sorted(rig.decoder.groups) == [[0], [1]]
    rig.close()


def test_failed_group_fails_alone_and_its_slots_continue(rig: Rig) -> None:
    rig.decoder.error = MemoryError("no more")
    broken = rig.put(0, 1, fresh=True)
    rig.decoder.until_begun()
    later = rig.put(0, 2, fresh=True)
    rig.decoder.free = True
    rig.decoder.may_go_on.release()
    for future in broken:
        with pytest.raises(MemoryError, match="no more"):
            future.result(30)
    assert [future.result(30).shape for future in later] == [(1920,)] * 2


def test_waiting_frames_of_a_slot_can_be_dropped(rig: Rig) -> None:
    (begun,) = rig.put(0)
    rig.decoder.until_begun()
    (before,) = rig.put(0)
    rig.queue.next_utterance(0, drop=False)
    (dropped,), (other,) = rig.put(0), rig.put(1)
    silent = rig.queue.put_silence(0)
    rig.queue.next_utterance(0, drop=True)
    rig.queue.next_utterance(5, drop=True)
    with pytest.raises(FrameDropped):
        dropped.result(0)
    with pytest.raises(FrameDropped):
        silent.result(0)
    assert rig.queue.backlog == 3
    rig.decoder.free = True
    rig.decoder.may_go_on.release()
    assert begun.result(30) is not None
    assert before.result(30) is not None, "a frame of the slot's previous utterance"
    assert other.result(30) is not None


def test_reassigned_slot_is_reset_after_dropped_frames(rig: Rig) -> None:
    rig.decoder.free = True
    rig.put(0, fresh=True)
    rig.put(0)
    rig.queue.next_utterance(0, drop=True)
    rig.seed = 40
    (again,) = rig.put(0, fresh=True)
    rig.seed = 40
    (first,) = rig.put(1, fresh=True)
    np.testing.assert_allclose(again.result(30), first.result(30), atol=1e-4)


def test_on_progress_is_called_once_when_the_queue_has_caught_up(rig: Rig) -> None:
    first = rig.put(0)
    rig.decoder.until_begun()
    rig.put(0), rig.put(0)
    assert rig.queue.caught_up(3)
    assert not rig.queue.caught_up(1)
    rig.decoder.may_go_on.release()
    first[0].result(30)
    rig.decoder.until_begun()
    assert not rig.progress.is_set(), "two are left"
    rig.decoder.may_go_on.release()
    assert rig.progress.wait(30)
    rig.progress.clear()
    rig.close()
    assert not rig.progress.is_set()
    assert rig.queue.caught_up(0)


def test_future_cannot_be_cancelled(rig: Rig) -> None:
    (future,) = rig.put(0)
    assert not future.cancel()
    rig.decoder.free = True
    rig.decoder.may_go_on.release()
    assert future.result(30).dtype == np.float32


def test_each_group_records_its_cost(rig: Rig) -> None:
    rig.decoder.free = True
    for future in rig.put(0, 1, 2):
        future.result(30)
    rig.queue.close()
    ((rows, cost_ms),) = rig.queue.costs()
    assert rows == 3
    assert cost_ms > 0
    assert rig.queue.costs() == []


def test_close_decodes_what_waits(rig: Rig) -> None:
    futures = rig.put(0, 1) + rig.put(0, 1)
    rig.decoder.free = True
    rig.decoder.may_go_on.release()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(rig.queue.close).result(30)
    assert all(future.done() for future in futures)


def add_callback(future: Future[np.ndarray], calls: list[str], name: str) -> None:
    future.add_done_callback(lambda _: calls.append(f"{name} on {threading.current_thread().name[:5]}"))


def test_silence_is_resolved_after_the_speech_before_it_and_its_callbacks(rig: Rig) -> None:
    (speech,) = rig.put(0)
    rig.decoder.until_begun()
    calls = list[str]()
    silent = [rig.queue.put_silence(0), rig.queue.put_silence(0)]
    speech.add_done_callback(lambda _: calls.append(f"silence is done: {silent[0].done()}"))
    for name, future in (("first", silent[0]), ("second", silent[1])):
        add_callback(future, calls, name)
    assert not any(future.done() for future in silent)
    assert rig.queue.backlog == 1, "silence is not decoded"
    rig.decoder.free = True
    rig.decoder.may_go_on.release()
    assert not silent[1].result(30).any()
    rig.queue.close()
    assert calls == ["silence is done: False", "first on codec", "second on codec"]
    assert rig.decoder.groups == [[0]]


def test_speech_after_silence_keeps_its_order(rig: Rig) -> None:
    calls = list[str]()
    futures = [*rig.put(0), rig.queue.put_silence(0), *rig.put(0), rig.queue.put_silence(0)]
    for number, future in enumerate(futures):
        add_callback(future, calls, str(number))
    rig.decoder.free = True
    rig.decoder.may_go_on.release()
    futures[-1].result(30)
    rig.queue.close()
    assert calls == [f"{number} on codec" for number in range(4)]
    assert [bool(future.result().any()) for future in futures] == [True, False, True, False]


def test_silence_that_follows_nothing_is_done_at_once(rig: Rig) -> None:
    rig.put(0)
    rig.decoder.until_begun()
    rig.put(1)
    for slot in (0, 1):
        rig.queue.next_utterance(slot, drop=False)
    for slot in range(3):
        silent = rig.queue.put_silence(slot)
        assert not silent.result(0).any(), "it does not wait for the slot's previous utterance"
        assert silent.result(0).shape == (1920,)
        assert not silent.cancel()


def test_silence_follows_speech_that_failed(rig: Rig) -> None:
    rig.decoder.error = MemoryError("no more")
    (broken,) = rig.put(0)
    rig.decoder.until_begun()
    silent = rig.queue.put_silence(0)
    rig.decoder.may_go_on.release()
    with pytest.raises(MemoryError, match="no more"):
        broken.result(30)
    assert not silent.result(30).any()


def test_silent_frame_is_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        silent_frame(7).result(0)[0] = 1


@pytest.mark.parametrize("seed", range(5))
def test_callbacks_of_one_utterance_never_overlap_and_keep_their_order(model: Model, seed: int) -> None:
    """As in the server: one thread queues frames and adds callbacks, others decode."""
    rng, numbers, inside = random.Random(seed), list[int](), threading.Lock()
    queue = DecodeQueue(model, SLOTS, 3, float, lambda: None, time.monotonic)
    decoder = queue._decoders[0]
    decoder.decode = lambda fresh, slots, latents: (np.ones((len(slots), 8)), 0.0)  # type: ignore[method-assign]

    def record(number: int) -> None:
        assert inside.acquire(blocking=False), "two at once"
        time.sleep(0)  # lets the other threads run
        numbers.append(number)
        inside.release()

    for number in range(300):
        if rng.random() < 0.4:
            audio = queue.put_silence(0)
        else:
            audio, *_ = queue.put([FrameJob(slot, False, 0.0) for slot in (0, 1, 2)], torch.zeros(3, 32))
        audio.add_done_callback(lambda _, number=number: record(number))  # type: ignore[misc]
    queue.close()
    assert numbers == list(range(300))


def test_dead_process_of_an_idle_worker_is_replaced_and_the_worker_works_on(rig: Rig) -> None:
    rig.decoder.free, rig.decoder.alive = True, False
    assert rig.queue.workers == 0
    rig.queue.check_workers()
    rig.queue.check_workers()  # a worker that is busy replaces its own process
    rig.put(0, fresh=True)[0].result(30)
    rig.queue.close()
    assert rig.decoder.revived == 1
    assert rig.queue.workers == 1


def test_check_of_living_workers_starts_nothing(rig: Rig) -> None:
    rig.decoder.restarts = 3
    rig.queue.check_workers()
    assert (rig.decoder.revived, rig.queue.restarts) == (0, 3)
