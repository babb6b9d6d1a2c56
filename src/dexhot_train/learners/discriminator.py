"""Adversarial imitation: a discriminator between an expert's pairs of state and action and the policy's.

The reward is -(1 - lambda) log(1 - D): eq. 4 of the residual hand agent's paper lacks the minus sign, and as printed it
would reward being told apart from the expert, for in eq. 5 D goes to 1 on the expert's pairs. D sees the action as it
was applied, corrections included.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from dexhot_train.learners.networks import Normaliser, mlp
from dexhot_train.task.vector import VectorTask


class Discriminator(nn.Module):
    """The logit of D, the probability that a pair is an expert's."""

    def __init__(self, inputs: int, actions: int, hidden: Sequence[int] = (64, 64)):
        super().__init__()
        self.normaliser = Normaliser(inputs + actions)
        self.net = mlp([inputs + actions, *hidden, 1])

    def forward(self, state: Tensor, action: Tensor) -> Tensor:
        """States (B, inputs), applied actions (B, actions) -> (B,)."""
        logit: Tensor = self.net(self.normaliser(torch.cat([state, action], dim=-1))).squeeze(-1)
        return logit

    @torch.no_grad()
    def reward(self, state: Tensor, action: Tensor, task_share: float) -> Tensor:
        """(B,) -(1 - task_share) log(1 - D), where 1 - D = sigmoid(-logit)."""
        return (1.0 - task_share) * nn.functional.softplus(self(state, action))

    def loss(self, expert: tuple[Tensor, Tensor], policy: tuple[Tensor, Tensor]) -> Tensor:
        """Eq. 5, to be minimised: cross entropy of the expert's pairs as 1 and the policy's as 0."""
        return nn.functional.softplus(-self(*expert)).mean() + nn.functional.softplus(self(*policy)).mean()


def expert_pairs(task: VectorTask, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """States (B, S) and actions (B, A) of `steps` steps in which the task's expert acts."""
    states, actions = [], []
    observations = task.reset()
    for _ in range(steps):
        action, known = task.expert()
        states.append(observations.policy[known, : task.state_size])
        step = task.step(action)
        actions.append(step.applied[known])
        observations = step.observations
    return np.concatenate(states), np.concatenate(actions)
