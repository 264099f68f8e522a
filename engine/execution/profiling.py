"""Profile what steps cost, with real ones, and cache the result on disk for the next start on the same machine."""

import hashlib
import json
import logging
import math
import os
import platform
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from itertools import accumulate, pairwise
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch

from sayline_tts.engine.checkpoint.atomic_write import atomic_write
from sayline_tts.engine.device import allowed_cores, cpu_quota, usable_cores
from sayline_tts.engine.execution.frame_queues import FrameJob
from sayline_tts.engine.execution.model_runner import BatchOutput, ModelRunner, decode_threads
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.cost_model import CURVES, FRAME_TIME_SHARE, MAX_DECODE_GROUP, CostCurve, CostModel
from sayline_tts.engine.scheduling.scheduler import Batch, Prefill, Row
from sayline_tts.engine.segment import Sampling

log = logging.getLogger(__name__)

BUDGET_S = 2.5
MAX_ROWS = 4096
MAX_GROWTH = 4  # of a size over the one before
MIN_GROWTH = 1.1  # sizes nearer than this count as the same
STEPS = 6  # timed for each size: every other one can take twice as long, by how the codec's groups fall
TEXT_TOKENS = 39
CONTEXT_POSITIONS = 150  # attended to by a row in the middle of a typical segment: voice, text, speech
NEIGHBORS = 3  # rows in adjacent slots, before a gap
MIN_CPU_SHARE = 0.7  # of the cores, used by this process; with less, the machine was busy and nothing is cached
_SAMPLING = Sampling(0.5, None, float("inf"), 1, 0)


def load_or_profile(model: Model, slots: int, runner: ModelRunner, folder: Path | None = None) -> CostModel:
    """Return the costs of `model` on this machine, from the cache or profiled now, which takes some seconds.

    Profiling uses `runner`, which must be idle until it returns. `folder`: of the cache; None: the user's.
    """
    key = _key(model, slots)
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = (folder or cache_folder()) / f"costs-{digest}.json"
    if (costs := _read(path, key)) is not None:
        return costs
    costs, undisturbed = profile(model, slots, runner)
    if undisturbed:
        _write(path, key, costs)
    return costs


