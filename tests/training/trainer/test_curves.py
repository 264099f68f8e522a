"""training/trainer/trainer.py, curves.py: what a training tells is kept, and drawn."""

import xml.etree.ElementTree as Xml
from pathlib import Path

import pytest
from torch import nn

from training.trainer import trainer
from training.trainer.curves import draw, read_log
from training.trainer.trainer import Run


def test_losses_are_averaged_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "REPORT_STEPS", 2)
    training = Run(tmp_path / "run", {})
    for loss in (4.0, 2.0, 1.0, 1.0):
        training.advance({"loss": loss})
    training.report("validation", {"loss": 1.5})
    panels = read_log(tmp_path / "run/log.jsonl")
    assert panels == {"loss": {"training": [(2, 3.0), (4, 1.0)], "validation": [(4, 1.5)]}}
    picture = draw(panels, "a <run>")
    assert len(Xml.fromstring(picture).findall(".//{*}polyline")) == 2


def test_a_step_that_was_trained_twice_counts_once(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"step": 5, "kind": "a", "x": 1}\n{"step": 5, "kind": "a", "x": 2}\n')
    assert read_log(tmp_path / "log.jsonl") == {"x": {"a": [(5, 2)]}}


def test_a_run_goes_on_where_it_was_saved(tmp_path: Path) -> None:
    layer = nn.Linear(1, 1)
    first = Run(tmp_path, {"layer": layer})
    first.advance({})
    first.save()
    other = nn.Linear(1, 1)
    assert Run(tmp_path, {"layer": other, "new": nn.Linear(1, 1)}).step == 1
    assert other.weight.item() == layer.weight.item()


def test_a_checkpoint_is_written_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "CHECKPOINT_S", 0.0)
    Run(tmp_path, {}).advance({})
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
