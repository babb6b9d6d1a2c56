"""Worlds of clips in which an agent corrects what a user commands (eq. 2): what such tasks of the learners share."""

from collections.abc import Sequence

import numpy as np

from dexhot.control.assistance import correction_bound
from dexhot.control.known_motion import turned
from dexhot.data.types import RATE
from dexhot_train.task.clips import ClipTable, TaskClip
from dexhot_train.task.simulators import Start, ThreadedMujoco


class AssistedWorlds:
    """`size` worlds in the nominal physics, world n in frame `frame[n]` of clip `clip[n]`, the object `away[n]` m from
    its path there."""

    def __init__(self, clips: Sequence[TaskClip], size: int, threads: int):
        self.table, self.size, self.hand = ClipTable(clips), size, clips[0].setup.hand
        self.bound = correction_bound(self.hand)  # (6+n,) m and rad
        self.simulator = ThreadedMujoco(clips, size, [[None]] * len(clips), threads)
        self.action_size = self.table.joints
        self.clip, self.frame, self.episode = np.zeros(size, int), np.zeros(size, int), np.zeros(size, int)
        self.away = np.zeros(size)

    def user(self) -> np.ndarray:
        """The user's present input (N, 6+n), m and rad."""
        raise NotImplementedError

    def palm(self) -> np.ndarray:
        """(N, 4) world rotation of the palm in whose frame the wrist's position is corrected."""
        raise NotImplementedError

    def corrected(self, actions: np.ndarray) -> np.ndarray:
        """Targets (N, 6+n): the user input minus the agent's correction, actions (N, 6+n) of -1 to 1 in units of the
        bound, within the bound in every joint."""
        correction = turned(self.bound * np.clip(actions, -1.0, 1.0), self.palm())
        targets: np.ndarray = self.user() - np.clip(correction, -self.bound, self.bound)
        return targets

    def advance(self, targets: np.ndarray) -> np.ndarray:
        """Simulate one control step with position targets (N, 6+n), without beginning anew; returns them."""
        reading = self.simulator.step(np.repeat(targets[:, None], self.simulator.substeps, axis=1))
        self.frame += 1
        wanted = self.table.object_pose[self.clip, self.frames()]
        self.away = np.linalg.norm(reading.object_pose[:, :3] - wanted[:, :3], axis=1)
        return targets

    def put_at_start(self, rows: np.ndarray) -> None:
        """Worlds `rows` at the start of their clips, the hand as fast as it is there."""
        if not len(rows):
            return
        clip = self.clip[rows]
        q, pose = self.table.q[clip, 0], self.table.object_pose[clip, 0]
        start = Start(q, (self.table.q[clip, 1] - q) * RATE, pose, np.zeros((len(rows), 6)))
        self.simulator.reset(rows, clip, np.zeros(len(rows), int), start)
        self.frame[rows], self.away[rows] = 0, 0.0

    def frames(self) -> np.ndarray:
        """(N,) frames, the last one behind a clip's end."""
        frames: np.ndarray = np.minimum(self.frame, self.last())
        return frames

    def last(self) -> np.ndarray:
        """(N,) the last frame of each world's clip."""
        return self.table.length[self.clip] - 1
