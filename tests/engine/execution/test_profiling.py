"""Costs are profiled with real steps, cached on disk, and profiled again if the cache cannot be used."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from sayline_tts.engine.engine import Engine
from sayline_tts.engine.execution import profiling
from sayline_tts.engine.execution.model_runner import ModelRunner
from sayline_tts.engine.execution.profiling import _next_size, cache_folder, load_or_profile, profile
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.scheduling.cost_model import CostCurve, CostModel

COSTS = CostModel(CostCurve([(1, 1.0)]), CostCurve([(40, 2.0)]), CostCurve([(1, 3.0)]), CostCurve([(1, 4.0), (8, 9.0)]))


@pytest.fixture
def profiled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Replace profiling by constants and record the slots of each call."""
    calls: list[int] = []

    def fake(model: Model, slots: int, runner: ModelRunner) -> tuple[CostModel, bool]:
        calls.append(slots)
        return COSTS, True

    monkeypatch.setattr(profiling, "profile", fake)
    return calls


@pytest.fixture
def runner(model: Model) -> Iterator[ModelRunner]:
    runner = ModelRunner(model, 8, CostModel().codec)
    yield runner
    runner.close()


def test_real_steps_are_profiled(model: Model, runner: ModelRunner) -> None:
    costs, _ = profile(model, 8, runner, budget_s=0.3)
    assert costs.step is not None
    for curve in (costs.flow_lm, costs.prefill, costs.codec, costs.step):
        assert all(cost_ms > 0 for _, cost_ms in curve.points)
        assert curve.points == sorted(curve.points)
    assert costs.step.points[-1][0] <= 6, "with a gap in every four there is room for no more"
    assert 1 <= costs.capacity(model.frame_ms, 4) <= 4


def test_sizes_grow_towards_the_one_that_fills_a_frame() -> None:
    steps = [(1, 10.0)]
    for _ in range(10):
        rows = _next_size(steps, 72.0, 256, 1e9)
        if rows is None:
            break
        steps.append((rows, 9.0 + rows))
    assert [rows for rows, _ in steps][:3] == [1, 4, 16]
    assert 58 <= steps[-1][0] <= 68


def test_profiling_of_a_slow_model_stops_in_time() -> None:
    assert _next_size([(1, 60.0)], 72.0, 256, left_ms=50.0) is None
    assert _next_size([(1, 100.0)], 72.0, 256, left_ms=1e9) is None
    assert _next_size([(1, 1.0)], 72.0, 1, left_ms=1e9) is None


def test_cached_costs_are_read_at_the_next_start(
    model: Model, runner: ModelRunner, tmp_path: Path, profiled: list[int]
) -> None:
    assert load_or_profile(model, 8, runner, tmp_path) == load_or_profile(model, 8, runner, tmp_path) == COSTS
    assert profiled == [8]
    load_or_profile(model, 16, runner, tmp_path)
    assert profiled == [8, 16], "the number of slots is part of the key"
    assert not list(tmp_path.glob("*.part"))


def test_number_of_threads_is_part_of_the_key(
    model: Model, runner: ModelRunner, tmp_path: Path, profiled: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    load_or_profile(model, 8, runner, tmp_path)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    load_or_profile(model, 8, runner, tmp_path)
    assert len(profiled) == 2


@pytest.mark.parametrize(
    "damage",
    ["", "{", "[]", "null", '{"key": 1}', "cut", "curve", "order", "negative", "not a number", "\x00"],
)
def test_damaged_cache_is_profiled_again_and_replaced(
    model: Model, runner: ModelRunner, tmp_path: Path, profiled: list[int], damage: str
) -> None:
    load_or_profile(model, 8, runner, tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_text()
    data = json.loads(whole)
    spoilt = {"curve": [], "order": [[8, 1.0], [1, 1.0]], "negative": [[1, -1.0]], "not a number": [["a", "b"]]}
    if damage in spoilt:
        data["costs"]["step"] = spoilt[damage]
        damage = json.dumps(data)
    path.write_text(whole[:-20] if damage == "cut" else damage)
    assert load_or_profile(model, 8, runner, tmp_path) == COSTS
    assert len(profiled) == 2
    assert path.read_text() == whole


def test_costs_are_profiled_each_time_if_the_cache_cannot_be_written(
    model: Model, runner: ModelRunner, tmp_path: Path, profiled: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    for _ in range(2):
        assert load_or_profile(model, 8, runner, tmp_path / "file") == COSTS
    assert len(profiled) == 2
    assert "could not cache" in caplog.text


def test_costs_from_a_busy_machine_are_not_cached(
    model: Model, runner: ModelRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiling, "profile", lambda *_: (COSTS, False))
    assert load_or_profile(model, 8, runner, tmp_path) == COSTS
    assert not list(tmp_path.iterdir())


def test_engine_takes_the_profiled_costs(
    model: Model, tmp_path: Path, profiled: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiling, "cache_folder", lambda: tmp_path)
    engine = Engine(model, 300)
    assert engine.capacity == 300
    engine.profile()
    assert engine.capacity < 300
    assert cache_folder().name
    engine.close()


def test_quota_and_affinity_are_in_the_key_of_the_kept_costs(
    model: Model, profiled: list[int], runner: ModelRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Costs measured with all cores would promise too much where a control group allows half a processor."""
    for quota, cores in ((None, [0, 1]), (0.5, [0, 1]), (None, [1])):
        monkeypatch.setattr(profiling, "cpu_quota", lambda quota=quota: quota)
        monkeypatch.setattr(profiling, "allowed_cores", lambda cores=cores: cores)
        for _ in range(2):
            load_or_profile(model, 8, runner, tmp_path)
    assert len(profiled) == 3
