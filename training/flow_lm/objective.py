"""The training objective of FlowLM: the flow from noise to the next latent, and the end of speech.

On the diagonal (equal times): flow matching (arXiv:2210.02747). Off the diagonal: progressive self-distillation
(arXiv:2505.18825), where one jump must arrive where two jumps of half the length arrive. Times are logistic-normal.
"""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from training.flow_lm.auxiliary_heads import AuxiliaryHeads, AuxiliaryLossWeights
from training.flow_lm.batches import Batch
from training.flow_lm.flow_head import FlowHead
from training.flow_lm.network import FlowLMNetwork, TransformerOutput

TIME_MEAN, TIME_DEVIATION = 0.4, 1.0
TIMES = 32  # distinct times in a batch
MAX_NOISE = 0.7  # on past latents, which makes FlowLM robust to its own errors
MAX_PROMPT_NOISE = 0.3  # on prompts, since those of cloned voices contain the errors of the codec's encoder
END_WEIGHT = 0.3


@dataclass(frozen=True)
class ObjectiveConfig:
    """Noise draws per frame on the diagonal, the ratio of frames that also train a jump, and loss weights."""

    draws: int = 2
    jumps: float = 0.25
    jump_weight: float = 0.25
    auxiliary: AuxiliaryLossWeights = field(default_factory=AuxiliaryLossWeights)


@dataclass(frozen=True)
class Dropout:
    """The conditions that a batch has to do without, for classifier-free guidance."""

    text: bool = False
    voice: bool = False


NOTHING_DROPPED = Dropout()


@dataclass(frozen=True, eq=False)
class BackboneInput:
    """The noisy latents of a batch: what comes before each frame, normalized, and the prompts, not normalized."""

    past: Tensor  # [frames, dim]
    prompts: Tensor  # [groups, prompt frames, dim]

    @classmethod
    def draw(cls, network: FlowLMNetwork, batch: Batch, generator: torch.Generator) -> "BackboneInput":
        prompts = _noisy(batch.prompts, generator)
        amount = torch.rand(len(batch.source), generator=generator).mul_(MAX_NOISE)[batch.row]  # [frames]
        latents = normalized_latents(network, batch)
        return cls(latents + amount[:, None] * torch.randn(latents.shape, generator=generator), prompts)


def normalized_latents(network: FlowLMNetwork, batch: Batch) -> Tensor:
    return (batch.latents - network.emb_mean) / network.emb_std


def run_backbone(network: FlowLMNetwork, batch: Batch, inputs: BackboneInput, dropout: Dropout,
                 voice: Tensor | None = None) -> tuple[TransformerOutput, Tensor]:  # fmt: skip
    """The transformer's output, and the input of the flow head for each frame, `[frames, width]`.

    `voice`: prompt embeddings `[groups, prompt, width]` to use instead of the prompts.
    """
    prompts = network.embed_prompts(inputs.prompts) if voice is None else voice
    if dropout.voice:
        prompts = torch.cat([prompts[:, :1], torch.zeros_like(prompts[:, 1:])], dim=1)
    output = network(prompts, _rows(network, batch, inputs.past, dropout.text))
    return output, network.out_norm(output.x.flatten(0, 1)[batch.predictor])


