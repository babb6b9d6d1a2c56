"""The command shaper (control/shaper.py) before the floating hand, for a batch: what is trained is what is deployed."""

from collections.abc import Sequence

import numpy as np

from dexhot.control.shaper import shaper_scene
from dexhot.data.types import PolicyCard
from dexhot.robots.robot_hand import RobotHand
from dexhot.simulation.backend import MujocoSimulator
from dexhot.simulation.physics import Physics


class BatchShaper:
    """N simulated hands alone in their worlds between the policy's targets and the servos.

    A command is the shaped hand's position in the middle of the tick and `lead` of the servos' lag times its velocity,
    of fingers and wrist: the arm that carries the wrist on a rig has no lag of its own to undo.
    """

    def __init__(
        self, hand: RobotHand, bases: Sequence[np.ndarray], physics: Physics, size: int, lead: float, threads: int = 1
    ):
        """bases: the wrist's base rotation (4,) of each clip; size: N; lead: fraction of the servos' lag."""
        self.scenes = [shaper_scene(hand, base, physics) for base in bases]
        first = self.scenes[0]
        self.simulator = MujocoSimulator(first, threads)
        self.states = np.zeros((size, self.simulator.state_size))
        self.models = [first.model] * size
        self.lead = lead * physics.servo_lag(hand)
        self.rate = 1.0 / physics.control_dt
        self._q, self._qd = 1 + first.q_address, 1 + first.model.nq + first.v_address

    def reset(self, rows: np.ndarray, clip: np.ndarray, q: np.ndarray, qd: np.ndarray) -> None:
        """Put the shaped hands `rows` (M,) at q and qd (M, 6+n), in the worlds of their clips (M,)."""
        self.states[rows] = 0.0
        for row, k, at, moving in zip(rows, clip, q, qd):
            self.models[row] = self.scenes[k].model
            self.states[row, self._q], self.states[row, self._qd] = at, moving
            nq = self.scenes[k].model.nq
            self.scenes[k].coupled.follow(self.states[row, 1 : 1 + nq], self.states[row, 1 + nq :])

    def step(self, targets: np.ndarray) -> np.ndarray:
        """Targets (N, 6+n) -> commands (N, 6+n)."""
        before = self.states[:, self._q]
        self.states = self.simulator.rollout(self.states, targets[:, None], self.models).states[:, -1].copy()
        after = self.states[:, self._q]
        command: np.ndarray = 0.5 * (before + after) + self.lead * (after - before) * self.rate
        return command

    def snapshot(self) -> dict[str, np.ndarray]:
        return {"states": self.states.copy()}

    def restore(self, snapshot: dict[str, np.ndarray], clip: np.ndarray) -> None:
        self.states = np.array(snapshot["states"])
        self.models = [self.scenes[k].model for k in clip]


def shaper_of(
    card: PolicyCard | None, hand: RobotHand, base: np.ndarray, physics: Physics, q: np.ndarray, qd: np.ndarray
) -> BatchShaper | None:
    """The shaper with which the policy of `card` was trained, its hands at q and qd (N, 6+n); None for a policy, or a
    controller without a card, that was not trained with one."""
    if card is None or card.shaper_lead is None:
        return None
    shaper = BatchShaper(hand, [base], physics, len(q), card.shaper_lead)
    shaper.reset(np.arange(len(q)), np.zeros(len(q), int), q, qd)
    return shaper
