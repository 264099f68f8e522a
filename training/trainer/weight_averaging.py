"""Weights averaged over the last steps: they speak better than those of any one step, and are what gets published."""

from typing import Generic, TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


class Average(nn.Module, Generic[Network]):
    """The weights' mean over the last steps, which is what gets published."""

    def __init__(self, network: nn.Module, network_like_it: Network) -> None:
        super().__init__()
        self.network = network_like_it
        self.network.load_state_dict(network.state_dict())

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        share = max(0.001, 10 / (step + 10))
        for mean, now in zip(self.network.parameters(), network.parameters(), strict=True):
            mean.lerp_(now, share)
