"""Frames in static shapes against `Mimi.decode`, and a whole engine on static shapes."""

import numpy as np
import pytest
import torch
from torch import Tensor

from sayline_tts.engine.cuda.static_mimi import StaticMimi
from sayline_tts.engine.engine import Engine
from sayline_tts.engine.kernels.precision import Precision
from sayline_tts.engine.models.layers import pack
from sayline_tts.engine.models.mimi import Mimi, MimiState
from sayline_tts.engine.models.model import Model
from tests.engine.cuda.test_static_flow import operations
from tests.engine.test_engine import TEXTS, alone, assert_same, speak, utterance

CPU = torch.device("cpu")
SLOTS = 5


def latents(rows: int, seed: int) -> Tensor:
    return torch.randn(rows, 32, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def test_frames_equal_those_of_the_cpu_codec(model: Model) -> None:
    """Longer than the codec's ring; now and then a slot is reset."""
    static, cpu_state = StaticMimi(model.mimi, CPU, SLOTS), MimiState(model.mimi, CPU, SLOTS)
    for number in range(12):
        slots = torch.tensor([[0], [3, 1, 4], [4, 0], [0, 1, 2, 3, 4]][number % 4])
        if number % 5 == 4:
            static.state.reset(int(slots[-1]))
            cpu_state.reset(int(slots[-1]))
        given = latents(len(slots), number)
        expected = model.mimi.decode(given, cpu_state, slots)
        torch.testing.assert_close(static.decode(given, static.state, slots), expected, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_next_frames_do_not_change_the_last_ones(model: Model) -> None:
    static = StaticMimi(model.mimi, CPU, SLOTS)
    first = static.decode(latents(1, 0), static.state, torch.tensor([2]))
    before = first.clone()
    static.decode(latents(1, 1), static.state, torch.tensor([2]))
    assert torch.equal(first, before)


@torch.inference_mode()
@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.BFLOAT16])
def test_captured_work_needs_no_host_and_does_not_grow_with_rows(model: Model, precision: Precision) -> None:
    with torch.device("meta"):
        mimi = Mimi(model.config.mimi)
    pack(mimi.requires_grad_(False), precision)
    counts = operations(StaticMimi(mimi, torch.device("meta"), 256)._graphs_to_capture())
    assert max(counts) < 1.05 * min(counts)


@pytest.fixture
def static_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("model_runner", "decode_queue", "decoder"):
        monkeypatch.setattr(f"sayline_tts.engine.execution.{module}.uses_static_shapes", lambda device: True)


@pytest.mark.slow
def test_engine_in_static_shapes_equals_the_cpu_engine(model: Model, request: pytest.FixtureRequest) -> None:
    """Batched equals alone and a reused slot a fresh one: the CPU engine runs each utterance alone."""
    voices = [model.load_voice(name) for name in model.checkpoint.voices()]
    cases = [(voices[i % len(voices)], text, i) for i, text in enumerate([*TEXTS, *TEXTS[:2]])]
    expected = [alone(model, *case) for case in cases]
    request.getfixturevalue("static_engine")
    together = [utterance(model, *case) for case in cases]
    heard = speak(Engine(model, 3, max_waiting=9), *together, steps_between=3)
    for each, sound in zip(together, expected, strict=True):
        assert_same(heard[each], sound)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here to speak on")
def test_engine_on_a_gpu_equals_the_cpu_engine(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """First frames only: trained weights amplify rounding. No step may wait for the device where it should not."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    device_rows = Model.load(model.checkpoint, "cuda", "float32")
    voice = model.load_voice("clara")
    engine = Engine(device_rows, 3)
    torch.cuda.set_sync_debug_mode("error")
    try:
        spoken = utterance(device_rows, voice, TEXTS[0])
        heard = speak(engine, spoken)[spoken]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    np.testing.assert_allclose(heard[:9600], alone(model, voice, TEXTS[0], 0)[:9600], atol=1e-3)
