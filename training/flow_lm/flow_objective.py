"""What FlowLM is trained for: the flow from noise to the next latent, and the end of speech.

On the diagonal (both times alike) flow matching (arXiv:2210.02747). Off it self-distillation (arXiv:2505.18825, in its
"progressive" form): a jump must arrive where two jumps half as long arrive. Times are logistic-normal.
"""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from training.flow_lm.auxiliary_heads import Helpers, Weights
from training.flow_lm.flow_batches import Batch
from training.flow_lm.flow_head import FlowHead
from training.flow_lm.flow_network import FlowNetwork

TIME_MEAN, TIME_DEVIATION = 0.4, 1.0
TIMES = 32  # in a batch
MOST_NOISE = 0.7  # on the latents of the past, so that FlowLM forgives itself small mistakes
MOST_PROMPT_NOISE = 0.3  # on prompts: a clip that is cloned is written down by the codec's encoder, with errors
END_WEIGHT = 0.3


@dataclass(frozen=True)
class Plan:
    """Draws of noise for each frame on the diagonal, and the share of frames that also learn a jump."""

    draws: int = 2
    jumps: float = 0.25
    jump_weight: float = 0.25
    helpers: Weights = field(default_factory=Weights)


def objective(network: FlowNetwork, helpers: Helpers, batch: Batch, plan: Plan, generator: torch.Generator,
              voice: Tensor | None = None) -> tuple[Tensor, dict[str, float]]:  # fmt: skip
    """The loss of a batch, and its parts to look at. `voice`: prompts `[groups, prompt, width]` other than its own."""
    latents = (batch.latents - network.emb_mean) / network.emb_std
    prompts = network.embed_prompts(_noisy(batch.prompts, generator)) if voice is None else voice
    heard = network(prompts, _rows(network, batch, latents, generator))
    z = network.out_norm(heard.x.flatten(0, 1)[batch.speaks])
    parts = helpers.losses(batch, heard, z, latents)
    parts["end"] = F.binary_cross_entropy_with_logits(network.out_eos(z.float())[:, 0].float(), batch.ends)
    parts["flow"] = flow_loss(network.flow_net, z, latents, plan.draws, generator)
    loss = parts["flow"] + END_WEIGHT * parts["end"]
    for name in ("phones", "latents", "spelling", "looking"):
        loss = loss + getattr(plan.helpers, name) * parts[name]
    if plan.jumps:
        parts["jump"] = jump_loss(network.flow_net, z, latents, plan.jumps, generator)
        loss = loss + plan.jump_weight * parts["jump"]
    parts["loss"] = loss
    return loss, {name: float(part.detach()) for name, part in parts.items()}


def _rows(network: FlowNetwork, batch: Batch, latents: Tensor, generator: torch.Generator) -> Tensor:
    """`[rows, length, width]`: each frame's place holds the latent before it."""
    rows = len(batch.source)
    amount = torch.rand(rows, generator=generator).mul_(MOST_NOISE)[batch.row]  # [frames]
    past = latents + amount[:, None] * torch.randn(latents.shape, generator=generator)
    past = torch.where(batch.first[:, None], network.bos_emb, past.roll(1, dims=0))
    text = network.conditioner.embed(batch.tokens)
    frames = network.input_linear(past)
    parts = torch.cat([text.to(frames.dtype), frames, frames.new_zeros(1, frames.shape[1])])
    placed: Tensor = parts.index_select(0, batch.source.flatten()).unflatten(0, batch.source.shape)
    return placed


def _noisy(prompts: Tensor, generator: torch.Generator) -> Tensor:
    amount = torch.rand(len(prompts), 1, 1, generator=generator) * MOST_PROMPT_NOISE
    return prompts + amount * torch.randn(prompts.shape, generator=generator)


def _times(rows: int, generator: torch.Generator) -> Tensor:
    return torch.sigmoid(torch.randn(rows, generator=generator) * TIME_DEVIATION + TIME_MEAN)


def flow_loss(head: FlowHead, z: Tensor, latents: Tensor, draws: int, generator: torch.Generator) -> Tensor:
    data = latents.repeat(draws, 1)
    noise = torch.randn(data.shape, generator=generator)
    times = _times(TIMES, generator)  # few, because each of them is embedded by a network of its own
    which = torch.randint(TIMES, (len(data),), generator=generator)
    condition = head.embed(z).repeat(draws, 1) + head.when(times, times)[which]
    return F.mse_loss(head(condition, torch.lerp(noise, data, times[which, None])), data - noise)


def jump_loss(head: FlowHead, z: Tensor, latents: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Half of the jumps are the whole way, as it is spoken with one step."""
    count = max(1, int(len(z) * share))
    chosen = torch.randperm(len(z), generator=generator)[:count]
    data = latents[chosen]
    noise = torch.randn(data.shape, generator=generator)
    one, other = _times(TIMES, generator), _times(TIMES, generator)
    whole = torch.arange(TIMES) % 2 == 0
    start = torch.where(whole, 0.0, torch.minimum(one, other))
    end = torch.where(whole, 1.0, torch.maximum(one, other))
    middle = (start + end) / 2
    which = torch.randint(TIMES, (count,), generator=generator)
    half = ((end - start) / 2)[which, None]
    x = torch.lerp(noise, data, start[which, None])
    condition = head.embed(z[chosen])
    with torch.no_grad():
        early = head(condition + head.when(start, middle)[which], x)
        late = head(condition + head.when(middle, end)[which], x + half * early)
        target = (early + late) / 2
    return F.mse_loss(head(condition + head.when(start, end)[which], x), target)
