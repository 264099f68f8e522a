"""Reading the log for loss curves."""

from pathlib import Path

from training.trainer.curves import read_log


def test_repeated_step_counts_once(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"step": 5, "kind": "a", "x": 1}\n{"step": 5, "kind": "a", "x": 2}\n')
    assert read_log(tmp_path / "log.jsonl") == {"x": {"a": [(5, 2)]}}
