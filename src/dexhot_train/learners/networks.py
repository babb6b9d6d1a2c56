"""Actor, critic and discriminator: multilayer perceptrons with their input normaliser inside."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from dexhot_train.network import CLIP

LOG_2PI = float(np.log(2.0 * np.pi))


class Normaliser(nn.Module):
    """Standardises inputs by their running mean and deviation; saved with the network."""

    count: Tensor
    mean: Tensor
    variance: Tensor

    def __init__(self, size: int, limit: float = CLIP):
        super().__init__()
        self.limit = limit
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("variance", torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        """(..., size) within +-limit."""
        return ((x - self.mean) / self.deviation).clamp(-self.limit, self.limit)

    @property
    def deviation(self) -> Tensor:
        """(size,) by which inputs are divided."""
        return torch.sqrt(self.variance + 1e-6)

    @torch.no_grad()
    def update(self, x: Tensor) -> None:
        """Add samples (B, size) to the statistics (Chan et al. 1979)."""
        count, mean, variance = float(len(x)), x.mean(dim=0), x.var(dim=0, unbiased=False)
        total = float(self.count) + count
        delta = mean - self.mean
        kept = float(self.count) / total
        self.variance.copy_(kept * self.variance + (1 - kept) * variance + kept * (1 - kept) * delta**2)
        self.mean += (1 - kept) * delta
        self.count.fill_(total)


def mlp(sizes: Sequence[int], out_gain: float = 1.0) -> nn.Sequential:
    """Linear layers of `sizes` with ELU between them; orthogonal weights, the last ones scaled by `out_gain`."""
    layers: list[nn.Module] = []
    for k, (a, b) in enumerate(pairwise(sizes)):
        last = k == len(sizes) - 2
        linear = nn.Linear(a, b)
        nn.init.orthogonal_(linear.weight, out_gain if last else float(np.sqrt(2)))
        nn.init.zeros_(linear.bias)
        layers += [linear] if last else [linear, nn.ELU()]
    return nn.Sequential(*layers)


class Actor(nn.Module):
    """A Gaussian policy with a diagonal covariance that does not depend on the state, learnt or fixed.

    The network's output is scaled by `gain`: with one near the deviation, a step of the optimiser changes many small
    actions by as little, in deviations, as a few large ones.
    """

    beyond = 1.2  # outputs are clipped to this where they are fitted: beyond 1 they mean the same, but keep a gradient

    def __init__(
        self, inputs: int, actions: int, hidden: Sequence[int], std: float, fixed_std: bool = False, gain: float = 1.0
    ):
        super().__init__()
        self.inputs, self.gain = inputs, gain
        self.normaliser = Normaliser(inputs)
        self.net = mlp([inputs, *hidden, actions], 0.01)
        self.log_std = nn.Parameter(torch.full((actions,), float(np.log(std))), requires_grad=not fixed_std)

    def forward(self, x: Tensor) -> Tensor:
        """Observations (..., inputs) -> mean actions (..., actions): what is deployed."""
        mean: Tensor = self.gain * self.net(self.normaliser(x))
        return mean

    def log_probability(self, mean: Tensor, action: Tensor) -> Tensor:
        """(B,) of actions (B, A)."""
        z = (action - mean) * torch.exp(-self.log_std)
        return -0.5 * (z**2).sum(-1) - self.log_std.sum() - 0.5 * LOG_2PI * action.shape[-1]

    def entropy(self) -> Tensor:
        """Of one action's distribution."""
        return (self.log_std + 0.5 * (1.0 + LOG_2PI)).sum()


class Critic(nn.Module):
    """The value of a state, from what a simulator knows."""

    def __init__(self, inputs: int, hidden: Sequence[int]):
        super().__init__()
        self.normaliser = Normaliser(inputs)
        self.net = mlp([inputs, *hidden, 1])

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (...)."""
        value: Tensor = self.net(self.normaliser(x)).squeeze(-1)
        return value
