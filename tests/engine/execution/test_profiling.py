"""engine/execution/profiling.py: measured by real steps, kept on the disk, measured again where that is no use."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from sayline_tts.engine.engine import Engine
from sayline_tts.engine.execution import profiling
from sayline_tts.engine.execution.model_runner import Runner
from sayline_tts.engine.execution.profiling import _next_size, cache_folder, calibrated, measure
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.scheduling.cost_model import Costs, Curve

COSTS = Costs(Curve([(1, 1.0)]), Curve([(40, 2.0)]), Curve([(1, 3.0)]), Curve([(1, 4.0), (8, 9.0)]))


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts measurements, which cost nothing here."""
    times: list[int] = []

    def fake(model: Model, slots: int, runner: Runner) -> tuple[Costs, bool]:
        times.append(slots)
        return COSTS, True

    monkeypatch.setattr(profiling, "measure", fake)
    return times


@pytest.fixture
def runner(model: Model) -> Iterator[Runner]:
    runner = Runner(model, 8, Costs().group)
    yield runner
    runner.close()


def test_real_steps_say_what_steps_cost(model: Model, runner: Runner) -> None:
    costs, _ = measure(model, 8, runner, budget_s=0.3)
    assert costs.step is not None
    for curve in (costs.flow, costs.join, costs.group, costs.step):
        assert all(cost_ms > 0 for _, cost_ms in curve.points)
        assert curve.points == sorted(curve.points)
    assert costs.step.points[-1][0] <= 6, "with a gap in every four there is room for no more"
    assert 1 <= costs.capacity(model.frame_ms, 4) <= 4


def test_sizes_grow_towards_the_one_that_fills_the_time_and_no_further() -> None:
    steps = [(1, 10.0)]
    for _ in range(10):
        rows = _next_size(steps, 72.0, 256, 1e9)
        if rows is None:
            break
        steps.append((rows, 9.0 + rows))
    assert [rows for rows, _ in steps][:3] == [1, 4, 16]
    assert 58 <= steps[-1][0] <= 68


def test_a_slow_model_is_not_tried_for_longer_than_there_is_time() -> None:
    assert _next_size([(1, 60.0)], 72.0, 256, left_ms=50.0) is None
    assert _next_size([(1, 100.0)], 72.0, 256, left_ms=1e9) is None
    assert _next_size([(1, 1.0)], 72.0, 1, left_ms=1e9) is None


def test_what_was_measured_is_read_at_the_next_start(
    model: Model, runner: Runner, tmp_path: Path, measured: list[int]
) -> None:
    assert calibrated(model, 8, runner, tmp_path) == calibrated(model, 8, runner, tmp_path) == COSTS
    assert measured == [8]
    calibrated(model, 16, runner, tmp_path)
    assert measured == [8, 16], "other slots, another measurement"
    assert not list(tmp_path.glob("*.part"))


def test_another_number_of_threads_is_another_machine(
    model: Model, runner: Runner, tmp_path: Path, measured: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    calibrated(model, 8, runner, tmp_path)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    calibrated(model, 8, runner, tmp_path)
    assert len(measured) == 2


@pytest.mark.parametrize(
    "damage",
    ["", "{", "[]", "null", '{"key": 1}', "cut", "curve", "order", "negative", "not a number", "\x00"],
)
def test_a_damaged_file_is_measured_again_and_written_anew(
    model: Model, runner: Runner, tmp_path: Path, measured: list[int], damage: str
) -> None:
    calibrated(model, 8, runner, tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_text()
    data = json.loads(whole)
    spoilt = {"curve": [], "order": [[8, 1.0], [1, 1.0]], "negative": [[1, -1.0]], "not a number": [["a", "b"]]}
    if damage in spoilt:
        data["costs"]["step"] = spoilt[damage]
        damage = json.dumps(data)
    path.write_text(whole[:-20] if damage == "cut" else damage)
    assert calibrated(model, 8, runner, tmp_path) == COSTS
    assert len(measured) == 2
    assert path.read_text() == whole


def test_where_nothing_can_be_kept_it_is_measured_each_time(
    model: Model, runner: Runner, tmp_path: Path, measured: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    for _ in range(2):
        assert calibrated(model, 8, runner, tmp_path / "file") == COSTS
    assert len(measured) == 2
    assert "could not be kept" in caplog.text


def test_what_was_measured_on_a_busy_machine_is_not_kept(
    model: Model, runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiling, "measure", lambda *_: (COSTS, False))
    assert calibrated(model, 8, runner, tmp_path) == COSTS
    assert not list(tmp_path.iterdir())


def test_the_engine_takes_it(
    model: Model, tmp_path: Path, measured: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiling, "cache_folder", lambda: tmp_path)
    engine = Engine(model, 300)
    assert engine.capacity == 300
    engine.calibrate()
    assert engine.capacity < 300
    assert cache_folder().name
    engine.close()