def end_loss(network: FlowLMNetwork, batch: Batch, z: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(network.out_eos(z.float())[:, 0].float(), batch.ends)


def objective(network: FlowLMNetwork, auxiliary: AuxiliaryHeads, batch: Batch, config: ObjectiveConfig,
              generator: torch.Generator, voice: Tensor | None = None,
              dropout: Dropout = NOTHING_DROPPED) -> tuple[Tensor, dict[str, float]]:  # fmt: skip
    """The loss of a batch, and its components for logging. Without text there are neither auxiliary losses nor jumps.

    `voice`: prompt embeddings `[groups, prompt, width]` to use instead of the batch's prompts.
    """
    latents = normalized_latents(network, batch)
    output, z = run_backbone(network, batch, BackboneInput.draw(network, batch, generator), dropout, voice)
    end, flow = end_loss(network, batch, z), flow_loss(network.flow_net, z, latents, config.draws, generator)
    loss = flow + END_WEIGHT * end
    if dropout.text:
        return loss, {"flow_without_text": float(flow.detach())}
    losses = auxiliary.losses(batch, output, z, latents) | {"end": end, "flow": flow}
    for name in ("phones", "latents", "pronunciation", "alignment"):
        loss = loss + getattr(config.auxiliary, name) * losses[name]
    if config.jumps:
        losses["jump"] = jump_loss(network.flow_net, z, latents, config.jumps, generator)
        loss = loss + config.jump_weight * losses["jump"]
    losses["loss"] = loss
    return loss, {name: float(value.detach()) for name, value in losses.items()}


def _rows(network: FlowLMNetwork, batch: Batch, past: Tensor, drop_text: bool) -> Tensor:
    """Input embeddings `[rows, length, width]`; the position of each frame holds the previous latent."""
    past = torch.where(batch.first[:, None], network.bos_emb, past.roll(1, dims=0))
    # The table has one more embedding than there are tokens, for padding: it stands for dropped text.
    tokens = torch.full_like(batch.tokens, network.shape.lookup_table.n_bins) if drop_text else batch.tokens
    text = network.conditioner.embed(tokens)
    frames = network.input_linear(past)
    entries = torch.cat([text.to(frames.dtype), frames, frames.new_zeros(1, frames.shape[1])])
    embedded: Tensor = entries.index_select(0, batch.source.flatten()).unflatten(0, batch.source.shape)
    return embedded


def _noisy(prompts: Tensor, generator: torch.Generator) -> Tensor:
    amount = torch.rand(len(prompts), 1, 1, generator=generator) * MAX_PROMPT_NOISE
    return prompts + amount * torch.randn(prompts.shape, generator=generator)


def _times(rows: int, generator: torch.Generator) -> Tensor:
    return torch.sigmoid(torch.randn(rows, generator=generator) * TIME_DEVIATION + TIME_MEAN)


def flow_loss(head: FlowHead, z: Tensor, latents: Tensor, draws: int, generator: torch.Generator) -> Tensor:
    data = latents.repeat(draws, 1)
    noise = torch.randn(data.shape, generator=generator)
    """Flow matching on the diagonal, with `draws` noise samples per frame."""
    times = _times(TIMES, generator)  # few, because each is embedded by an MLP
    which = torch.randint(TIMES, (len(data),), generator=generator)
    condition = head.embed(z).repeat(draws, 1) + head.embed_times(times, times)[which]
    return F.mse_loss(head(condition, torch.lerp(noise, data, times[which, None])), data - noise)


def jump_loss(head: FlowHead, z: Tensor, latents: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Progressive self-distillation. Half of the jumps span the whole flow, as in inference with one decode step."""
    count = max(1, int(len(z) * share))
    chosen = torch.randperm(len(z), generator=generator)[:count]
    data = latents[chosen]
    noise = torch.randn(data.shape, generator=generator)
    one, other = _times(TIMES, generator), _times(TIMES, generator)
    full = torch.arange(TIMES) % 2 == 0
    start = torch.where(full, 0.0, torch.minimum(one, other))
    end = torch.where(full, 1.0, torch.maximum(one, other))
    middle = (start + end) / 2
    which = torch.randint(TIMES, (count,), generator=generator)
    half = ((end - start) / 2)[which, None]
    x = torch.lerp(noise, data, start[which, None])
    condition = head.embed(z[chosen])
    with torch.no_grad():
        early = head(condition + head.embed_times(start, middle)[which], x)
        late = head(condition + head.embed_times(middle, end)[which], x + half * early)
        target = (early + late) / 2
    return F.mse_loss(head(condition + head.embed_times(start, end)[which], x), target)
