"""engine/execution/decode_queue.py: each slot in order, who is in a hurry first, and one that fails fails alone."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sayline_tts.engine.execution.decode_queue import HURRY_S, Codec, Cue, Dropped, first_group
from sayline_tts.engine.execution.decoder import Decoder
from sayline_tts.engine.models.mimi import MimiState
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.scheduling.cost_model import GROUP

SLOTS = 6


def dear(rows: int) -> float:
    """Of groups where each row more makes them much slower."""
    return 10.0**rows


class StubbornDecoder:
    """Remembers what it decoded; stops where it is told to."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self.groups: list[list[int]] = []
        self.begun, self.may_go_on = threading.Semaphore(0), threading.Semaphore(0)
        self.free = False
        self.fault: Exception | None = None

    def decode(self, fresh: list[int], slots: list[int], latents: Tensor) -> tuple[np.ndarray, float]:
        self.groups.append(slots)
        self.begun.release()
        if not self.free:
            assert self.may_go_on.acquire(timeout=30)
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        return self._decoder.decode(fresh, slots, latents)

    def close(self) -> None:
        self._decoder.close()

    def until_begun(self) -> None:
        assert self.begun.acquire(timeout=30)


class Line:
    def __init__(self, model: Model, threads: int) -> None:
        self.progress = threading.Event()
        self.codec = Codec(model, SLOTS, threads, dear, self.progress.set, lambda: 0.0)
        self.decoder = StubbornDecoder(self.codec._decoders[0])
        self.codec._decoders, self.codec._idle = [self.decoder] * threads, [self.decoder] * threads
        self.seed = 0

    def put(self, *slots: int, fresh: bool = False, due_s: float = 1.0) -> list[Any]:
        self.seed += 1
        cues = [Cue(slot, fresh, due_s) for slot in slots]
        return self.codec.put(cues, torch.randn(len(slots), 32, generator=torch.Generator().manual_seed(self.seed)))

    def close(self) -> None:
        self.decoder.free = True
        self.decoder.may_go_on.release(1000)
        self.codec.close()


@pytest.fixture
def line(model: Model) -> Iterator[Line]:
    """One thread."""
    line = Line(model, 1)
    yield line
    line.close()


def test_frames_of_many_slots_on_many_threads_equal_those_of_each_alone(model: Model) -> None:
    """In random groups, while new ones come."""
    rng = np.random.default_rng(0)
    latents = torch.randn(SLOTS, 12, 32, generator=torch.Generator().manual_seed(1))
    codec = Codec(model, SLOTS, 3, float, lambda: None, time.monotonic)
    sounds: dict[int, list[Any]] = {slot: [] for slot in range(SLOTS)}
    while left := [slot for slot in sounds if len(sounds[slot]) < 12]:
        chosen = [slot for slot in left if rng.random() < 0.6]
        cues = [Cue(slot, not sounds[slot], float(rng.random())) for slot in chosen]
        if chosen:
            made = codec.put(cues, torch.stack([latents[slot, len(sounds[slot])] for slot in chosen]))
            for slot, sound in zip(chosen, made, strict=True):
                sounds[slot].append(sound)
    codec.close()
    for slot in sounds:
        state = MimiState(model.mimi, model.device, 1)
        with torch.inference_mode():
            alone = [model.mimi.decode(latent[None], state, torch.tensor([0]))[0] for latent in latents[slot]]
        heard = np.concatenate([sound.result() for sound in sounds[slot]])
        np.testing.assert_allclose(heard, torch.cat(alone).numpy(), atol=1e-4)


def test_who_is_in_a_hurry_goes_first_and_with_nobody_who_is_not() -> None:
    cues = [Cue(slot, False, due_s) for slot, due_s in enumerate([9.0, 5.05, 7.0, 5.0, 5.2])]
    assert [cue.slot for cue in first_group(cues, 5.0, 1, dear)] == [3, 1]
    assert [cue.slot for cue in first_group(cues, 4.0, 1, dear)] == [3, 1, 4, 2, 0]
    assert first_group([], 5.0, 1, dear) == []
    assert HURRY_S < 0.2


def test_a_group_has_a_bound_and_threads_share_what_there_is() -> None:
    cues = [Cue(slot, False, 9.0) for slot in range(20)]
    assert len(first_group(cues, 0.0, 1, dear)) == GROUP
    assert len(first_group(cues[:6], 0.0, 2, dear)) == 3
    assert len(first_group(cues[:1], 0.0, 2, dear)) == 1


