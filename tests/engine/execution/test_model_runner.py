"""engine/execution/model_runner.py: threads, and what a step says of itself. What it computes: `test_engine.py`, `test_parity.py`."""

import pytest
import torch

from sayline_tts.engine.execution.model_runner import Runner, codec_threads, cores
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.scheduling.cost_model import Costs
from sayline_tts.engine.scheduling.scheduler import Batch, Join, Row
from sayline_tts.engine.segment import Sampling


def test_a_step_gives_the_sound_of_each_row_that_counts_and_its_cost(model: Model) -> None:
    runner = Runner(model, 2, Costs().group)
    voice = model.load_voice("clara")
    never = Sampling(0.3, None, float("inf"), 1, 0)
    rows = (Row(0, never, Join((1, 2), voice, fresh=True)), Row(1, never, Join((1,), voice, fresh=True), discard=True))
    output = runner.run(Batch(rows))
    assert output.kept == [0]
    assert output.sounds[0] is not None
    assert output.sounds[0].result(30).shape == (model.frame_samples,)
    assert output.cost_ms > 0
    runner.close()
    assert runner.codec.backlog == 0


def test_the_codec_has_the_cores_that_flow_lm_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr("sayline_tts.engine.execution.model_runner.cores", lambda: 8)
    for threads, expected in ((1, 8), (2, 4), (8, 1), (16, 1)):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert codec_threads(cpu) == expected
    assert codec_threads(torch.device("cuda")) == 1
    assert cores() >= 1
