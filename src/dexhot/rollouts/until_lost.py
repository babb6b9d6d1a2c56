"""Rollouts of the floating hand that end once the object is lost: most of a search's are such ones."""

from collections.abc import Callable, Sequence

import mujoco
import numpy as np
from numpy.typing import ArrayLike

from dexhot.simulation.backend import Batch, MujocoSimulator

CHUNK = 30  # control steps after which is looked


class UntilLost:
    """As the simulator, but a rollout for which `lost` says so, or that has diverged, keeps its last values from there.

    lost: object poses (N, 7) after so many control steps -> (N,) bool. `control_steps` counts those simulated.
    """

    def __init__(self, simulator: MujocoSimulator, lost: Callable[[np.ndarray, int], np.ndarray]):
        self.simulator, self.lost = simulator, lost
        self.scene, self.state_size = simulator.scene, simulator.state_size
        self.control_steps = 0

    def rollout(self, states: ArrayLike, controls: ArrayLike, models: Sequence[mujoco.MjModel]) -> Batch:
        """As Simulator.rollout."""
        now, controls = np.array(states), np.asarray(controls)
        (count, steps), going = controls.shape[:2], np.arange(len(controls))
        whole = Batch(np.empty((count, steps, self.state_size)), np.empty(0), np.zeros(count, bool))
        for begin in range(0, steps, CHUNK):
            end = min(begin + CHUNK, steps)
            batch = self.simulator.rollout(now[going], controls[going, begin:end], [models[k] for k in going.tolist()])
            if begin == 0:
                whole.sensors = np.empty((count, steps, batch.sensors.shape[-1]))
            for rows, part in ((whole.states, batch.states), (whole.sensors, batch.sensors)):
                rows[going, begin:end], rows[going, end:] = part, part[:, -1:]
            now[going], whole.diverged[going] = batch.states[:, -1], batch.diverged
            self.control_steps += len(going) * (end - begin)
            going = going[~self.lost(self.object_pose(now[going]), end) & ~batch.diverged]
            if not len(going):
                break
        return whole

    def object_pose(self, states: ArrayLike) -> np.ndarray:
        """(..., ns) -> (..., 7) world_T_mesh."""
        return self.simulator.object_pose(states)