def test_more_go_with_those_in_a_hurry_where_that_hardly_takes_longer() -> None:
    cues = [Cue(slot, False, due_s) for slot, due_s in enumerate([0.0, 9.0, 9.1, 9.2, 9.3])]
    assert len(first_group(cues, 0.0, 2, lambda rows: 10.0 + rows)) == 5
    assert len(first_group(cues, 0.0, 2, lambda rows: 4.0 + 2 * rows)) == 2
    assert len(first_group(cues, 0.0, 2, dear)) == 1
    assert len(first_group(cues[1:], 0.0, 2, lambda rows: 10.0 + rows)) == 4, "one thread, the other rests"


def test_a_slots_frames_are_decoded_in_their_order_one_at_a_time(line: Line) -> None:
    line.put(0, fresh=True), line.put(0, due_s=-1.0), line.put(0)
    sounds = line.put(1, fresh=True)
    line.decoder.free = True
    line.decoder.may_go_on.release()
    sounds[0].result(30)
    line.codec.close()
    assert [group.count(0) for group in line.decoder.groups] == [1, 1, 1]


def test_a_newcomer_does_not_wait_for_those_who_came_before_it(line: Line) -> None:
    line.put(0)
    line.decoder.until_begun()
    line.put(1, 2, 3)
    line.put(4, due_s=0.0)
    line.decoder.free = True
    line.decoder.may_go_on.release()
    line.codec.close()
    assert line.decoder.groups == [[0], [4], [1, 2, 3]]


def test_two_threads_decode_at_once(model: Model) -> None:
    line = Line(model, 2)
    line.put(0, 1)
    line.decoder.until_begun()
    line.decoder.until_begun()
    assert sorted(line.decoder.groups) == [[0], [1]]
    line.close()


def test_a_group_that_fails_fails_alone_and_its_slots_go_on(line: Line) -> None:
    line.decoder.fault = MemoryError("no more")
    broken = line.put(0, 1, fresh=True)
    line.decoder.until_begun()
    later = line.put(0, 2, fresh=True)
    line.decoder.free = True
    line.decoder.may_go_on.release()
    for sound in broken:
        with pytest.raises(MemoryError, match="no more"):
            sound.result(30)
    assert [sound.result(30).shape for sound in later] == [(1920,)] * 2


def test_what_waits_of_a_slot_can_be_dropped(line: Line) -> None:
    (begun,) = line.put(0)
    line.decoder.until_begun()
    (before,), (dropped,), (other,) = line.put(0), line.put(0), line.put(1)
    line.codec.drop(0, {dropped})
    line.codec.drop(5, {dropped})
    with pytest.raises(Dropped):
        dropped.result(0)
    assert line.codec.backlog == 3
    line.decoder.free = True
    line.decoder.may_go_on.release()
    assert begun.result(30) is not None
    assert before.result(30) is not None, "of who had the slot before"
    assert other.result(30) is not None


def test_a_slot_that_is_given_away_begins_anew_behind_what_was_dropped(line: Line) -> None:
    line.decoder.free = True
    line.put(0, fresh=True)
    line.codec.drop(0, set(line.put(0)))
    line.seed = 40
    (again,) = line.put(0, fresh=True)
    line.seed = 40
    (first,) = line.put(1, fresh=True)
    np.testing.assert_allclose(again.result(30), first.result(30), atol=1e-4)


def test_who_waits_for_the_codec_is_told_once_when_it_has_caught_up(line: Line) -> None:
    first = line.put(0)
    line.decoder.until_begun()
    line.put(0), line.put(0)
    assert line.codec.follows(3)
    assert not line.codec.follows(1)
    line.decoder.may_go_on.release()
    first[0].result(30)
    line.decoder.until_begun()
    assert not line.progress.is_set(), "two are left"
    line.decoder.may_go_on.release()
    assert line.progress.wait(30)
    line.progress.clear()
    line.close()
    assert not line.progress.is_set()
    assert line.codec.follows(0)


def test_who_waits_for_a_sound_cannot_cancel_it(line: Line) -> None:
    (sound,) = line.put(0)
    assert not sound.cancel()
    line.decoder.free = True
    line.decoder.may_go_on.release()
    assert sound.result(30).dtype == np.float32


def test_each_group_says_what_it_cost(line: Line) -> None:
    line.decoder.free = True
    for sound in line.put(0, 1, 2):
        sound.result(30)
    line.codec.close()
    ((rows, cost_ms),) = line.codec.costs()
    assert rows == 3
    assert cost_ms > 0
    assert line.codec.costs() == []


def test_closing_decodes_what_waits(line: Line) -> None:
    sounds = line.put(0, 1) + line.put(0, 1)
    line.decoder.free = True
    line.decoder.may_go_on.release()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(line.codec.close).result(30)
    assert all(sound.done() for sound in sounds)
