"""Checkpoints and loss reports of a training run."""

import xml.etree.ElementTree as Xml
from pathlib import Path

import pytest
from torch import nn

from training.trainer import training_run
from training.trainer.curves import draw, read_log
from training.trainer.training_run import TrainingRun


def test_losses_are_averaged_and_plotted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_run, "REPORT_STEPS", 2)
    training = TrainingRun(tmp_path / "run", {})
    for loss in (4.0, 2.0, 1.0, 1.0):
        training.log_step({"loss": loss})
    training.report("validation", {"loss": 1.5})
    panels = read_log(tmp_path / "run/log.jsonl")
    assert panels == {"loss": {"training": [(2, 3.0), (4, 1.0)], "validation": [(4, 1.5)]}}
    picture = draw(panels, "a <run>")
    assert len(Xml.fromstring(picture).findall(".//{*}polyline")) == 2


def test_run_resumes_from_its_checkpoint(tmp_path: Path) -> None:
    layer = nn.Linear(1, 1)
    first = TrainingRun(tmp_path, {"layer": layer})
    first.log_step({})
    first.save()
    other = nn.Linear(1, 1)
    assert TrainingRun(tmp_path, {"layer": other, "new": nn.Linear(1, 1)}).step == 1
    assert other.weight.item() == layer.weight.item()


def test_checkpoint_is_written_periodically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_run, "CHECKPOINT_S", 0.0)
    TrainingRun(tmp_path, {}).log_step({})
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
