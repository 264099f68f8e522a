"""Optimizers of FlowLM: AdamW and, optionally, Muon for the matrices of the transformer."""

from typing import Any

import torch
from torch import nn

from training.trainer.schedule import DECAY_RATIO, set_learning_rate

MAX_GRADIENT_NORM = 1.0
ADAM_RATE_RATIO = 0.6  # AdamW's learning rate relative to Muon's


class Optimizers:
    """AdamW for all parameters or, with `muon`, for those that are not matrices of the transformer.

    Muon needs fewer steps than AdamW but more time per step; with small batches on one core AdamW is faster.
    """

    def __init__(self, network: nn.Module, auxiliary: nn.Module, rate: float, muon: bool,
                 decay_ratio: float = DECAY_RATIO) -> None:  # fmt: skip
        matrices = [
            parameter
            for name, parameter in network.named_parameters()
            if muon and parameter.dim() == 2 and (name.startswith("transformer.") or ".mlp." in name)
        ]
        chosen = set(map(id, matrices))
        others = [each for each in [*network.parameters(), *auxiliary.parameters()] if id(each) not in chosen]
        self._rate, self._decay_ratio = rate, decay_ratio
        self._parameters = matrices + others
        self._optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(others, rate, betas=(0.9, 0.98), weight_decay=0.01)
        ]
        if matrices:
            self._optimizers.append(
                torch.optim.Muon(matrices, rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw", ns_steps=4)
            )

    def step(self, step: int, steps: int) -> None:
        """Clip the gradients, update the parameters and clear the gradients."""
        torch.nn.utils.clip_grad_norm_(self._parameters, MAX_GRADIENT_NORM)
        for optimizer in self._optimizers:
            ratio = 1 if isinstance(optimizer, torch.optim.Muon) else ADAM_RATE_RATIO
            set_learning_rate(optimizer, self._rate * ratio, step, steps, self._decay_ratio)
            optimizer.step()
            optimizer.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        return {type(optimizer).__name__: optimizer.state_dict() for optimizer in self._optimizers}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for optimizer in self._optimizers:
            optimizer.load_state_dict(state[type(optimizer).__name__])
