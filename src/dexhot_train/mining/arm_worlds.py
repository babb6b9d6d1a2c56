"""Plans that must succeed on both the floating hand and the embedded rig: both kinds of world behind one `rollout`."""

from collections.abc import Sequence

import mujoco
import numpy as np
from numpy.typing import ArrayLike

from dexhot.rollouts.arm_batch import ArmSimulator
from dexhot.simulation.backend import Batch, MujocoSimulator


class WithArm:
    """Rollouts whose `models` select where each runs: in that model of the floating scene or, for None, on the embedded
    rig.

    States (ns,) have the arm's length; a floating one is padded with zeros (`padded`).
    """

    def __init__(self, floating: MujocoSimulator, arm: ArmSimulator):
        self.scene, self.floating, self.arm = floating.scene, floating, arm

    def padded(self, states: np.ndarray) -> np.ndarray:
        """(..., ns) states, padded from those of the floating scene (..., nf)."""
        return np.pad(states, [(0, 0)] * (states.ndim - 1) + [(0, self.arm.state_size - states.shape[-1])])

    def rollout(
        self, states: ArrayLike, controls: ArrayLike, models: Sequence[mujoco.MjModel | None] | None = None
    ) -> Batch:
        """As Simulator.rollout; without `models` all on the arm. All worlds on the arm start in the same state."""
        models = models or [None] * max(len(np.atleast_2d(states)), len(np.asarray(controls)))
        states = np.broadcast_to(states, (len(models), self.arm.state_size))
        controls = np.broadcast_to(controls, (len(models), *np.shape(controls)[-2:]))
        on_arm, floating = ([i for i, m in enumerate(models) if (m is None) == arm] for arm in (True, False))
        parts = []
        if len(floating):
            here = states[floating, : self.floating.state_size]
            batch = self.floating.rollout(here, controls[floating], [models[i] for i in floating])
            parts.append((self.padded(batch.states), batch.sensors, batch.diverged))
        if len(on_arm):
            batch = self.arm.rollout(states[on_arm[0]], controls[on_arm])
            parts.append((batch.states, batch.sensors, batch.diverged))
        order = np.argsort(floating + on_arm)
        return Batch(*(np.concatenate(arrays)[order] for arrays in zip(*parts)))

    def object_pose(self, states: ArrayLike) -> np.ndarray:
        """(..., ns) -> (..., 7) world_T_mesh."""
        return self.floating.object_pose(states)
