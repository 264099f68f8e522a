"""Work in static shapes, for accelerators: rows by bucket, buffers that stay where they are, CUDA graphs.

Work is a function without arguments that reads and writes tensors which never move. Where there is CUDA it can be
captured once and replayed; anywhere else, and where it was not captured, it just runs: the results are the same.

The rules of capture (docs.pytorch.org, notes/cuda, "CUDA Graphs") and how they are kept: a stream that is not the
default one; the work ran before on that stream, so that libraries have their plans and workspaces; nothing in it waits
for the device or asks for random numbers; no other CUDA work in the process meanwhile, so all is captured when an
engine is made and nothing later. Graphs of one `Graphs` never run at once, so they share a pool of memory; two `Graphs`
may, so they share neither pool nor stream (a stream has one workspace for products).
"""

import threading
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

Work = Callable[[], None]

WARM_UPS = 2  # the first finds the kernels, the second runs as all others will
_CAPTURING = threading.Lock()  # one capture at a time in a process


def bucket(size: int, most: int) -> int:
    """The next power of two; `most` is the last bucket."""
    return min(1 << (size - 1).bit_length(), most)


def buckets(most: int) -> list[int]:
    """Largest first: what the largest needs is enough for all."""
    return [most, *(1 << power for power in reversed(range((most - 1).bit_length())))]


def sent(values: Tensor, device: torch.device) -> Tensor:
    """What has no place of its own there: it may be of any size."""
    return (values.pin_memory() if device.type == "cuda" else values).to(device, non_blocking=True)


class Buffer:
    """Rows that go to the device or come from it, always by the same places on both sides."""

    def __init__(self, rows: int, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> None:
        self.there = torch.zeros(rows, *shape, dtype=dtype, device=device)
        self._here = torch.zeros(rows, *shape, dtype=dtype, pin_memory=device.type == "cuda")

    def send(self, values: Tensor) -> None:
        """To the first rows."""
        here = self._here[: len(values)]
        here.copy_(values)
        self.there[: len(values)].copy_(here, non_blocking=True)

    def fetch(self, rows: int) -> Tensor:
        """The first rows. They have come when the step is over, and stay until the next one."""
        here = self._here[:rows]
        here.copy_(self.there[:rows], non_blocking=True)
        return here


class Graphs:
    """Runs the steps of one thread, in a stream of its own."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._graphs: dict[Hashable, torch.cuda.CUDAGraph] = {}
        if self._cuda:
            self._stream = torch.cuda.Stream(device)
            # Who waits sleeps: a core that spins is one less for all others.
            self._done = torch.cuda.Event(blocking=True)

    @contextmanager
    def step(self) -> Iterator[None]:
        """All that is done in it goes to the stream; the end waits for it, once."""
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
        """Replay what was captured as `key`, which is this work; else do it."""
        graph = self._graphs.get(key)
        if graph is None:
            work()
        else:
            graph.replay()

    def capture(self, works: Iterable[tuple[Hashable, Work]]) -> None:
        """Before anybody steps, and large before small. They run, on what lies in their buffers now."""
        if not self._cuda:
            return
        with _CAPTURING:
            torch.cuda.synchronize(self._stream.device)  # what was made so far was made on other streams
            pool = torch.cuda.graph_pool_handle()
            for key, work in works:
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

    def forget(self) -> bool:
        """Tensors moved: from now on all work just runs. Was there anything to forget?"""
        captured = bool(self._graphs)
        self._graphs.clear()
        return captured
