"""Assistance in teleoperation: a residual agent's small correction of the user input, bounded and faded (002_ eq. 1-2).

command = k(x) - w clip(f(state, k(x)))        w goes from 0 to 1, and back, within `fade` s
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dexhot.data.types import RATE
from dexhot.errors import DexhotError
from dexhot.robots.robot_hand import RobotHand

FRACTION = 0.2  # of a joint's range (002_: 20 % of the action range)
WRIST_BOUND = (0.02, 0.2)  # m, rad: the wrist of an arm has no range of its own


@dataclass(frozen=True)
class AssistState:
    """What an agent knows of the robot and the object."""

    q: np.ndarray  # (6+n,) measured hand vector
    object_pose: np.ndarray  # (7,) world_T_mesh
    object_twist: np.ndarray  # (6,) m/s, rad/s


class Agent(Protocol):
    """A residual agent: any function of these; one with a memory has `reset`, too, for the start of tracking."""

    def __call__(self, state: AssistState, user: np.ndarray) -> np.ndarray:
        """The correction (6+n,), m and rad, to be subtracted from the user input (6+n,)."""


def correction_bound(hand: RobotHand) -> np.ndarray:
    """(6+n,) largest correction of each joint, m and rad."""
    position, rotation = WRIST_BOUND
    return np.concatenate([np.full(3, position), np.full(3, rotation), FRACTION * (hand.upper - hand.lower)])


class Assistance:
    """One agent, or none: then the user input alone moves the robot."""

    def __init__(self, agent: Agent | None, bound: np.ndarray, fade: float = 0.5):
        """`bound` (6+n,); `fade`: s."""
        self.agent, self.bound, self.ticks = agent, bound, max(round(fade * RATE), 1)
        self.reset()

    def reset(self) -> None:
        """No correction, until it is switched on and has faded in."""
        self.wanted, self.faded, self.failure = False, 0, ""  # faded: 0 to `ticks`
        self._forget()
        self.correction = np.zeros_like(self.bound)  # of the last tick, as applied
        self.last = np.zeros_like(self.bound)  # the same, not faded

    def switch(self, on: bool) -> str:
        """Fade in or out; returns why it cannot, or ""."""
        if on and self.agent is None:
            return "there is no agent that could assist: the user input alone moves the robot"
        if on and not self.wanted:
            self.failure = ""
            if not self.faded:
                self._forget()
        self.wanted = on
        return ""

    def _forget(self) -> None:
        """An agent that has not seen the last ticks must not go on from before them: it might hold what is gone."""
        if callable(forget := getattr(self.agent, "reset", None)):
            forget()

    def __call__(self, state: AssistState, user: np.ndarray) -> np.ndarray:
        """The command (6+n,) of one tick. An agent whose output is not finite is switched off, with its last
        correction fading out; `failure` says so."""
        self.faded = min(self.faded + 1, self.ticks) if self.wanted else max(self.faded - 1, 0)
        if self.agent is None or self.weight == 0.0:
            self.correction = np.zeros_like(self.bound)
            return user.copy()
        if not self.failure:
            proposed = self._proposed(self.agent, state, user)
            if proposed.shape == self.bound.shape and np.isfinite(proposed).all():
                self.last = np.clip(proposed, -self.bound, self.bound)
            else:
                self.wanted = False
                self.failure = self.failure or "the agent's correction is not finite, or of another size"
        self.correction = self.weight * self.last
        out: np.ndarray = user - self.correction
        return out

    def _proposed(self, agent: Agent, state: AssistState, user: np.ndarray) -> np.ndarray:
        """The agent's correction; NaN, with `failure` saying why, where it refuses."""
        try:
            return np.asarray(agent(state, user), float)
        except DexhotError as e:
            self.failure = str(e)
            return np.full_like(self.bound, np.nan)

    @property
    def weight(self) -> float:
        """w, 0 to 1."""
        return self.faded / self.ticks

    @property
    def size(self) -> float:
        """The largest joint's correction, as a fraction of its bound, 0 to 1."""
        return float(np.abs(self.correction / self.bound).max())
