"""engine/static_flow.py: what `state.FlowLMState` says, in static shapes, and without asking the host for anything."""

from collections.abc import Callable, Hashable, Iterable

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from engine.flow_lm import FlowLM
from engine.graphs import Work
from engine.layers import pack
from engine.model import Model
from engine.precision import Precision
from engine.state import Draws, FlowLMState, Opening, Spoken
from engine.static_flow import StaticFlow

SLOTS = 5
TEXT = (5, 9, 2, 7, 1, 3)


def draws(rows: int, seed: int, decode_steps: list[int] | None = None) -> Draws:
    noise = 0.5 * torch.randn(rows, 32, generator=torch.Generator().manual_seed(seed))
    return Draws(noise, [-1.0 * row for row in range(rows)], decode_steps or [1] * rows)


def assert_same(ours: Spoken, theirs: Spoken) -> None:
    torch.testing.assert_close(ours.latents, theirs.latents, atol=1e-4, rtol=0)
    torch.testing.assert_close(ours.cues, theirs.cues, atol=1e-4, rtol=0)
    assert ours.is_eos == theirs.is_eos


@torch.inference_mode()
def test_rows_speak_as_in_the_ordinary_state(model: Model) -> None:
    """They begin together and apart, with different voices and texts, and in any order of slots."""
    static, plain = StaticFlow(model.flow_lm, SLOTS), FlowLMState(model.flow_lm, SLOTS)
    voices = [model.load_voice(name) for name in model.checkpoint.voices()]
    steps: list[tuple[list[int], list[Opening]]] = [
        ([4, 0, 2], [Opening(voices[0], TEXT), Opening(voices[1], TEXT[:1]), Opening(voices[0], TEXT * 9)]),
        *[([0, 2, 4], [])] * 3,
        ([1], [Opening(voices[2], TEXT)]),
        *[([4, 1, 0], [])] * 2,
        ([4, 0], [Opening(voices[0], TEXT * 2), Opening(None, TEXT)]),
        *[([0, 1, 2, 4], [])] * 2,
    ]
    for number, (slots, openings) in enumerate(steps):
        given = draws(len(slots), number)
        assert_same(static.step(slots, openings, given), plain.step(slots, openings, given))
    for slot in (0, 4):
        ours, theirs = static.snapshot(slot), plain.snapshot(slot)
        torch.testing.assert_close(ours.keys, theirs.keys, atol=1e-4, rtol=0)
        torch.testing.assert_close(ours.values, theirs.values, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_rows_of_different_decode_steps_keep_their_own(model: Model) -> None:
    static, plain = StaticFlow(model.flow_lm, SLOTS), FlowLMState(model.flow_lm, SLOTS)
    openings = [Opening(model.load_voice("clara"), TEXT)] * 3
    for number in range(3):
        given = draws(3, number, [4, 1, 2])
        begins = openings if number == 0 else []
        assert_same(static.step([0, 1, 3], begins, given), plain.step([0, 1, 3], begins, given))


@torch.inference_mode()
def test_a_row_longer_than_its_memory_goes_on(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.static_pages.SLOT_POSITIONS", 64)
    static, plain = StaticFlow(model.flow_lm, 1), FlowLMState(model.flow_lm, 1)
    openings = [Opening(model.load_voice("clara"), TEXT * 20)]
    for number in range(3):
        begins = openings if number == 0 else []
        assert_same(static.step([0], begins, draws(1, number)), plain.step([0], begins, draws(1, number)))
    assert static.cache.moved


@torch.inference_mode()
def test_the_next_step_does_not_change_what_the_last_one_said(model: Model) -> None:
    static = StaticFlow(model.flow_lm, SLOTS)
    first = static.step([0], [Opening(model.load_voice("clara"), TEXT)], draws(1, 0))
    before = first.latents.clone()
    static.step([0], [], draws(1, 1))
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


def operations(works: Iterable[tuple[Hashable, Work]]) -> list[int]:
    """How many each work takes; the flow head keeps the times that it has embedded once."""
    counts = []
    for _, work in works:
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
    works = list(StaticFlow(flow_lm, 256)._usual_works())
    for kind in ("go on", "speak"):
        counts = operations((key, work) for key, work in works if kind in str(key))
        assert max(counts) < 1.05 * min(counts)


@torch.inference_mode()
def test_an_opening_asks_nothing_of_the_device(model: Model) -> None:
    with torch.device("meta"):
        flow_lm = FlowLM(model.config)
    pack(flow_lm.requires_grad_(False).to("meta"), Precision.BFLOAT16)
    voice = model.load_voice("clara")
    StaticFlow(flow_lm, SLOTS)._open([3, 1], [Opening(voice, TEXT), Opening(voice, TEXT[:2])])
