"""The checks for an accelerator: outcomes and table; and all of them on the CPU in static shapes, in small."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from sayline_tts.bench.accelerator import AcceleratorCheck, Outcome, Values, run, snr_db, table
from sayline_tts.engine.models.model import Model


class ScriptedCheck(AcceleratorCheck):
    def __init__(self) -> None:
        pass

    def checks(self) -> Iterator[tuple[str, Callable[[], Values]]]:
        yield "first", lambda: {"load_s": 1.23456, "slots": 4}
        yield "second", self._fail
        yield "third", lambda: {"steps": [{"rows": 2, "step_ms": 1.5, "flow_ms": 1.0, "codec_ms": 0.5}]}

    def _fail(self) -> Values:
        raise RuntimeError("out of memory")


def test_a_check_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    outcomes = run(ScriptedCheck(), tmp_path / "new", {"device": "a GPU"})
    assert [(each.name, each.error is None) for each in outcomes] == [
        ("first", True),
        ("second", False),
        ("third", True),
    ]
    written = json.loads((tmp_path / "new/accelerator.json").read_text())
    assert written["machine"] == {"device": "a GPU"}
    assert [each["name"] for each in written["checks"]] == ["first", "second", "third"]
    assert "in _fail" in written["checks"][1]["error"]


def test_table_has_a_row_for_each_check_and_for_each_step() -> None:
    outcomes = [
        Outcome("capture", 3.4, {"load_s": 1.23456, "slots": 4}),
        Outcome("parity", 1.0, error="Traceback\n  line\nAssertionError: float32 differs\n"),
        Outcome("steps", 2.0, {"steps": [{"rows": 2, "step_ms": 1.5, "flow_ms": 1.0, "codec_ms": 0.5}]}),
    ]
    lines = table(outcomes).splitlines()
    assert "| capture | passed | 3 s | load_s 1.235, slots 4 |" in lines
    assert "| parity | failed | 1 s | AssertionError: float32 differs |" in lines
    assert lines[-1] == "| 2 | 1.50 | 1.00 | 0.50 |"


def test_signal_to_noise_ratio() -> None:
    signal = np.ones(100, np.float32)
    assert snr_db(signal, signal) == float("inf")
    assert snr_db(signal, signal * np.float32(1.1)) == pytest.approx(20, abs=0.01)


@pytest.mark.slow
def test_all_checks_pass_in_static_shapes_on_the_cpu(
    model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for module in ("model_runner", "decode_queue", "decoder"):
        monkeypatch.setattr(f"sayline_tts.engine.execution.{module}.uses_static_shapes", lambda device: True)
    outcomes = run(AcceleratorCheck(model.checkpoint, "cpu", "float32", slots=2, step_count=1), tmp_path, {})
    assert [each.error for each in outcomes] == [None] * 4
    assert outcomes[-1].values["steps"][0]["rows"] == 1
