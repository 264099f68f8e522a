"""CUDA graphs of work in static shapes: batch buckets, staging buffers, capture and replay.

Work is a function without arguments that reads and writes tensors which never move. With CUDA it can be captured once
and replayed; on any other device, or if it was not captured, it runs directly: the results are the same.

The rules of capture (docs.pytorch.org, notes/cuda, "CUDA Graphs") and how they are kept: capture on a non-default
stream; the work has run on that stream before, so that libraries have their plans and workspaces; nothing in it waits
for the device or draws random numbers; there is no other CUDA work in the process meanwhile, so everything is captured
when an engine is created and nothing later. Graphs of one `Graphs` never run at once and share a memory pool; two
`Graphs` may, so they share neither pool nor stream (a stream has one workspace for matrix products).
"""

import threading
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

Work = Callable[[], None]

WARM_UPS = 2  # the first run selects kernels, the second runs like all later ones
_CAPTURING = threading.Lock()  # one capture at a time in a process


def bucket(size: int, most: int) -> int:
    """The next power of two; `most` is the last bucket."""
    return min(1 << (size - 1).bit_length(), most)


def buckets(most: int) -> list[int]:
    """All buckets, largest first: memory that the largest needs is enough for all."""
    return [most, *(1 << power for power in reversed(range((most - 1).bit_length())))]


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor of any size to the device, asynchronously."""
    return (values.pin_memory() if device.type == "cuda" else values).to(device, non_blocking=True)


class StagingBuffer:
    """Fixed rows on the device with pinned rows on the host, for copies in both directions."""

    def __init__(self, rows: int, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> None:
        self.device_rows = torch.zeros(rows, *shape, dtype=dtype, device=device)
        self._host_rows = torch.zeros(rows, *shape, dtype=dtype, pin_memory=device.type == "cuda")

    def upload(self, values: Tensor) -> None:
        """Copy values to the first rows on the device."""
        host = self._host_rows[: len(values)]
        host.copy_(values)
        self.device_rows[: len(values)].copy_(host, non_blocking=True)

    def download(self, rows: int) -> Tensor:
        """Copy the first rows to the host. They are valid after the step ends, until the next one."""
        host = self._host_rows[:rows]
        host.copy_(self.device_rows[:rows], non_blocking=True)
        return host


class Graphs:
    """Runs the steps of one thread on its own stream."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._graphs: dict[Hashable, torch.cuda.CUDAGraph] = {}
        if self._cuda:
            self._stream = torch.cuda.Stream(device)
            # A blocking wait: spinning would take a core away from other threads.
            self._done = torch.cuda.Event(blocking=True)

    @contextmanager
    def step(self) -> Iterator[None]:
        """Issue all work inside on the stream; wait for it once, at the end."""
        if not self._cuda:
            yield
            return
        with torch.cuda.stream(self._stream):
            try:
                yield
            finally:
                self._done.record()
                self._done.synchronize()

    def run(self, key: Hashable, work: Work) -> None:
        """Replay the graph captured as `key`, or run `work` directly."""
        graph = self._graphs.get(key)
        if graph is None:
            work()
        else:
            graph.replay()

    def capture(self, captures: Iterable[tuple[Hashable, Work]]) -> None:
        """Run and capture each work, larger ones first, before the first step. It runs on whatever its buffers hold."""
        if not self._cuda:
            return
        with _CAPTURING:
            torch.cuda.synchronize(self._stream.device)  # earlier work was issued on other streams
            pool = torch.cuda.graph_pool_handle()
            for key, work in captures:
                with self.step():
                    for _ in range(WARM_UPS):
                        work()
                graph = torch.cuda.CUDAGraph()
                with (
                    torch.cuda.device(self._stream.device),
                    torch.cuda.graph(graph, pool=pool, stream=self._stream, capture_error_mode="thread_local"),
                ):
                    work()
                self._graphs[key] = graph

    def clear(self) -> bool:
        """Drop all graphs, because tensors moved. Returns whether there were any."""
        captured = bool(self._graphs)
        self._graphs.clear()
        return captured
