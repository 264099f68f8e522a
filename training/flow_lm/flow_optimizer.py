"""How FlowLM's weights move: by AdamW, and where it is wished matrices of the transformer by Muon."""

from typing import Any

import torch
from torch import nn

from training.trainer.schedule import FALLING_SHARE, set_rate

MOST_GRADIENT = 1.0
ADAM_SHARE = 0.6  # of the rate, where the weights are no matrices of the transformer


class Optimizers:
    """Muon makes each matrix's step equally large in all directions. It takes fewer steps than AdamW and more time for
    each: with small batches on one core AdamW is ahead."""

    def __init__(self, network: nn.Module, helpers: nn.Module, rate: float, muon: bool,
                 falling_share: float = FALLING_SHARE) -> None:  # fmt: skip
        matrices = [
            parameter
            for name, parameter in network.named_parameters()
            if muon and parameter.dim() == 2 and (name.startswith("transformer.") or ".mlp." in name)
        ]
        chosen = set(map(id, matrices))
        others = [part for part in [*network.parameters(), *helpers.parameters()] if id(part) not in chosen]
        self._rate, self._falling_share = rate, falling_share
        self._parameters = matrices + others
        self._optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(others, rate, betas=(0.9, 0.98), weight_decay=0.01)
        ]
        if matrices:
            self._optimizers.append(
                torch.optim.Muon(matrices, rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw", ns_steps=4)
            )

    def step(self, step: int, steps: int) -> None:
        torch.nn.utils.clip_grad_norm_(self._parameters, MOST_GRADIENT)
        for optimizer in self._optimizers:
            share = 1 if isinstance(optimizer, torch.optim.Muon) else ADAM_SHARE
            set_rate(optimizer, self._rate * share, step, steps, self._falling_share)
            optimizer.step()
            optimizer.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        return {type(optimizer).__name__: optimizer.state_dict() for optimizer in self._optimizers}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for optimizer in self._optimizers:
            optimizer.load_state_dict(state[type(optimizer).__name__])
