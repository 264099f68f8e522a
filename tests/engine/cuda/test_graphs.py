"""Buckets, staging buffers, and the order of calls in a capture; a real capture where there is CUDA."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import pytest
import torch

from sayline_tts.engine.cuda.graphs import WARM_UPS, Graphs, StagingBuffer, bucket, buckets, to_device
from sayline_tts.engine.device import step_clock_ns, uses_static_shapes

CPU = torch.device("cpu")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here to capture graphs on")


@pytest.mark.parametrize(("most", "expected"), [(1, [1]), (6, [6, 4, 2, 1]), (8, [8, 4, 2, 1]), (9, [9, 8, 4, 2, 1])])
def test_bucket_is_less_than_twice_the_row_count(most: int, expected: list[int]) -> None:
    assert buckets(most) == expected
    for rows in range(1, most + 1):
        assert bucket(rows, most) in expected
        assert rows <= bucket(rows, most) < 2 * rows or rows == 1


def test_accelerators_use_static_shapes_and_cpus_do_not() -> None:
    assert not uses_static_shapes(CPU)
    assert uses_static_shapes(torch.device("cuda:1"))
    assert uses_static_shapes(torch.device("mps"))
    assert step_clock_ns(CPU) is not step_clock_ns(torch.device("cuda"))


def test_staging_buffer_uploads_and_downloads_in_place() -> None:
    buffer = StagingBuffer(4, (2,), torch.float32, CPU)
    device_rows = buffer.device_rows.data_ptr()
    buffer.upload(torch.ones(3, 2))
    buffer.upload(torch.full((1, 2), 5.0))
    assert buffer.download(4).tolist() == [[5, 5], [1, 1], [1, 1], [0, 0]]
    assert buffer.device_rows.data_ptr() == device_rows
    assert to_device(torch.ones(2), CPU).tolist() == [1, 1]


def test_work_runs_directly_without_cuda() -> None:
    done: list[int] = []
    graphs = Graphs(CPU)
    graphs.capture([("one", partial(done.append, 1))])
    assert done == []
    with graphs.step():
        graphs.run("one", partial(done.append, 1))
    assert done == [1]
    assert not graphs.clear()


class FakeCuda:
    """Records the order of calls; accepts only arguments that the real functions accept."""

    device = torch.device("cuda:0")  # the fake is its own stream

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self._capturing, self._signature = False, inspect.signature(torch.cuda.graph)
        for name in ("Stream", "Event", "CUDAGraph"):
            monkeypatch.setattr(torch.cuda, name, lambda *args, **more: self)
        monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: "pool")
        monkeypatch.setattr(torch.cuda, "synchronize", self.synchronize)
        monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
        monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
        monkeypatch.setattr(torch.cuda, "graph", self.capture)

    def record(self) -> None:
        self.calls.append("record")

    def synchronize(self, device: torch.device | None = None) -> None:
        self.calls.append("wait" if device is None else "wait for all")

    def replay(self) -> None:
        self.calls.append("replay")

    def work(self) -> None:
        self.calls.append("captured" if self._capturing else "work")

    @contextmanager
    def capture(self, *args: Any, **more: Any) -> Iterator[None]:
        bound = self._signature.bind(*args, **more).arguments
        assert (bound["pool"], bound["stream"], bound["capture_error_mode"]) == ("pool", self, "thread_local")
        self._capturing = True
        yield
        self._capturing = False


def test_work_is_captured_after_warm_up_and_replayed_until_cleared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cuda = FakeCuda(monkeypatch)
    graphs = Graphs(cuda.device)
    graphs.capture([("one", cuda.work)])
    assert cuda.calls == ["wait for all", *["work"] * WARM_UPS, "record", "wait", "captured"]
    cuda.calls.clear()
    with graphs.step():
        graphs.run("one", cuda.work)
        graphs.run("other", cuda.work)
    assert cuda.calls == ["replay", "work", "record", "wait"]
    cuda.calls.clear()
    assert graphs.clear()
    graphs.run("one", cuda.work)
    assert cuda.calls == ["work"]


def test_failing_step_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = FakeCuda(monkeypatch)
    with pytest.raises(KeyError), Graphs(cuda.device).step():
        raise KeyError
    assert cuda.calls == ["record", "wait"]


@needs_gpu
def test_replay_uses_the_current_buffers_and_may_alternate_with_others() -> None:
    device = torch.device("cuda")
    graphs, inputs, result = (
        Graphs(device),
        StagingBuffer(8, (), torch.float32, device),
        StagingBuffer(8, (), torch.float32, device),
    )

    def double(rows: int) -> None:
        result.device_rows[:rows].copy_(inputs.device_rows[:rows] * 2)

    graphs.capture((rows, partial(double, rows)) for rows in buckets(8))
    for value, rows in enumerate([1, 8, 3, 2]):
        with graphs.step():
            inputs.upload(torch.full((rows,), float(value)))
            graphs.run(bucket(rows, 8), partial(pytest.fail, "was not captured"))
            downloaded = result.download(rows)
        assert downloaded.tolist() == [2.0 * value] * rows
