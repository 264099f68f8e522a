"""Output and threads of the model runner. `test_engine.py` and `test_parity.py` cover what it computes."""

import pytest
import torch

from sayline_tts.engine.device import usable_cores
from sayline_tts.engine.execution.model_runner import ModelRunner, decode_threads
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.scheduling.cost_model import CostModel
from sayline_tts.engine.scheduling.scheduler import Batch, Prefill, Row
from sayline_tts.engine.segment import Sampling


def test_step_returns_the_audio_of_each_kept_row_and_its_cost(model: Model) -> None:
    runner = ModelRunner(model, 2, CostModel().codec)
    voice = model.load_voice("clara")
    never = Sampling(0.3, None, float("inf"), 1, 0)
    rows = (
        Row(0, never, Prefill((1, 2), voice, fresh=True)),
        Row(1, never, Prefill((1,), voice, fresh=True), discard=True),
    )
    output = runner.run(Batch(rows))
    assert output.kept == [0]
    assert output.audio[0] is not None
    assert output.audio[0].result(30).shape == (model.frame_samples,)
    assert output.cost_ms > 0
    runner.close()
    assert runner.decode_queue.backlog == 0


def test_codec_gets_the_cores_that_flow_lm_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr("sayline_tts.engine.execution.model_runner.usable_cores", lambda: 8)
    for threads, expected in ((1, 8), (2, 4), (8, 1), (16, 1)):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert decode_threads(cpu) == expected
    assert decode_threads(torch.device("cuda")) == 1
    assert usable_cores() >= 1


def test_heads_of_captured_graphs_cannot_change(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = ModelRunner(model, 1, CostModel().codec)
    assert runner.set_heads(None)
    monkeypatch.setattr(runner, "_flow", object())
    assert not runner.set_heads(model.heads)
    runner.close()
