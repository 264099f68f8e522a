"""FlowLM in static shapes against the CPU state, without any request to the host."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from sayline_tts.engine.cache.static_pages import StaticPages
from sayline_tts.engine.checkpoint.alignment_heads import AlignmentHeads
from sayline_tts.engine.cuda.graphs import Work
from sayline_tts.engine.cuda.static_flow import StaticFlow
from sayline_tts.engine.kernels.precision import Precision
from sayline_tts.engine.models.flow_lm import FlowLM
from sayline_tts.engine.models.flow_lm_state import FlowLMState, Prompt, SamplingInputs, StepOutput
from sayline_tts.engine.models.layers import pack
from sayline_tts.engine.models.model import Model

SLOTS = 5
TEXT = (5, 9, 2, 7, 1, 3)
HEADS = AlignmentHeads(((3, 2), (0, 1), (3, 0)))


def sampling_inputs(rows: int, seed: int, decode_steps: list[int] | None = None) -> SamplingInputs:
    noise = 0.5 * torch.randn(rows, 32, generator=torch.Generator().manual_seed(seed))
    return SamplingInputs(noise, [-1.0 * row for row in range(rows)], decode_steps or [1] * rows)


def assert_same(ours: StepOutput, theirs: StepOutput) -> None:
    torch.testing.assert_close(ours.latents, theirs.latents, atol=1e-4, rtol=0)
    torch.testing.assert_close(ours.cues, theirs.cues, atol=1e-4, rtol=0)
    assert ours.is_eos == theirs.is_eos
    for found, expected in zip(ours.attention, theirs.attention, strict=True):
        assert (found is None) is (expected is None)
        if found is not None and expected is not None:
            np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_steps_equal_those_of_the_cpu_state(model: Model) -> None:
    """Prefill and decode rows together and apart, different voices and texts, any order of slots, some with text
    attention.
    """
    static, cpu_state = StaticFlow(model.flow_lm, SLOTS, HEADS), FlowLMState(model.flow_lm, SLOTS, HEADS)
    voices = [model.load_voice(name) for name in model.checkpoint.voices()]
    steps: list[tuple[list[int], Sequence[Prompt | None], list[int]]] = [
        (
            [4, 0, 2],
            [Prompt(voices[0], TEXT), Prompt(voices[1], TEXT[:1]), Prompt(voices[0], TEXT * 12)],
            [6, 1, 72],
        ),
        *[([0, 2, 4], [None] * 3, [1, 72, 6])] * 2,
        ([2, 0], [None] * 2, [0, 1]),
        ([4], [None], []),
        ([1], [Prompt(voices[2], TEXT)], [0]),
        *[([4, 1, 0], [None] * 3, [6, 0, 1])] * 2,
        ([1, 3, 4], [None, Prompt(voices[1], TEXT * 3), None], [6, 18, 0]),
        ([2, 1], [Prompt(voices[0], TEXT), None], []),
        ([4, 0], [Prompt(voices[1], TEXT * 2), Prompt(None, TEXT)], [12, 0]),
        *[([0, 1, 2, 4], [None] * 4, [0, 6, 0, 12])] * 2,
    ]
    for number, (slots, prompts, requested) in enumerate(steps):
        sampling = sampling_inputs(len(slots), number)
        assert_same(
            static.step(slots, prompts, sampling, requested), cpu_state.step(slots, prompts, sampling, requested)
        )
    for slot in (0, 4):
        ours, theirs = static.snapshot(slot), cpu_state.snapshot(slot)
        torch.testing.assert_close(ours.keys, theirs.keys, atol=2e-4, rtol=0)
        torch.testing.assert_close(ours.values, theirs.values, atol=2e-4, rtol=0)


@torch.inference_mode()
def test_rows_keep_their_own_decode_steps(model: Model) -> None:
    static, cpu_state = StaticFlow(model.flow_lm, SLOTS), FlowLMState(model.flow_lm, SLOTS)
    prompts: list[Prompt | None] = [Prompt(model.load_voice("clara"), TEXT)] * 3
    for number in range(3):
        sampling = sampling_inputs(3, number, [4, 1, 2])
        begins = prompts if number == 0 else [None] * 3
        assert_same(static.step([0, 1, 3], begins, sampling), cpu_state.step([0, 1, 3], begins, sampling))


@torch.inference_mode()
def test_row_longer_than_its_memory_continues(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sayline_tts.engine.cache.static_pages.SLOT_POSITIONS", 64)
    monkeypatch.setattr("sayline_tts.engine.cuda.static_flow.StaticPages", partial(StaticPages, columns=2))
    static, cpu_state = StaticFlow(model.flow_lm, 1, HEADS), FlowLMState(model.flow_lm, 1, HEADS)
    voice = model.load_voice("clara")
    for number, times in enumerate((1, 0, 20, 0, 0)):
        begins = [Prompt(voice, TEXT * times) if times else None]
        requested = [len(TEXT) * (1 if number < 2 else 20)]
        sampling = sampling_inputs(1, number)
        assert_same(static.step([0], begins, sampling, requested), cpu_state.step([0], begins, sampling, requested))
    assert static.cache.reallocations > 1
    assert static.cache.columns > 2


@torch.inference_mode()
def test_text_attention_of_a_text_behind_another(model: Model) -> None:
    """As in a CPU state whose voice is everything before it."""
    static, cpu_state = StaticFlow(model.flow_lm, SLOTS, HEADS), FlowLMState(model.flow_lm, 1, HEADS)
    static.step([3], [Prompt(model.load_voice("clara"), TEXT * 2)], sampling_inputs(1, 0), [12])
    static.step([3], [None], sampling_inputs(1, 1), [12])
    for number, voice in ((2, static.snapshot(3)), (3, None)):
        ours, theirs = ([Prompt(each, TEXT) if voice else None] for each in (None, voice))
        sampling = sampling_inputs(1, number)
        assert_same(static.step([3], ours, sampling, [6]), cpu_state.step([0], theirs, sampling, [6]))


@torch.inference_mode()
def test_next_step_does_not_change_the_last_output(model: Model) -> None:
    static = StaticFlow(model.flow_lm, SLOTS)
    first = static.step([0], [Prompt(model.load_voice("clara"), TEXT)], sampling_inputs(1, 0))
    before = first.latents.clone()
    static.step([0], [None], sampling_inputs(1, 1))
    assert torch.equal(first.latents, before)


class MetaDeviceOnly(TorchDispatchMode):
    """Count operations; all must be on the meta device, so none needs values or tensors of the host."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Callable[..., Tensor], types: object, args: tuple[object, ...] = (),
                           kwargs: dict[str, object] | None = None) -> Tensor:  # fmt: skip
        self.count += 1
        sampling = [arg for arg in (*args, *(kwargs or {}).values()) if isinstance(arg, Tensor)]
        sampling += [each for arg in args if isinstance(arg, list | tuple) for each in arg if isinstance(each, Tensor)]
        assert all(each.is_meta for each in sampling), f"{func} of the host's tensors"
        return func(*args, **(kwargs or {}))


