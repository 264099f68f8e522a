"""The trained FlowLM network equals the engine's FlowLM."""

import pytest
import torch
from safetensors.torch import load_file

from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED
from sayline_tts.engine.checkpoint.config import load_config
from sayline_tts.engine.kernels.precision import Precision
from sayline_tts.engine.models.flow_lm import FlowLM
from sayline_tts.engine.models.flow_lm_state import FlowLMState, Prompt, SamplingInputs
from sayline_tts.engine.models.layers import pack
from training.flow_lm.network import FlowLMNetwork

TOKENS = (5, 17, 99, 3, 8)


@pytest.fixture(scope="module")
def trained() -> FlowLMNetwork:
    """The embedded weights."""
    config = load_config(EMBEDDED / "config.yaml")
    tensors = load_file(EMBEDDED / "model.safetensors")
    network = FlowLMNetwork(config.flow_lm, config.mimi.quantizer.dimension, config.mimi.voice_dim)
    network.load_state_dict({name.removeprefix("flow_lm."): t for name, t in tensors.items() if "flow_lm." in name})
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def engine() -> FlowLM:
    config = load_config(EMBEDDED / "config.yaml")
    flow_lm = FlowLM(config)
    tensors = load_file(EMBEDDED / "model.safetensors")
    flow_lm.load_state_dict(
        {name.removeprefix("flow_lm."): t.float() for name, t in tensors.items() if "flow_lm." in name}
    )
    flow_lm.requires_grad_(False).eval()
    pack(flow_lm, Precision.FLOAT32)
    return flow_lm


def generated_by(engine: FlowLM, prompt: torch.Tensor, noise: torch.Tensor, decode_steps: int) -> torch.Tensor:
    """Normalized latents `[frames, dim]` that the engine generates after a voice prompt `[frames, dim]`."""
    state = FlowLMState(engine, 1)
    vectors = engine.embed_voice(prompt)
    state.forward(torch.tensor([0]), vectors, torch.tensor([len(vectors)]))
    clip_starts: list[Prompt | None] = [Prompt(None, TOKENS)]
    generated = []
    for frame in noise:
        generated.append(
            state.step([0], clip_starts, SamplingInputs(frame[None], [1e9], [decode_steps])).latents[0].clone()
        )
        clip_starts = [None]
    return torch.stack(generated)


@torch.no_grad()
def test_network_equals_the_engine_frame_by_frame(trained: FlowLMNetwork, engine: FlowLM) -> None:
    torch.manual_seed(1)
    prompts, noise = torch.randn(2, 7, 32), torch.randn(6, 32)
    generated = [generated_by(engine, prompt, noise, 2) for prompt in prompts]
    texts = trained.conditioner.embed(torch.tensor(TOKENS)).expand(2, -1, -1)
    past = torch.stack([torch.cat([trained.bos_emb[None], each[:-1]]) for each in generated])
    rows = torch.cat([texts, trained.input_linear(past)], dim=1)
    output = trained(trained.embed_prompts(prompts), rows)
    z = trained.out_norm(output.x[:, len(TOKENS) :]).flatten(0, 1)
    x, condition = noise.repeat(2, 1), trained.flow_net.embed(z)
    for start in (0.0, 0.5):
        times = torch.tensor([start])
        x = x + trained.flow_net(condition + trained.flow_net.embed_times(times, times + 0.5), x) / 2
    torch.testing.assert_close(x, torch.cat(generated), atol=2e-4, rtol=1e-3)


def test_attention_is_causal_and_covers_the_prompt(trained: FlowLMNetwork) -> None:
    output = trained(trained.embed_prompts(torch.randn(2, 4, 32)), torch.randn(4, 6, 256))
    weights = output.weights[0]
    assert weights.shape == (4, 4, 6, 11)
    assert (weights[..., :5] > 0).all()
    assert weights[..., 5:].triu(1).eq(0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(4, 4, 6))


def test_tensor_names_equal_the_published_ones(trained: FlowLMNetwork) -> None:
    names = {name for name in load_file(EMBEDDED / "model.safetensors") if name.startswith("flow_lm.")}
    assert {f"flow_lm.{name}" for name in trained.state_dict()} == names
