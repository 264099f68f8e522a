"""Measures what steps cost, by real ones, and keeps it on the disk for the next start on the same machine."""

import dataclasses
import hashlib
import json
import logging
import math
import os
import platform
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import accumulate, pairwise
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch

from sayline_tts.engine.execution.decode_queue import Cue
from sayline_tts.engine.execution.model_runner import Output, Runner, codec_threads, cores
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.cost_model import GROUP, SHARE, Costs, Curve
from sayline_tts.engine.scheduling.scheduler import Batch, Join, Row
from sayline_tts.engine.segment import Sampling

log = logging.getLogger(__name__)

BUDGET_S = 2.5
MOST_ROWS = 4096
GROWTH = 4  # times the size before, at most
NEAR = 0.1  # sizes that differ by less are the same
STEPS = 6  # measured of each size: every other one can be twice as long, as the groups of the codec fall
TEXT_TOKENS = 39
PAST_POSITIONS = 150  # what a row looks back on in the middle of a usual segment: voice, text, speech
NEIGHBOURS = 3  # rows whose slots lie side by side
QUIET = 0.7  # share of the cores that was ours; with less, something else was going on and nothing is kept
_SAMPLING = Sampling(0.5, None, float("inf"), 1, 0)


def calibrated(model: Model, slots: int, runner: Runner, folder: Path | None = None) -> Costs:
    """From the disk where this machine has been measured with this model, else measured now: at most some seconds.

    By the runner that shall speak, which must be idle until then.
    """
    key = _key(model, slots)
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = (folder or cache_folder()) / f"costs-{digest}.json"
    if (costs := _read(path, key)) is not None:
        return costs
    costs, quiet = measure(model, slots, runner)
    if quiet:
        _write(path, key, costs)
    return costs


