"""The command shaper (control/shaper.py) in the loop, for a batch: what is trained is what is deployed."""

from collections.abc import Sequence

import numpy as np

from dexhot.simulation.backend import MujocoSimulator
from dexhot.simulation.scene import floating_scene
from dexhot_train.task.clips import TaskClip


class BatchShaper:
    """N simulated hands alone in their worlds between the policy's targets and the servos.

    A command is the shaped hand's position in the middle of the tick and `lead` of the servos' lag times its velocity,
    of fingers and wrist: the arm that carries the wrist on a rig has no lag of its own to undo.
    """

    def __init__(self, clips: Sequence[TaskClip], size: int, lead: float = 1.0, threads: int = 1):
        self.scenes = [
            floating_scene(c.setup.hand, None, c.reference.base_quat, c.setup.physics, visual=False) for c in clips
        ]
        first = self.scenes[0]
        self.simulator = MujocoSimulator(first, threads)
        self.states = np.repeat(self.simulator.initial_state(clips[0].reference.q[0])[None], size, axis=0)
        self.models = [first.model] * size
        self.lead = lead * clips[0].setup.physics.servo_lag(clips[0].setup.hand)
        self.rate = 1.0 / first.physics.control_dt
        self._q, self._qd = 1 + first.q_address, 1 + first.model.nq + first.v_address

    def reset(self, rows: np.ndarray, clip: np.ndarray, q: np.ndarray, qd: np.ndarray) -> None:
        """Put the shaped hands `rows` (M,) at q and qd (M, 6+n)."""
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
