"""Plans that must succeed on both the floating hand and the embedded rig: both kinds of world behind one `rollout`."""

from collections.abc import Sequence

import mujoco
import numpy as np
from numpy.typing import ArrayLike

from dexhot.rollouts.arm_batch import ArmSimulator
from dexhot.rollouts.until_lost import UntilLost
from dexhot.simulation.backend import Batch, MujocoSimulator


class WithArm:
    """Rollouts whose `models` select where each runs: in a model of the floating scene, or on an embedded rig.

    States (ns,) have the arm's length; a floating one is padded with zeros (`padded`).
    """

    def __init__(self, floating: MujocoSimulator | UntilLost, state_size: int):
        """`state_size`: of the arm's states."""
        self.scene, self.floating, self.state_size = floating.scene, floating, state_size

    def padded(self, states: np.ndarray) -> np.ndarray:
        """(..., ns) states, padded from those of the floating scene (..., nf)."""
        return np.pad(states, [(0, 0)] * (states.ndim - 1) + [(0, self.state_size - states.shape[-1])])

    def rollout(self, states: ArrayLike, controls: ArrayLike, models: Sequence[mujoco.MjModel | ArmSimulator]) -> Batch:
        """As Simulator.rollout. All rollouts on the same rig start in the same state."""
        states = np.broadcast_to(states, (len(models), self.state_size))
        controls = np.broadcast_to(controls, (len(models), *np.shape(controls)[-2:]))
        rigs = list(dict.fromkeys(m for m in models if isinstance(m, ArmSimulator)))
        parts, order = [], [i for i, m in enumerate(models) if not isinstance(m, ArmSimulator)]
        if order:
            here = states[order, : self.floating.state_size]
            batch = self.floating.rollout(here, controls[order], [models[i] for i in order])
            parts.append((self.padded(batch.states), batch.sensors, batch.diverged))
        for rig in rigs:
            there = [i for i, m in enumerate(models) if m is rig]
            batch = rig.rollout(states[there[0]], controls[there])
            parts.append((batch.states, batch.sensors, batch.diverged))
            order += there
        return Batch(*(np.concatenate(arrays)[np.argsort(order)] for arrays in zip(*parts)))

    def object_pose(self, states: ArrayLike) -> np.ndarray:
        """(..., ns) -> (..., 7) world_T_mesh."""
        return self.floating.object_pose(states)
