"""A policy's network in torch: a multilayer perceptron with its normaliser, and the running sum of residuals inside.

`forward(observation, residual) -> next residual` is what is exported; see dexhot.control.policy.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from dexhot.data.types import PolicyCard

CLIP = 5.0  # standard deviations: observations beyond are clipped


class PolicyNetwork(nn.Module):
    """(N, F), (N, 6+n) -> (N, 6+n), within the card's limits and steps by construction.

    "residual": the network proposes the residual, of which `blend` is taken over per tick; "cumulative": it proposes a
    change (DexTrack, section 3.1).
    """

    mean: torch.Tensor
    scale: torch.Tensor
    limit: torch.Tensor
    step: torch.Tensor

    def __init__(self, card: PolicyCard, hidden: Sequence[int] = (256, 256), blend: float = 1.0):
        super().__init__()
        size = sum(int(part["size"]) for part in card.observation)
        self.cumulative, self.blend = card.action == "cumulative", blend
        sizes = [size, *hidden]
        layers: list[nn.Module] = []
        for a, b in pairwise(sizes):
            layers += [nn.Linear(a, b), nn.ELU()]
        self.body = nn.Sequential(*layers, nn.Linear(sizes[-1], len(card.joint_names)))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        self.register_buffer("limit", torch.tensor(card.residual_limit, dtype=torch.float32))
        self.register_buffer("step", torch.tensor(card.residual_step, dtype=torch.float32))

    def normalise(self, observations: np.ndarray) -> None:
        """Fit the normaliser to observations (N, F); features that do not vary are centred only."""
        deviation = observations.std(axis=0)
        self.mean.copy_(torch.from_numpy(observations.mean(axis=0)))
        self.scale.copy_(torch.from_numpy(np.where(deviation < 1e-4, 1.0, deviation)))

    def raw(self, observation: torch.Tensor) -> torch.Tensor:
        """(N, 6+n) what the network says, in units of the limits ("residual") or of the steps ("cumulative")."""
        seen = torch.clamp((observation - self.mean) / self.scale, -CLIP, CLIP)
        out: torch.Tensor = self.body(seen)
        return out

    def forward(self, observation: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        said = torch.clamp(self.raw(observation), -1.0, 1.0)
        change = said * self.step if self.cumulative else self.blend * (said * self.limit - residual)
        change = torch.maximum(torch.minimum(change, self.step), -self.step)
        return torch.maximum(torch.minimum(residual + change, self.limit), -self.limit)


class TorchNetwork:
    """A PolicyNetwork as control.policy.ResidualNetwork, while it is trained."""

    def __init__(self, module: nn.Module, card: PolicyCard):
        self.module, self.card = module, card

    def __call__(self, observation: np.ndarray, residual: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            out = self.module(
                torch.from_numpy(observation.astype(np.float32)), torch.from_numpy(residual.astype(np.float32))
            )
        found: np.ndarray = out.numpy().astype(float)
        return found