def measure(model: Model, slots: int, runner: Runner, budget_s: float = BUDGET_S) -> tuple[Costs, bool]:
    """Steps of more and more rows, up to those that fill a frame's time. And whether the machine was ours alone."""
    most = min((slots - 1) * NEIGHBOURS // (NEIGHBOURS + 1) + 1, MOST_ROWS)
    trial, steps = _Trial(model, runner), list[tuple[int, float]]()
    trial.warm_up(most)
    start_s = time.perf_counter()
    trial.prefill(min(most, 3))
    rows: int | None = 1
    while rows is not None:
        steps.append((rows, trial.step(rows)))
        left_ms = 1000 * (budget_s - (time.perf_counter() - start_s))
        rows = _next_size(steps, SHARE * model.frame_ms, most, left_ms / (STEPS + 2))
    return trial.costs(steps), trial.quiet


def _next_size(steps: list[tuple[int, float]], goal_ms: float, most: int, left_ms: float) -> int | None:
    """Nearer to the size whose step takes `goal_ms`; None when that is found, or there is no time for it."""
    (rows, step_ms), (fewer, fewer_ms) = steps[-1], steps[-2] if len(steps) > 1 else (0, 0.0)
    mean_ms = (step_ms - steps[0][1]) / rows
    slope_ms = max((step_ms - fewer_ms) / (rows - fewer), mean_ms / 2, 1e-3)
    guess = min(rows + math.ceil((goal_ms - step_ms) / slope_ms), GROWTH * rows, most)
    enough = guess <= rows * (1 + NEAR) or step_ms + slope_ms * (guess - rows) > left_ms
    return None if enough else guess


class _Trial:
    """Rows that speak to nobody. Who gets their slots begins anew in them."""

    def __init__(self, model: Model, runner: Runner) -> None:
        self._runner, self._device, self._latent_dim = runner, model.device, len(model.flow_lm.bos_emb)
        self._alone = model.device.type == "cpu" and torch.get_num_threads() == 1
        shape = model.config.flow_lm.transformer
        each = shape.kv_heads, PAST_POSITIONS, shape.head_dim
        past = torch.randn(2, shape.num_layers, *each, generator=torch.Generator().manual_seed(0))
        self._voice = Voice(*past)
        self._joined = 0  # rows
        self._flow: list[tuple[int, float]] = []
        self._join: list[tuple[int, float]] = []
        self._groups: dict[int, list[float]] = defaultdict(list)
        self.quiet = True

    def warm_up(self, most: int) -> None:
        """Groups of each size: what is compiled when a size comes for the first time is not what it costs."""
        threads = codec_threads(self._device)
        for rows in range(threads, min(most, threads * GROUP) + 1, threads):
            cues = [Cue(_slot(row), fresh=True, due_s=0.0) for row in range(rows)]
            for sound in self._runner.codec.put(cues, torch.zeros(rows, self._latent_dim)):
                sound.result()
        self._runner.codec.costs()

    def prefill(self, most: int) -> None:
        """Of usual segments; the first time is dearer than all others and is not counted."""
        for count, rows in enumerate((1, 1, most)):
            batch = self._batch(range(rows), TEXT_TOKENS)
            output = self._run(batch)
            self._join += [(batch.positions, output.cost_ms)] if count else []
        self._joined = rows
        self._runner.codec.costs()

    def step(self, rows: int) -> float:
        """Milliseconds of a step while the codec decodes the one before, as when all are served without a pause."""
        if rows > self._joined:
            self._run(self._batch(range(self._joined, rows), 1))
            self._joined = rows
        batch = self._batch(range(rows))
        done_s, flow_ms = [], []
        before = self._runner.run(batch)
        for _ in range(STEPS + 1):
            output = self._runner.run(batch)
            _decoded(before)
            before = output
            done_s.append(time.perf_counter())
            flow_ms.append(output.cost_ms)
        _decoded(before)
        step_ms = [1000 * (after - earlier) for earlier, after in pairwise(done_s)]
        self._note(rows, fmean(flow_ms[1:]), median(step_ms))
        return median(step_ms)

    def costs(self, steps: list[tuple[int, float]]) -> Costs:
        groups = sorted((rows, fmean(costs_ms)) for rows, costs_ms in self._groups.items())
        return Costs(*(Curve(_rising(points)) for points in (self._flow, self._join, groups, steps)))

    def _note(self, rows: int, flow_ms: float, step_ms: float) -> None:
        self._flow.append((rows, flow_ms))
        groups = self._runner.codec.costs()
        for size, cost_ms in groups:
            self._groups[size].append(cost_ms)
        decoded = sum(size for size, _ in groups)
        busy_ms = flow_ms + rows * sum(cost_ms for _, cost_ms in groups) / decoded
        self.quiet = not self._alone or busy_ms >= QUIET * min(cores(), 1 + rows) * step_ms

    def _run(self, batch: Batch) -> Output:
        output = self._runner.run(batch)
        _decoded(output)
        return output

    def _batch(self, rows: range, tokens: int = 0) -> Batch:
        join = Join((0,) * tokens, self._voice, fresh=True) if tokens else None
        return Batch(tuple(Row(_slot(row), _SAMPLING, join) for row in rows))


def _rising(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """More never costs less: what says so is noise."""
    sizes, costs_ms = zip(*points, strict=True)
    return list(zip(sizes, accumulate(costs_ms, max), strict=True))


def _slot(row: int) -> int:
    """With gaps, as where some have come and gone and some are parked: neighbours can be cheaper than that."""
    return row + row // NEIGHBOURS


def _decoded(output: Output) -> None:
    """Wait for the codec; raises what it raised."""
    for sound in output.sounds:
        assert sound is not None, "nothing ends here"
        sound.result()


def cache_folder() -> Path:
    """Where programs of this user keep what they can make again."""
    match sys.platform:
        case "darwin":
            base = Path.home() / "Library" / "Caches"
        case "win32":
            base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        case _:
            base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "sayline"


def _key(model: Model, slots: int) -> dict[str, Any]:
    """All that decides what a step costs; our own code is a part of it."""
    parameters = list(model.flow_lm.parameters()) + list(model.mimi.parameters())
    return {
        "processor": _processor(model.device),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "model": model.checkpoint.name,
        "weights": sum(each.numel() for each in parameters),
        "precision": str(model.precision),
        "slots": slots,
        "code": hashlib.sha256(b"".join(path.read_bytes() for path in _code())).hexdigest(),
    }


def _code() -> list[Path]:
    return sorted(Path(__file__).parents[1].rglob("*.py"))


def _processor(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    known = Path("/proc/cpuinfo")
    if not known.exists():
        return platform.processor() or platform.machine()
    facts = ("vendor_id", "model", "model name", "cpu family", "stepping", "flags", "CPU part", "Features")
    first = known.read_text().split("\n\n")[0].splitlines()
    return "; ".join(line for line in first if line.split("\t")[0].split(":")[0].strip() in facts)


def _read(path: Path, key: dict[str, Any]) -> Costs | None:
    """None where there is nothing that can be used; then it is measured and written again."""
    try:
        found = json.loads(path.read_text())
        if found["key"] != key:
            return None
        return Costs(**{name: _curve(found["costs"][name]) for name in _curves()})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s cannot be used (%s); steps are measured again", path, error)
        return None


def _curve(points: Any) -> Curve:
    """Raises `ValueError` or `TypeError` for what is none."""
    read = [(int(size), float(cost_ms)) for size, cost_ms in points]
    sizes = [size for size, _ in read]
    if not read or sizes != sorted(set(sizes)) or not all(0 < cost_ms < float("inf") for _, cost_ms in read):
        raise ValueError("damaged")
    return Curve(read)


def _write(path: Path, key: dict[str, Any], costs: Costs) -> None:
    """Through a temporary file, so that nobody ever reads half of it. Where it cannot be written, nothing is lost."""
    data = {"key": key, "costs": {name: getattr(costs, name).points for name in _curves()}}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".part", delete=False) as part:
            json.dump(data, part)
        os.replace(part.name, path)
    except OSError as error:
        log.warning("what steps cost here could not be kept: %s", error)


def _curves() -> Iterator[str]:
    return (each.name for each in dataclasses.fields(Costs))
