"""Differentiable FlowLM: processes whole sequences at once, for training.

Arithmetic and tensor names equal those of `sayline_tts.engine.models.flow_lm`; a test compares the two. Rows come in
groups that share a voice prompt, which is computed once per group. All linear layers process the positions of prompts
and rows in one flat list.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sayline_tts.engine.cache.rope import apply_rope, rope_factors, rope_frequencies
from sayline_tts.engine.checkpoint.config import FlowLMConfig, FlowLMTransformerConfig
from training.flow_lm.flow_head import FlowHead

INIT_DEVIATION = 0.02
MAX_POSITIONS = 2048  # of a prompt plus a row


@dataclass(frozen=True, eq=False)
class Layout:
    """Layout of the flat list of positions: `groups` prompts of `prompt` positions, then `rows` rows of `length`."""

    groups: int
    prompt: int
    rows: int
    length: int

    @property
    def prompt_positions(self) -> int:
        return self.groups * self.prompt


@dataclass(frozen=True, eq=False)
class AttentionContext:
    """Shared by all layers: rotary factors and attention masks."""

    layout: Layout
    rope_factors: Tensor  # [positions, head_dim / 2], complex, flat
    mask: Tensor  # [length, prompt + length], added to the scores
    prompt_mask: Tensor  # [prompt, prompt]

    @classmethod
    def of(cls, layout: Layout, factors: Tensor, dtype: torch.dtype) -> "AttentionContext":
        """`factors`: rotary factors of all positions."""
        prompt, length = layout.prompt, layout.length
        of_rows = factors[prompt : prompt + length].repeat(layout.rows, 1)
        mask = torch.full((length, prompt + length), -torch.inf, dtype=dtype).triu(prompt + 1)
        flat = torch.cat([factors[:prompt].repeat(layout.groups, 1), of_rows])
        return cls(layout, flat, mask, mask.new_full((prompt, prompt), -torch.inf).triu(1))


class Attention(nn.Module):
    def __init__(self, shape: FlowLMTransformerConfig) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = shape.num_heads, shape.kv_heads, shape.head_dim
        width = shape.attention_dim + 2 * shape.kv_heads * shape.head_dim
        self.in_proj = nn.Linear(shape.d_model, width, bias=False)
        self.out_proj = nn.Linear(shape.attention_dim, shape.d_model, bias=False)

    def forward(self, x: Tensor, context: AttentionContext) -> tuple[Tensor, Tensor]:
        """Flat `[positions, width]` in and out, and attention weights of the rows, `[rows, heads, length, keys]`."""
        rotated_heads = self.heads + self.kv_heads
        projected = self.in_proj(x).unflatten(-1, (-1, self.head_dim))  # [positions, heads + 2 * kv_heads, head_dim]
        rotated = apply_rope(projected[:, :rotated_heads], context.rope_factors).to(projected.dtype)
        queries, keys, values = rotated[:, : self.heads], rotated[:, self.heads :], projected[:, rotated_heads:]
        layout = context.layout
        (q_prompt, q), (k_prompt, k), (v_prompt, v) = (_split(part, layout) for part in (queries, keys, values))
        prompt_output, _ = _attention(q_prompt, k_prompt, v_prompt, context.prompt_mask)
        k = torch.cat([_repeat_for_rows(k_prompt, layout), k], dim=2)  # [rows, heads, prompt + length, head_dim]
        v = torch.cat([_repeat_for_rows(v_prompt, layout), v], dim=2)
        row_output, weights = _attention(q, k, v, context.mask)
        attended = torch.cat([part.transpose(1, 2).flatten(0, 1).flatten(1) for part in (prompt_output, row_output)])
        return self.out_proj(attended), weights


class Block(nn.Module):
    def __init__(self, shape: FlowLMTransformerConfig) -> None:
        super().__init__()
        self.self_attn = Attention(shape)
        self.norm1 = nn.LayerNorm(shape.d_model, eps=1e-5)
        self.norm2 = nn.LayerNorm(shape.d_model, eps=1e-5)
        self.linear1 = nn.Linear(shape.d_model, shape.feedforward_dim, bias=False)
        self.linear2 = nn.Linear(shape.feedforward_dim, shape.d_model, bias=False)
        # Residual branches start small, scaled by depth, so that the network starts close to the identity.
        for product in (self.self_attn.in_proj, self.linear1):
            nn.init.normal_(product.weight, std=shape.d_model**-0.5)
        for product in (self.self_attn.out_proj, self.linear2):
            nn.init.normal_(product.weight, std=INIT_DEVIATION / shape.num_layers**0.5)

    def forward(self, x: Tensor, context: AttentionContext) -> tuple[Tensor, Tensor]:
        attended, weights = self.self_attn(self.norm1(x), context)
        x = x + attended
        return x + self.linear2(F.gelu(self.linear1(self.norm2(x)), approximate="tanh")), weights


class Transformer(nn.Module):
    def __init__(self, shape: FlowLMTransformerConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Block(shape) for _ in range(shape.num_layers))


class TextTable(nn.Module):
    def __init__(self, tokens: int, dim: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(tokens + 1, dim)


@dataclass(frozen=True, eq=False)
class TransformerOutput:
    """Output of the transformer for a batch."""

    x: Tensor  # [rows, length, width], before the final norm
    layers: list[Tensor]  # the same after each layer
    weights: list[Tensor]  # of each layer's attention, [rows, heads, length, prompt + length]


class FlowLMNetwork(nn.Module):
    """The published part of FlowLM, with the published tensor names."""

    def __init__(self, shape: FlowLMConfig, latent_dim: int, voice_dim: int) -> None:
        super().__init__()
        width = shape.transformer.d_model
        self.shape = shape
        self.conditioner = TextTable(shape.lookup_table.n_bins, width)
        self.register_buffer("emb_mean", torch.zeros(latent_dim))
        self.register_buffer("emb_std", torch.ones(latent_dim))
        self.emb_mean: Tensor
        self.emb_std: Tensor
        self.bos_emb = nn.Parameter(torch.randn(latent_dim))
        self.bos_before_voice = nn.Parameter(torch.randn(1, 1, width))
        self.speaker_proj_weight = nn.Parameter(torch.randn(width, voice_dim) * voice_dim**-0.5)
        self.input_linear = nn.Linear(latent_dim, width, bias=False)
        self.transformer = Transformer(shape.transformer)
        self.out_norm = nn.LayerNorm(width, eps=1e-5)
        self.flow_net = FlowHead(shape.flow, latent_dim, width)
        self.out_eos = nn.Linear(width, 1)
        frequencies = rope_frequencies(shape.transformer.head_dim, shape.transformer.max_period)
        self._factors = rope_factors(torch.arange(MAX_POSITIONS), frequencies)  # [positions, head_dim / 2], complex

    def embed_prompts(self, voices: Tensor) -> Tensor:
        """Latents of voice prompts `[groups, frames, voice_dim]`, not normalized, to embeddings."""
        prompts = voices @ self.speaker_proj_weight.T
        return torch.cat([self.bos_before_voice.expand(len(voices), -1, -1), prompts], dim=1)

    def forward(self, prompts: Tensor, rows: Tensor) -> TransformerOutput:
        """Prompts `[groups, prompt, width]`, rows `[rows, length, width]`; the rows of a group are adjacent."""
        layout = Layout(*prompts.shape[:2], *rows.shape[:2])
        context = AttentionContext.of(layout, self._factors, rows.dtype)
        x = torch.cat([prompts.flatten(0, 1), rows.flatten(0, 1)])
        states, all_weights = [], []
        for layer in self.transformer.layers:
            x, weights = layer(x, context)
            states.append(x[layout.prompt_positions :].unflatten(0, (layout.rows, layout.length)))
            all_weights.append(weights)
        return TransformerOutput(states[-1], states, all_weights)


def _split(x: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """Flat `[positions, heads, dim]` to `[groups, heads, prompt, dim]` and `[rows, heads, length, dim]`."""
    prompts = x[: layout.prompt_positions].unflatten(0, (layout.groups, layout.prompt)).transpose(1, 2)
    rows = x[layout.prompt_positions :].unflatten(0, (layout.rows, layout.length)).transpose(1, 2)
    return prompts, rows


def _repeat_for_rows(x: Tensor, layout: Layout) -> Tensor:
    """Repeat `[groups, ...]` for each row of a group."""
    members = layout.rows // layout.groups
    return x[:, None].expand(-1, members, -1, -1, -1).flatten(0, 1)


def _attention(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Attention output and weights. Written out: the weights are needed, and on a CPU the backward pass of the fused
    kernel takes five times as long.
    """
    if keys.shape[1] != queries.shape[1]:
        keys, values = (part.repeat_interleave(queries.shape[1] // part.shape[1], dim=1) for part in (keys, values))
    scores = queries * queries.shape[-1] ** -0.5 @ keys.transpose(2, 3) + mask
    weights = scores.softmax(dim=-1)
    return weights @ values, weights
