"""`python -m dexhot_isaacgym.worker FOLDER`: Isaac Gym as a simulator of dexhot's task, over dexhot_train/task/wire.py.

FOLDER is an export of the same clips. Environments keep their clip and physics: the answer to `open` has `assigned`
(N, 2), which the task keeps to.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Dict

import numpy as np
import torch

from dexhot_isaacgym.bundle import Bundle
from dexhot_train.task import wire

Arrays = Dict[str, np.ndarray]


class WorkerWorlds:
    """What the protocol asks of a simulator, of arrays."""

    def __init__(self, folder: str, device: int = 0):
        self.folder, self.device, self.diverged = folder, device, np.zeros(0, bool)

    def open(self, values: dict[str, Any], physics: np.ndarray) -> tuple[dict[str, Any], Arrays]:
        """Make the environments, of `physics` (K, W, 5), ratios to the nominal one.

        Raises ValueError for other clips, or another version.
        """
        if values["version"] != wire.VERSION:
            raise ValueError(f"this worker speaks version {wire.VERSION} of the protocol")
        from dexhot_isaacgym.gym_worlds import GymWorlds

        self.bundle = Bundle(self.folder, f"cuda:{self.device}" if self.device >= 0 else "cpu")
        if values["clips"] != self.bundle["clips"]:
            told = ", ".join(self.bundle["clips"])
            raise ValueError("the task has the clips {}; {} is of {}".format(values["clips"], self.folder, told))
        self.bundle.arrays["physics"] = self._tensor(physics)
        self.worlds = GymWorlds(self.bundle, values["size"], self.device)
        self.diverged = np.zeros(values["size"], bool)
        self.assigned = torch.stack([self.worlds.clip, self.worlds.world], 1).cpu().numpy()
        return {"substeps": self.worlds.substeps}, {"assigned": self.assigned}

    def reset(self, rows: np.ndarray, clip: np.ndarray, world: np.ndarray, **start: np.ndarray) -> None:
        """Raises ValueError for a clip or physics that an environment does not have."""
        if not np.array_equal(np.stack([clip, world], 1), self.assigned[rows]):
            raise ValueError("an environment of Isaac Gym keeps its clip and physics; give those of `assigned`")
        chosen = self._tensor(rows)
        names = ("q", "qd", "object_pose", "object_twist")
        self.worlds.reset(chosen, *(self._tensor(start[name]) for name in names))
        self.diverged[rows] = False

    def step(self, controls: np.ndarray) -> Arrays:
        """A control step."""
        self.worlds.step(self._tensor(controls))
        return self.reading()

    def reading(self) -> Arrays:
        """Of the present state; a diverged world's is that of an object at the origin."""
        state = self.worlds.state()
        tips = self.bundle.tips(self.worlds.clip, state.q)
        found = {"q": state.q, "qd": state.qd, "object_pose": state.object_pose, "object_twist": state.object_twist}
        arrays = {name: x.cpu().numpy().astype(float) for name, x in {**found, "tips": tips}.items()}
        self.diverged |= ~np.all([np.isfinite(x).reshape(len(x), -1).all(1) for x in arrays.values()], axis=0)
        for array in arrays.values():
            array[self.diverged] = 0.0
        arrays["object_pose"][self.diverged, 3] = 1.0
        return {**arrays, "tip_contact": state.tip_contact.cpu().numpy(), "diverged": self.diverged.copy()}

    def snapshot(self) -> Arrays:
        """Positions and velocities; contacts of PhysX have no snapshot, so a restored training is not bit for bit."""
        return {name: x for name, x in self.reading().items() if name in ("q", "qd", "object_pose", "object_twist")}

    def restore(self, **states: np.ndarray) -> None:
        """Back to a snapshot."""
        self.reset(np.arange(len(self.assigned)), *self.assigned.T, **states)

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        kind = torch.long if array.dtype.kind == "i" else self.bundle.dtype
        return torch.as_tensor(array).to(device=self.bundle.device, dtype=kind)


def main(arguments: list[str]) -> None:
    """Serve on stdin and stdout."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what Isaac Gym prints must not come between the messages
    device = int(arguments[1]) if len(arguments) > 1 else 0
    wire.serve(sys.stdin.buffer, output, WorkerWorlds(arguments[0], device))


if __name__ == "__main__":
    main(sys.argv[1:])