def profile(model: Model, slots: int, runner: ModelRunner, budget_s: float = BUDGET_S) -> tuple[CostModel, bool]:
    """Time steps of more and more rows, up to those that fill a frame's time.

    Returns the costs, and whether this process had the machine to itself.
    """
    most = min((slots - 1) * NEIGHBORS // (NEIGHBORS + 1) + 1, MAX_ROWS)
    profiler, steps = _Profiler(model, runner), list[tuple[int, float]]()
    profiler.warm_up(most)
    start_s = time.perf_counter()
    profiler.prefill(min(most, 3))
    rows: int | None = 1
    while rows is not None:
        steps.append((rows, profiler.step(rows)))
        left_ms = 1000 * (budget_s - (time.perf_counter() - start_s))
        rows = _next_size(steps, FRAME_TIME_SHARE * model.frame_ms, most, left_ms / (STEPS + 2))
    return profiler.costs(steps), profiler.undisturbed


def _next_size(steps: list[tuple[int, float]], goal_ms: float, most: int, left_ms: float) -> int | None:
    """Return a size nearer to the one whose step takes `goal_ms`; None if it is found or would take too long."""
    (rows, step_ms), (fewer, fewer_ms) = steps[-1], steps[-2] if len(steps) > 1 else (0, 0.0)
    mean_ms = (step_ms - steps[0][1]) / rows
    slope_ms = max((step_ms - fewer_ms) / (rows - fewer), mean_ms / 2, 1e-3)
    guess = min(rows + math.ceil((goal_ms - step_ms) / slope_ms), MAX_GROWTH * rows, most)
    done = guess <= rows * MIN_GROWTH or step_ms + slope_ms * (guess - rows) > left_ms
    return None if done else guess


class _Profiler:
    """Steps rows without listeners. The slots are reset when utterances get them."""

    def __init__(self, model: Model, runner: ModelRunner) -> None:
        self._runner, self._device, self._latent_dim = runner, model.device, len(model.flow_lm.bos_emb)
        self._checks_load = model.device.type == "cpu" and torch.get_num_threads() == 1
        shape = model.config.flow_lm.transformer
        each = shape.kv_heads, CONTEXT_POSITIONS, shape.head_dim
        context = torch.randn(2, shape.num_layers, *each, generator=torch.Generator().manual_seed(0))
        self._voice = Voice(*context)
        self._prefilled = 0  # rows
        self._flow_lm: list[tuple[int, float]] = []
        self._prefill: list[tuple[int, float]] = []
        self._groups: dict[int, list[float]] = defaultdict(list)
        self.undisturbed = True

    def warm_up(self, most: int) -> None:
        """Decode groups of each size once: the first of a size may compile code."""
        threads = decode_threads(self._device)
        for rows in range(threads, min(most, threads * MAX_DECODE_GROUP) + 1, threads):
            jobs = [FrameJob(_slot(row), fresh=True, due_s=0.0) for row in range(rows)]
            for audio in self._runner.decode_queue.put(jobs, torch.zeros(rows, self._latent_dim)):
                audio.result()
        self._runner.decode_queue.costs()

    def prefill(self, most: int) -> None:
        """Time prefill of 1 and of `most` typical segments, after one that does not count."""
        for count, rows in enumerate((1, 1, most)):
            batch = self._batch(range(rows), TEXT_TOKENS)
            output = self._run(batch)
            self._prefill += [(batch.positions, output.cost_ms)] if count else []
        self._prefilled = rows
        self._runner.decode_queue.costs()

    def step(self, rows: int) -> float:
        """Return the ms of a step while the codec decodes the last one, as under full load."""
        if rows > self._prefilled:
            self._run(self._batch(range(self._prefilled, rows), 1))
            self._prefilled = rows
        batch = self._batch(range(rows))
        done_s, flow_lm_ms = [], []
        before = self._runner.run(batch)
        for _ in range(STEPS + 1):
            output = self._runner.run(batch)
            _wait_for_audio(before)
            before = output
            done_s.append(time.perf_counter())
            flow_lm_ms.append(output.cost_ms)
        _wait_for_audio(before)
        step_ms = [1000 * (after - earlier) for earlier, after in pairwise(done_s)]
        self._record(rows, fmean(flow_lm_ms[1:]), median(step_ms))
        return median(step_ms)

    def costs(self, steps: list[tuple[int, float]]) -> CostModel:
        groups = sorted((rows, fmean(costs_ms)) for rows, costs_ms in self._groups.items())
        return _cost_model(
            CostCurve(_non_decreasing(points)) for points in (self._flow_lm, self._prefill, groups, steps)
        )

    def _record(self, rows: int, flow_lm_ms: float, step_ms: float) -> None:
        self._flow_lm.append((rows, flow_lm_ms))
        groups = self._runner.decode_queue.costs()
        for size, cost_ms in groups:
            self._groups[size].append(cost_ms)
        decoded = sum(size for size, _ in groups)
        busy_ms = flow_lm_ms + rows * sum(cost_ms for _, cost_ms in groups) / decoded
        expected_ms = MIN_CPU_SHARE * min(usable_cores(), 1 + rows) * step_ms
        self.undisturbed = not self._checks_load or busy_ms >= expected_ms

    def _run(self, batch: Batch) -> BatchOutput:
        output = self._runner.run(batch)
        _wait_for_audio(output)
        return output

    def _batch(self, rows: range, tokens: int = 0) -> Batch:
        prefill = Prefill((0,) * tokens, self._voice, fresh=True) if tokens else None
        return Batch(tuple(Row(_slot(row), _SAMPLING, prefill) for row in rows))


def _non_decreasing(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Raise each cost to those before it: where more rows seem to cost less, it is noise."""
    sizes, costs_ms = zip(*points, strict=True)
    return list(zip(sizes, accumulate(costs_ms, max), strict=True))


def _slot(row: int) -> int:
    """Return a slot for each row, with gaps as in use: adjacent slots can be cheaper than that."""
    return row + row // NEIGHBORS


def _wait_for_audio(output: BatchOutput) -> None:
    """Wait until all frames are decoded. Raises what decoding raised."""
    for audio in output.audio:
        assert audio is not None, "no frame is dropped while profiling"
        audio.result()


def cache_folder() -> Path:
    """Return the user's cache folder of this program."""
    match sys.platform:
        case "darwin":
            base = Path.home() / "Library" / "Caches"
        case "win32":
            base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        case _:
            base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "sayline"


def _key(model: Model, slots: int) -> dict[str, Any]:
    """Return everything that the cost of a step depends on, the engine's own code included."""
    parameters = list(model.flow_lm.parameters()) + list(model.mimi.parameters())
    return {
        "processor": _processor(model.device),
        "cores": allowed_cores(),
        "quota": cpu_quota(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "model": model.checkpoint.name,
        "weights": sum(each.numel() for each in parameters),
        "precision": str(model.precision),
        "isa": model.isa,
        "slots": slots,
        "code": hashlib.sha256(b"".join(path.read_bytes() for path in _source_files())).hexdigest(),
    }


def _source_files() -> list[Path]:
    return sorted(Path(__file__).parents[1].rglob("*.py"))


def _processor(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return platform.processor() or platform.machine()
    fields = ("vendor_id", "model", "model name", "cpu family", "stepping", "flags", "CPU part", "Features")
    first = cpuinfo.read_text().split("\n\n")[0].splitlines()
    return "; ".join(line for line in first if line.split("\t")[0].split(":")[0].strip() in fields)


def _read(path: Path, key: dict[str, Any]) -> CostModel | None:
    """Return the cached costs; None if there are none or they cannot be used, so that they are profiled again."""
    try:
        found = json.loads(path.read_text())
        if found["key"] != key:
            return None
        return _cost_model(_curve(found["costs"][name]) for name in CURVES)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("cannot use the cached step costs in %s (%s); profiling again", path, error)
        return None


def _cost_model(curves: Iterable[CostCurve]) -> CostModel:
    """Return a model with these curves, in the order of `CURVES`."""
    flow_lm, prefill, codec, step = curves
    return CostModel(flow_lm, prefill, codec, step)


def _curve(points: Any) -> CostCurve:
    """Return the curve of these points. Raises `ValueError` or `TypeError` if they are none."""
    read = [(int(size), float(cost_ms)) for size, cost_ms in points]
    sizes = [size for size, _ in read]
    if not read or sizes != sorted(set(sizes)) or not all(0 < cost_ms < float("inf") for _, cost_ms in read):
        raise ValueError("damaged")
    return CostCurve(read)


def _write(path: Path, key: dict[str, Any], costs: CostModel) -> None:
    """Write the costs atomically. A failure is only logged."""
    data = {"key": key, "costs": {name: getattr(costs, name).points for name in CURVES}}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, json.dumps(data).encode())
    except OSError as error:
        log.warning("could not cache the step costs, they will be profiled again at the next start: %s", error)
