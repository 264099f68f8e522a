"""The engine benchmark works with the engine's public API; times are not checked."""

import pytest

from sayline_tts.bench.engine_bench import EngineBench
from sayline_tts.engine.models.model import Model


@pytest.fixture
def bench(model: Model) -> EngineBench:
    return EngineBench(model, model.load_voice(model.checkpoint.default_voice), slots=4)


def test_steps_of_several_sizes_run_on_one_engine(bench: EngineBench) -> None:
    for rows in (1, 3, 2):
        times = bench.steps(rows, count=2)
        assert times.rows == rows
        assert min(times.step_ms, times.flow_ms, times.codec_ms) > 0
    bench.close()


@pytest.mark.slow
def test_prefill_and_single_stream_are_measured(bench: EngineBench) -> None:
    assert bench.prefill_ms(3, count=1) > 0
    assert bench.alone_x(count=3) > 0
    assert bench.words_x(2, count=1) > 0
    bench.close()
