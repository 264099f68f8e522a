"""The losses, on a small network."""

import numpy as np
import pytest
import torch

from sayline_tts.engine.checkpoint.config import FlowLMConfig
from tests.training.flow_lm.test_flow_batches import TEXTS, clip, letters
from training.flow_lm.auxiliary_heads import Helpers
from training.flow_lm.flow_batches import Batch, make_batch
from training.flow_lm.flow_network import FlowNetwork
from training.flow_lm.flow_objective import Plan, flow_loss, jump_loss, objective
from training.flow_lm.flow_optimizer import Optimizers

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
def network() -> FlowNetwork:
    torch.manual_seed(0)
    return FlowNetwork(SHAPE, 32, 32)


@pytest.fixture
def batch() -> Batch:
    prompt = np.random.default_rng(0).normal(size=(5, 32)).astype(np.float16)
    return make_batch([[clip(0, 5), clip(1, 7)]], [prompt], TEXTS, letters, False)


def test_all_losses_fall_on_one_batch(network: FlowNetwork, batch: Batch) -> None:
    helpers = Helpers(32, 32, 4)
    optimizers = Optimizers(network, helpers, 1e-2, muon=False)
    told = []
    for step in range(60):
        loss, parts = objective(network, helpers, batch, Plan(), torch.Generator().manual_seed(step))
        loss.backward()
        optimizers.step(step + 200, 1000)
        told.append(parts)
    for name in ("flow", "phones", "latents", "spelling", "looking", "end"):
        assert np.mean([parts[name] for parts in told[-5:]]) < 0.8 * told[0][name], name


def test_the_helpers_heads_need_not_the_future(network: FlowNetwork, batch: Batch) -> None:
    rows = torch.randn(2, 9, 32, requires_grad=True)
    heard = network(torch.randn(1, 4, 32), rows)
    heard.x[:, 4].sum().backward()
    assert rows.grad is not None
    assert rows.grad[:, 5:].eq(0).all()
    assert rows.grad[:, :5].ne(0).any()


def test_no_way_to_go_is_right_for_a_head_that_is_silent_at_first(network: FlowNetwork) -> None:
    z, latents = torch.randn(40, 32), torch.randn(40, 32)
    generator = torch.Generator().manual_seed(0)
    assert flow_loss(network.flow_net, z, latents, 2, generator).item() == pytest.approx(2.0, rel=0.2)
    assert jump_loss(network.flow_net, z, latents, 1.0, generator).item() == 0.0
