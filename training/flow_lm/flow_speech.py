"""FlowLM speaks by itself while it is trained: latents without any that it was told, and how right they are.

Everything is computed anew for each frame, which is slow but needs no second way through the network.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from training.flow_lm.flow_head import FlowHead
from training.flow_lm.flow_network import FlowNetwork

END_LOGIT = -0.5


@torch.no_grad()
def speak(network: FlowNetwork, prompts: Tensor, texts: Sequence[Sequence[int]], frames: int, temperature: float,
          generator: torch.Generator, decode_steps: int = 1) -> list[Tensor]:  # fmt: skip
    """One row for each prompt `[rows, prompt frames, dim]`; latents `[frames, dim]` up to where speech is over.

    `frames`: the most there are.
    """
    rows = len(texts)
    embedded = [network.conditioner.embed(torch.tensor(text)) for text in texts]
    longest = max(map(len, texts))
    x = embedded[0].new_zeros(rows, longest + frames, embedded[0].shape[1])
    for row, text in enumerate(embedded):
        x[row, : len(text)] = text
    lengths = torch.tensor([len(text) for text in texts])
    voice = network.embed_prompts(prompts)
    last = network.bos_emb.expand(rows, -1)
    said = torch.zeros(rows, frames, len(network.bos_emb))
    ends = torch.full((rows,), frames)
    every = torch.arange(rows)
    for frame in range(frames):
        x[every, lengths + frame] = network.input_linear(last).to(x.dtype)
        heard = network(voice, x[:, : longest + frame + 1])
        z = network.out_norm(heard.x[every, lengths + frame])
        over = network.out_eos(z.float())[:, 0] > END_LOGIT
        ends = torch.where(over & (ends == frames), frame, ends)
        if (ends < frames).all():
            break
        noise = torch.randn(said[:, 0].shape, generator=generator) * temperature**0.5
        last = _sampled(network.flow_net, z, noise, decode_steps)
        said[:, frame] = last
    return [said[row, :end] * network.emb_std + network.emb_mean for row, end in enumerate(ends.tolist())]


def _sampled(head: FlowHead, z: Tensor, x: Tensor, decode_steps: int) -> Tensor:
    condition = head.embed(z)
    for step in range(decode_steps):
        start, end = torch.tensor([step / decode_steps]), torch.tensor([(step + 1) / decode_steps])
        x = x + head(condition + head.when(start, end), x) / decode_steps
    return x
