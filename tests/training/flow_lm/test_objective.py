"""The losses, on a small network."""

import numpy as np
import pytest
import torch

from sayline_tts.engine.checkpoint.config import FlowLMConfig
from tests.training.flow_lm.test_batches import TEXTS, example, tokenize_characters
from training.flow_lm.auxiliary_heads import AuxiliaryHeads
from training.flow_lm.batches import Batch, make_batch
from training.flow_lm.network import FlowLMNetwork
from training.flow_lm.objective import ObjectiveConfig, flow_loss, jump_loss, objective
from training.flow_lm.optimizer import Optimizers

SHAPE = FlowLMConfig.model_validate(
    {
        "dtype": "float32",
        "insert_bos_before_voice": True,
        "flow": {"type": "lsd", "dim": 32, "depth": 1},
        "transformer": {"d_model": 32, "num_heads": 2, "num_layers": 4, "hidden_scale": 2, "max_period": 10000},
        "lookup_table": {"dim": 32, "n_bins": 128, "tokenizer": "sentencepiece", "tokenizer_path": "none"},
    }
)


@pytest.fixture
def network() -> FlowLMNetwork:
    torch.manual_seed(0)
    return FlowLMNetwork(SHAPE, 32, 32)


@pytest.fixture
def batch() -> Batch:
    prompt = np.random.default_rng(0).normal(size=(5, 32)).astype(np.float16)
    return make_batch([[example(0, 5), example(1, 7)]], [prompt], TEXTS, tokenize_characters, False)


def test_all_losses_decrease_on_one_batch(network: FlowLMNetwork, batch: Batch) -> None:
    auxiliary = AuxiliaryHeads(32, 32, 4)
    optimizers = Optimizers(network, auxiliary, 1e-2, muon=False)
    history = []
    for step in range(60):
        loss, parts = objective(network, auxiliary, batch, ObjectiveConfig(), torch.Generator().manual_seed(step))
        loss.backward()
        optimizers.step(step + 200, 1000)
        history.append(parts)
    for name in ("flow", "phones", "latents", "pronunciation", "alignment", "end"):
        assert np.mean([parts[name] for parts in history[-5:]]) < 0.8 * history[0][name], name


def test_hidden_states_do_not_depend_on_later_positions(network: FlowLMNetwork, batch: Batch) -> None:
    rows = torch.randn(2, 9, 32, requires_grad=True)
    output = network(torch.randn(1, 4, 32), rows)
    output.x[:, 4].sum().backward()
    assert rows.grad is not None
    assert rows.grad[:, 5:].eq(0).all()
    assert rows.grad[:, :5].ne(0).any()


def test_initial_losses_of_the_zero_initialized_head(network: FlowLMNetwork) -> None:
    z, latents = torch.randn(40, 32), torch.randn(40, 32)
    generator = torch.Generator().manual_seed(0)
    assert flow_loss(network.flow_net, z, latents, 2, generator).item() == pytest.approx(2.0, rel=0.2)
    assert jump_loss(network.flow_net, z, latents, 1.0, generator).item() == 0.0
