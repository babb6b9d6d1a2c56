"""The standard task that learners are compared on: Gymnasium's Pendulum-v1, vectorised.

A pendulum of 1 kg and 1 m, 0.05 s per step, torque within +-2 N m, speed within +-8 rad/s, 200 steps; the reward is
-(angle^2 + 0.1 speed^2 + 0.001 torque^2), 0 upright and at rest. A random policy has about -1200, a good one -150.
"""

from typing import Any

import numpy as np

from dexhot_train.task.vector import Observations, Step

DT, GRAVITY, TORQUE, SPEED, STEPS = 0.05, 10.0, 2.0, 8.0, 200


class Pendulum:
    """N pendulums behind the vectorised interface, their first episodes staggered."""

    policy_size = critic_size = state_size = 3
    action_size = 1

    def __init__(self, size: int, seed: int = 0):
        self.size, self.rng = size, np.random.default_rng(seed)
        self.angle, self.speed = np.zeros(size), np.zeros(size)
        self.left, self.returned = np.zeros(size, int), np.zeros(size)
        self.whole = np.zeros(size, bool)  # whether the episode began at its beginning
        self.returns: list[float] = []  # of whole episodes, in the order of their ends

    def reset(self) -> Observations:
        self._begin(np.arange(self.size))
        self.left = self.rng.integers(1, STEPS + 1, self.size)
        self.whole[:] = False
        return self._observe()

    def step(self, actions: np.ndarray) -> Step:
        applied = np.clip(actions, -1.0, 1.0)
        torque = TORQUE * applied[:, 0]
        angle = (self.angle + np.pi) % (2 * np.pi) - np.pi
        reward = -(angle**2 + 0.1 * self.speed**2 + 0.001 * torque**2)
        self.speed += (1.5 * GRAVITY * np.sin(self.angle) + 3.0 * torque) * DT
        self.speed = np.clip(self.speed, -SPEED, SPEED)
        self.angle += self.speed * DT
        self.left -= 1
        self.returned += reward
        last, ended = self._observe().critic, self.left == 0
        finished = [{"return": float(r), "length": float(STEPS)} for r in self.returned[ended]]
        self.returns += [float(r) for r in self.returned[ended & self.whole]]
        self._begin(np.flatnonzero(ended))
        return Step(self._observe(), reward, np.zeros(self.size, bool), ended, last, applied, finished)

    def expert(self) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((self.size, 1)), np.zeros(self.size, bool)

    def snapshot(self) -> dict[str, Any]:
        state = {name: getattr(self, name).copy() for name in ("angle", "speed", "left", "returned", "whole")}
        return {"state": state, "rng": self.rng.bit_generator.state}

    def restore(self, snapshot: dict[str, Any]) -> None:
        for name, value in snapshot["state"].items():
            setattr(self, name, value.copy())
        self.rng.bit_generator.state = snapshot["rng"]

    def _begin(self, rows: np.ndarray) -> None:
        self.angle[rows] = self.rng.uniform(-np.pi, np.pi, len(rows))
        self.speed[rows] = self.rng.uniform(-1.0, 1.0, len(rows))
        self.left[rows], self.returned[rows], self.whole[rows] = STEPS, 0.0, True

    def _observe(self) -> Observations:
        seen = np.stack([np.cos(self.angle), np.sin(self.angle), self.speed], axis=1).astype(np.float32)
        return Observations(seen, seen)
