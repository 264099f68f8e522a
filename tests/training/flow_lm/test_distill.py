"""Dropped conditions, guidance, and the student of a distillation."""

import pytest
import torch

from tests.training.flow_lm.test_objective import SHAPE, batch, network
from training.flow_lm.auxiliary_heads import AuxiliaryHeads
from training.flow_lm.batches import Batch
from training.flow_lm.distill import distillation_loss, guided_output, kept_layers, student_of
from training.flow_lm.network import FlowLMNetwork
from training.flow_lm.objective import (
    NOTHING_DROPPED,
    BackboneInput,
    Dropout,
    ObjectiveConfig,
    objective,
    run_backbone,
)
from training.flow_lm.optimizer import Optimizers
from training.flow_lm.train import draw_dropout

__all__ = ["batch", "network"]  # fixtures


def backbone_output(network: FlowLMNetwork, batch: Batch, dropout: Dropout) -> torch.Tensor:
    inputs = BackboneInput.draw(network, batch, torch.Generator().manual_seed(0))
    return run_backbone(network, batch, inputs, dropout)[1]


def changed(batch: Batch, tokens: int = 0, prompts: float = 0.0) -> Batch:
    return Batch(**{**vars(batch), "tokens": batch.tokens + tokens, "prompts": batch.prompts + prompts})


def test_output_does_not_depend_on_dropped_conditions(network: FlowLMNetwork, batch: Batch) -> None:
    text, voice = Dropout(text=True), Dropout(voice=True)
    for dropout, other in ((text, changed(batch, tokens=1)), (voice, changed(batch, prompts=1.0))):
        assert torch.equal(backbone_output(network, batch, dropout), backbone_output(network, other, dropout))
        assert not torch.equal(
            backbone_output(network, batch, NOTHING_DROPPED), backbone_output(network, other, NOTHING_DROPPED)
        )


def test_without_text_only_the_flow_is_reported(network: FlowLMNetwork, batch: Batch) -> None:
    auxiliary, generator = AuxiliaryHeads(32, 32, 4), torch.Generator().manual_seed(0)
    loss, parts = objective(network, auxiliary, batch, ObjectiveConfig(), generator, dropout=Dropout(text=True))
    assert parts.keys() == {"flow_without_text"}
    loss.backward()
    assert all(parameter.grad is None for parameter in auxiliary.parameters())


def test_dropout_is_drawn_for_each_condition() -> None:
    drawn = [draw_dropout(step, 0.2, 0.5) for step in range(1000)]
    assert sum(each.text for each in drawn) == pytest.approx(200, abs=50)
    assert sum(each.voice for each in drawn) == pytest.approx(500, abs=60)
    assert draw_dropout(3, 0.0, 0.0) == NOTHING_DROPPED


def test_guidance_extrapolates_from_the_unconditional_output(network: FlowLMNetwork, batch: Batch) -> None:
    inputs = BackboneInput.draw(network, batch, torch.Generator().manual_seed(0))
    without, with_conditions, guided = (guided_output(network, batch, inputs, factor) for factor in (0.0, 1.0, 1.5))
    assert torch.allclose(guided, without + 1.5 * (with_conditions - without), atol=1e-5)
    assert not torch.allclose(without, with_conditions)


def test_student_starts_from_the_first_layers_and_the_last() -> None:
    assert kept_layers(6, 4) == [0, 1, 2, 5]
    with pytest.raises(ValueError, match="7 layers cannot be made of 6"):
        kept_layers(6, 7)
    torch.manual_seed(0)
    teacher = FlowLMNetwork(SHAPE, 32, 32)
    student = student_of(teacher, 3)
    assert student.shape.transformer.num_layers == 3
    weights, known = student.state_dict(), teacher.state_dict()
    assert torch.equal(weights["transformer.layers.2.linear1.weight"], known["transformer.layers.3.linear1.weight"])
    assert torch.equal(student.input_linear.weight, teacher.input_linear.weight)


def test_student_comes_closer_and_keeps_the_head(network: FlowLMNetwork, batch: Batch) -> None:
    student, auxiliary = student_of(network, 4), AuxiliaryHeads(32, 32, 4)
    head = [parameter.clone() for parameter in student.flow_net.parameters()]
    with torch.no_grad():
        for parameter in student.transformer.parameters():
            parameter.normal_(std=0.3)
    optimizers = Optimizers(student, auxiliary, 1e-2, muon=False)
    distances = []
    for step in range(30):
        generator = torch.Generator().manual_seed(0)
        loss, losses = distillation_loss(student, network, auxiliary, batch, 1.5, generator)
        loss.backward()
        optimizers.step(step + 200, 1000)
        distances.append(losses["output"])
    assert distances[-1] < 0.7 * distances[0]
    assert all(torch.equal(before, after) for before, after in zip(head, student.flow_net.parameters(), strict=True))
