"""engine/cuda/static_flow.py: what `state.FlowLMState` says, in static shapes, and without asking the host for anything."""

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


def draws(rows: int, seed: int, decode_steps: list[int] | None = None) -> SamplingInputs:
    noise = 0.5 * torch.randn(rows, 32, generator=torch.Generator().manual_seed(seed))
    return SamplingInputs(noise, [-1.0 * row for row in range(rows)], decode_steps or [1] * rows)


def assert_same(ours: StepOutput, theirs: StepOutput) -> None:
    torch.testing.assert_close(ours.latents, theirs.latents, atol=1e-4, rtol=0)
    torch.testing.assert_close(ours.cues, theirs.cues, atol=1e-4, rtol=0)
    assert ours.is_eos == theirs.is_eos
    for found, wanted in zip(ours.attention, theirs.attention, strict=True):
        assert (found is None) is (wanted is None)
        if found is not None and wanted is not None:
            np.testing.assert_allclose(found, wanted, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_rows_speak_as_in_the_ordinary_state(model: Model) -> None:
    """They begin together and apart, with different voices and texts, and in any order of slots; some are asked how
    they look at their texts."""
    static, plain = StaticFlow(model.flow_lm, SLOTS, HEADS), FlowLMState(model.flow_lm, SLOTS, HEADS)
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
    for number, (slots, prompts, asked) in enumerate(steps):
        given = draws(len(slots), number)
        assert_same(static.step(slots, prompts, given, asked), plain.step(slots, prompts, given, asked))
    for slot in (0, 4):
        ours, theirs = static.snapshot(slot), plain.snapshot(slot)
        torch.testing.assert_close(ours.keys, theirs.keys, atol=1e-4, rtol=0)
        torch.testing.assert_close(ours.values, theirs.values, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_rows_of_different_decode_steps_keep_their_own(model: Model) -> None:
    static, plain = StaticFlow(model.flow_lm, SLOTS), FlowLMState(model.flow_lm, SLOTS)
    prompts: list[Prompt | None] = [Prompt(model.load_voice("clara"), TEXT)] * 3
    for number in range(3):
        given = draws(3, number, [4, 1, 2])
        begins = prompts if number == 0 else [None] * 3
        assert_same(static.step([0, 1, 3], begins, given), plain.step([0, 1, 3], begins, given))


@torch.inference_mode()
def test_a_row_longer_than_its_memory_goes_on(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sayline_tts.engine.cache.static_pages.SLOT_POSITIONS", 64)
    monkeypatch.setattr("sayline_tts.engine.cuda.static_flow.StaticPages", partial(StaticPages, columns=2))
    static, plain = StaticFlow(model.flow_lm, 1, HEADS), FlowLMState(model.flow_lm, 1, HEADS)
    voice = model.load_voice("clara")
    for number, times in enumerate((1, 0, 20, 0, 0)):
        begins = [Prompt(voice, TEXT * times) if times else None]
        asked = [len(TEXT) * (1 if number < 2 else 20)]
        given = draws(1, number)
        assert_same(static.step([0], begins, given, asked), plain.step([0], begins, given, asked))
    assert static.cache.reallocations > 1
    assert static.cache.columns > 2


@torch.inference_mode()
def test_a_text_behind_another_is_looked_at_where_it_lies(model: Model) -> None:
    """As in an ordinary state to which all before it is the voice."""
    static, plain = StaticFlow(model.flow_lm, SLOTS, HEADS), FlowLMState(model.flow_lm, 1, HEADS)
    static.step([3], [Prompt(model.load_voice("clara"), TEXT * 2)], draws(1, 0), [12])
    static.step([3], [None], draws(1, 1), [12])
    for number, voice in ((2, static.snapshot(3)), (3, None)):
        ours, theirs = ([Prompt(each, TEXT) if voice else None] for each in (None, voice))
        given = draws(1, number)
        assert_same(static.step([3], ours, given, [6]), plain.step([0], theirs, given, [6]))


@torch.inference_mode()
def test_the_next_step_does_not_change_what_the_last_one_said(model: Model) -> None:
    static = StaticFlow(model.flow_lm, SLOTS)
    first = static.step([0], [Prompt(model.load_voice("clara"), TEXT)], draws(1, 0))
    before = first.latents.clone()
    static.step([0], [None], draws(1, 1))
    assert torch.equal(first.latents, before)


class Elsewhere(TorchDispatchMode):
    """Counts the operations, each of which must be for tensors on a device without memory: nothing can be asked of it,
    and nothing of the host's gets there."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Callable[..., Tensor], types: object, args: tuple[object, ...] = (),
                           kwargs: dict[str, object] | None = None) -> Tensor:  # fmt: skip
        self.count += 1
        given = [arg for arg in (*args, *(kwargs or {}).values()) if isinstance(arg, Tensor)]
        given += [each for arg in args if isinstance(arg, list | tuple) for each in arg if isinstance(each, Tensor)]
        assert all(each.is_meta for each in given), f"{func} of the host's tensors"
        return func(*args, **(kwargs or {}))


def operations(captures: Iterable[tuple[Hashable, Work]]) -> list[int]:
    """How many each work takes; the flow head keeps the times that it has embedded once."""
    counts = []
    for _, work in captures:
        work()
        with Elsewhere() as elsewhere:
            work()
        counts.append(elsewhere.count)
    return counts


@torch.inference_mode()
@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.BFLOAT16])
def test_what_is_captured_needs_nothing_of_the_host_and_is_no_longer_for_more_rows(
    model: Model, precision: Precision
) -> None:
    with torch.device("meta"):
        flow_lm = FlowLM(model.config)
    pack(flow_lm.requires_grad_(False).to("meta"), precision)
    captures = list(StaticFlow(flow_lm, 256, HEADS)._graphs_to_capture())
    for kind in ("decode", "sample", "attention"):
        counts = operations((key, work) for key, work in captures if kind in str(key))
        assert max(counts) < 1.1 * min(counts)


@torch.inference_mode()
def test_an_opening_asks_nothing_of_the_device(model: Model) -> None:
    with torch.device("meta"):
        flow_lm = FlowLM(model.config)
    pack(flow_lm.requires_grad_(False).to("meta"), Precision.BFLOAT16)
    voice = model.load_voice("clara")
    StaticFlow(flow_lm, SLOTS, HEADS)._prefill([3, 1], [Prompt(voice, TEXT), Prompt(voice, TEXT[:2])])


class Counted(TorchDispatchMode):
    """Counts operations that do something: not those that only look at a part of a tensor."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.of = Counter[str]()

    def __torch_dispatch__(self, func: OpOverload, types: object, args: tuple[object, ...] = (),
                           kwargs: dict[str, object] | None = None) -> object:  # fmt: skip
        self.of[str(func)] += not func.is_view
        return func(*args, **(kwargs or {}))


@torch.inference_mode()
@pytest.mark.parametrize("rows", [1, 4])
def test_who_does_not_ask_pays_for_a_copy_of_each_head_alone(model: Model, rows: int) -> None:
    voice, counts = model.load_voice("clara"), []
    for heads, length in ((None, 0), (None, 6), (HEADS, 0), (HEADS, 6)):
        static, slots = StaticFlow(model.flow_lm, SLOTS, heads), list(range(rows))
        static.step(slots, [Prompt(voice, TEXT)] * rows, draws(rows, 0), [length] * rows)
        with Counted() as counted:
            static.step(slots, [None] * rows, draws(rows, 1), [length] * rows)
        counts.append(+counted.of)
    nobody_can, nobody_is_told, nobody_asks, somebody_asks = counts
    assert nobody_can == nobody_is_told
    assert nobody_asks - nobody_can == {"aten.copy_.default": len(HEADS.heads)}
    assert not nobody_can - nobody_asks
    assert somebody_asks > nobody_asks


@torch.inference_mode()
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here to look at texts on")
def test_rows_look_at_their_texts_on_a_gpu_as_on_the_processor(model: Model) -> None:
    """Texts for which the look is captured, and longer ones; fewer rows than their bucket."""
    device_rows = Model.load(model.checkpoint, "cuda", "float32")
    static, plain = StaticFlow(device_rows.flow_lm, SLOTS, HEADS), FlowLMState(model.flow_lm, SLOTS, HEADS)
    voice = model.load_voice("clara")
    for times in (2, 20):
        for number in range(3):
            begins = [None if number else Prompt(voice, TEXT * count) for count in (times, 1, 1)]
            given, asked = draws(3, number), [6 * times, 0, 6]
            found, wanted = (each.step([1, 4, 0], begins, given, asked).attention for each in (static, plain))
            for ours, theirs in zip(found, wanted, strict=True):
                assert (ours is None) is (theirs is None)
                if ours is not None and theirs is not None:
                    np.testing.assert_allclose(ours, theirs, atol=1e-3, rtol=0)
