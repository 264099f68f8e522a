"""Text attention of rows, requested in a batch or alone."""

import numpy as np
import pytest
import torch

from sayline_tts.engine.checkpoint.alignment_heads import AlignmentHeads
from sayline_tts.engine.models.flow_lm_state import FlowLMState, Prompt, SamplingInputs
from sayline_tts.engine.models.model import Model

HEADS = AlignmentHeads(((0, 1), (3, 2), (3, 0)))
TEXTS = ["Hello there.", "It is a fine day, is it not?", "Yes."]
STEPS = 4


def attention_by_frame(
    model: Model, texts: list[str], requested: list[bool], slots: list[int]
) -> list[list[np.ndarray | None]]:
    """Text attention of each row, frame by frame."""
    state, voice = FlowLMState(model.flow_lm, 4, HEADS), model.load_voice("clara")
    tokens = [model.segment(text).tokens for text in texts]
    lengths = [len(each) if is_requested else 0 for each, is_requested in zip(tokens, requested, strict=True)]
    sampling = SamplingInputs(torch.zeros(len(texts), len(model.flow_lm.bos_emb)), [9e9] * len(texts), [1] * len(texts))
    prompts: list[Prompt | None] = [Prompt(voice, each) for each in tokens]
    with torch.inference_mode():
        steps = [state.step(slots, prompts, sampling, lengths)]
        steps += [state.step(slots, [None] * len(texts), sampling, lengths) for _ in range(STEPS - 1)]
    return [[step.attention[row] for step in steps] for row in range(len(texts))]


def test_text_attention_in_a_batch_equals_that_of_the_row_alone(model: Model) -> None:
    together = attention_by_frame(model, TEXTS, [True] * 3, [0, 2, 3])
    for row, text in enumerate(TEXTS):
        for found, wanted in zip(together[row], attention_by_frame(model, [text], [True], [1])[0], strict=True):
            assert found is not None
            assert wanted is not None
            np.testing.assert_allclose(found, wanted, atol=1e-4)
            assert found.shape == (len(model.segment(text).tokens),)
            assert found.sum() == pytest.approx(1, abs=1e-5)


def test_text_attention_is_none_unless_requested(model: Model) -> None:
    requested = [False, True, False]
    assert [[each is not None for each in row] for row in attention_by_frame(model, TEXTS, requested, [0, 1, 2])] == [
        [each] * STEPS for each in requested
    ]
    assert attention_by_frame(model, TEXTS, [False] * 3, [0, 1, 2]) == [[None] * STEPS] * 3


def frames(state: FlowLMState, model: Model, noise: torch.Tensor) -> list[torch.Tensor]:
    """The latents of one step for each row of `noise`."""
    with torch.inference_mode():
        return [state.step([1], [None], SamplingInputs(row[None], [9e9], [1])).latents[0] for row in noise]


def begun(model: Model) -> FlowLMState:
    state, dim = FlowLMState(model.flow_lm, 2), len(model.flow_lm.bos_emb)
    with torch.inference_mode():
        prompt = Prompt(model.load_voice("clara"), model.segment(TEXTS[1]).tokens)
        state.step([1], [prompt], SamplingInputs(torch.zeros(1, dim), [9e9], [1]))
    return state


def test_frames_that_are_made_again_with_the_same_noise_are_the_same(model: Model) -> None:
    noise = torch.randn(6, len(model.flow_lm.bos_emb), generator=torch.Generator().manual_seed(1))
    state = begun(model)
    expected = frames(state, model, noise)
    state.rewind(1, 4, torch.stack([expected[1]]))
    again = frames(state, model, noise[2:])
    assert all(map(torch.equal, again, expected[2:]))


def test_other_frames_can_take_the_place_of_those_that_are_forgotten(model: Model) -> None:
    """As if they had been made at once: what is forgotten leaves no trace."""
    noise = torch.randn(6, len(model.flow_lm.bos_emb), generator=torch.Generator().manual_seed(2))
    expected = frames(begun(model), model, noise)
    state = begun(model)
    frames(state, model, torch.cat([noise[:2], -noise[2:5]]))
    state.rewind(1, 3, torch.stack(expected[1:5]))
    (latent,) = frames(state, model, noise[5:])
    torch.testing.assert_close(latent, expected[5], atol=1e-4, rtol=0)
