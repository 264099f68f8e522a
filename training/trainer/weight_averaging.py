"""Exponential moving average of weights. The average performs better than the weights of any single step."""

from typing import Generic, TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


class AveragedWeights(nn.Module, Generic[Network]):
    """The moving average of a network's weights, which is exported.

    `copy`: a second network of the same shape, which receives the average.
    """

    def __init__(self, network: nn.Module, copy: Network) -> None:
        super().__init__()
        self.network = copy
        self.network.load_state_dict(network.state_dict())

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        weight = max(0.001, 10 / (step + 10))
        for average, current in zip(self.network.parameters(), network.parameters(), strict=True):
            average.lerp_(current, weight)
