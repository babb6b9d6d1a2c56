"""`python -m dexhot_train.task.mujoco_worker`: MuJoCo as a worker (task/wire.py), to show and test the protocol."""

import os
import sys
from dataclasses import asdict
from typing import Any

import numpy as np

from dexhot.errors import DexhotError
from dexhot.simulation.perturbation import Draw
from dexhot_train.task import wire
from dexhot_train.task.clips import load_task_clip
from dexhot_train.task.simulators import Start, ThreadedMujoco

Arrays = dict[str, np.ndarray]


class MujocoWorker:
    """ThreadedMujoco behind the protocol's operations."""

    simulator: ThreadedMujoco

    def open(self, values: dict[str, Any], physics: np.ndarray) -> tuple[dict[str, Any], Arrays]:
        """Make the simulator that the task asks for, of the draws themselves. Raises DexhotError."""
        if values["version"] != wire.VERSION:
            raise DexhotError(f"this worker speaks version {wire.VERSION} of the protocol, not {values['version']}.")
        clips = [load_task_clip(path, profile) for path, profile in zip(values["references"], values["profiles"])]
        worlds = [
            [None if d is None else Draw(**{k: _array(v) for k, v in d.items()}) for d in w] for w in values["worlds"]
        ]
        self.simulator = ThreadedMujoco(clips, values["size"], worlds)
        return {"substeps": self.simulator.substeps}, {}

    def reset(self, rows: np.ndarray, clip: np.ndarray, world: np.ndarray, **start: np.ndarray) -> None:
        self.simulator.reset(rows, clip, world, Start(**start))

    def step(self, controls: np.ndarray) -> Arrays:
        return asdict(self.simulator.step(controls))

    def reading(self) -> Arrays:
        return asdict(self.simulator.reading())

    def snapshot(self) -> Arrays:
        return self.simulator.snapshot()

    def restore(self, **snapshot: np.ndarray) -> None:
        self.simulator.restore(snapshot)


def _array(value: Any) -> Any:
    return np.array(value) if isinstance(value, list) else value


if __name__ == "__main__":
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not come between the messages
    wire.serve(sys.stdin.buffer, output, MujocoWorker())
