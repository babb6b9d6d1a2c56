"""The vectorised interface between tasks and learners."""

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np


@dataclass
class Observations:
    """What the policy and the critic see; rows are worlds (N)."""

    policy: np.ndarray  # (N, P) float32
    critic: np.ndarray  # (N, C) float32: with what only a simulator knows


@dataclass
class Step:
    """Result of one control step. Worlds that ended have been reset: their observations are of a new episode."""

    observations: Observations
    reward: np.ndarray  # (N,)
    terminated: np.ndarray  # (N,) bool: failed; nothing follows
    truncated: np.ndarray  # (N,) bool: the clip or the time ended; the value of `last_critic` follows
    last_critic: np.ndarray  # (N, C) critic's observation before a reset
    applied: np.ndarray  # (N, A) the action as it was applied, in [-1, 1]: what a discriminator sees
    finished: list[dict[str, float]] = field(default_factory=list)  # statistics of each episode that ended


class VectorTask(Protocol):
    """N worlds, stepped together."""

    size: int
    policy_size: int
    state_size: int  # of these the first so many are the state that a discriminator sees, without what is asked for
    critic_size: int
    action_size: int

    def reset(self) -> Observations:
        """Begin new episodes in all worlds."""

    def step(self, actions: np.ndarray) -> Step:
        """One control step with actions (N, A), clipped to [-1, 1]."""

    def expert(self) -> tuple[np.ndarray, np.ndarray]:
        """Expert actions (N, A) for the present states, and whether there is an expert (N,) bool."""

    def snapshot(self) -> dict[str, Any]:
        """Arrays, numbers and texts, nested, from which `restore` goes on exactly."""

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Back to a snapshot of a task made with the same arguments."""