def operations(captures: Iterable[tuple[Hashable, Work]]) -> list[int]:
    """Operations of each work; the flow head memoizes embedded times, so each work runs once before."""
    counts = []
    for _, work in captures:
        work()
        with MetaDeviceOnly() as mode:
            work()
        counts.append(mode.count)
    return counts


@pytest.mark.slow
@torch.inference_mode()
@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.BFLOAT16])
def test_captured_work_needs_no_host_and_does_not_grow_with_rows(model: Model, precision: Precision) -> None:
    with torch.device("meta"):
        flow_lm = FlowLM(model.config)
    pack(flow_lm.requires_grad_(False).to("meta"), precision)
    captures = list(StaticFlow(flow_lm, 256, HEADS)._graphs_to_capture())
    for kind in ("decode", "sample", "attention"):
        counts = operations((key, work) for key, work in captures if kind in str(key))
        assert max(counts) < 1.1 * min(counts)


@torch.inference_mode()
def test_prefill_does_not_wait_for_the_device(model: Model) -> None:
    with torch.device("meta"):
        flow_lm = FlowLM(model.config)
    pack(flow_lm.requires_grad_(False).to("meta"), Precision.BFLOAT16)
    voice = model.load_voice("clara")
    StaticFlow(flow_lm, SLOTS, HEADS)._prefill([3, 1], [Prompt(voice, TEXT), Prompt(voice, TEXT[:2])])


class CountedOperations(TorchDispatchMode):
    """Count operations other than views."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.of = Counter[str]()

    def __torch_dispatch__(self, func: OpOverload, types: object, args: tuple[object, ...] = (),
                           kwargs: dict[str, object] | None = None) -> object:  # fmt: skip
        self.of[str(func)] += not func.is_view
        return func(*args, **(kwargs or {}))


@torch.inference_mode()
@pytest.mark.parametrize("rows", [1, 4])
def test_unrequested_attention_costs_one_copy_per_head(model: Model, rows: int) -> None:
    voice, counts = model.load_voice("clara"), []
    for heads, length in ((None, 0), (None, 6), (HEADS, 0), (HEADS, 6)):
        static, slots = StaticFlow(model.flow_lm, SLOTS, heads), list(range(rows))
        static.step(slots, [Prompt(voice, TEXT)] * rows, sampling_inputs(rows, 0), [length] * rows)
        with CountedOperations() as counted:
            static.step(slots, [None] * rows, sampling_inputs(rows, 1), [length] * rows)
        counts.append(+counted.of)
    no_heads, no_heads_requested, unrequested, requested_counts = counts
    assert no_heads == no_heads_requested
    assert unrequested - no_heads == {"aten.copy_.default": len(HEADS.heads)}
    assert not no_heads - unrequested
    assert requested_counts > unrequested


@torch.inference_mode()
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here to look at texts on")
def test_text_attention_on_a_gpu_equals_that_on_the_cpu(model: Model) -> None:
    """Texts whose attention is captured, and longer ones; fewer rows than their bucket."""
    device_rows = Model.load(model.checkpoint, "cuda", "float32")
    static, cpu_state = StaticFlow(device_rows.flow_lm, SLOTS, HEADS), FlowLMState(model.flow_lm, SLOTS, HEADS)
    voice = model.load_voice("clara")
    for times in (2, 20):
        for number in range(3):
            begins = [None if number else Prompt(voice, TEXT * count) for count in (times, 1, 1)]
            sampling, requested = sampling_inputs(3, number), [6 * times, 0, 6]
            found, expected = (
                each.step([1, 4, 0], begins, sampling, requested).attention for each in (static, cpu_state)
            )
            for ours, theirs in zip(found, expected, strict=True):
                assert (ours is None) is (theirs is None)
                if ours is not None and theirs is not None:
                    np.testing.assert_allclose(ours, theirs, atol=1e-3, rtol=0)
