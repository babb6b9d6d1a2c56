"""From the operator's palm to the robot's: relative motion, the workspace, and limits of speed."""

from dataclasses import dataclass

import numpy as np

from dexhot.data.types import RATE
from dexhot.geometry import single

# world_R_camera of a camera before the operator (it sees the palm come nearer as the robot reaches out), one behind
# them or on their head, and one above their table whose images' top is away from them. World: x forward, y left, z up.
VIEWS = {
    "front": np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]),
    "behind": np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]),
    "above": np.array([[0.0, -1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, -1.0]]),
}


RECORDED = "recorded"  # the rotation is a recording's own


@dataclass(frozen=True)
class Workspace:
    """A box for the palm, m, world."""

    lower: np.ndarray  # (3,)
    upper: np.ndarray  # (3,)

    @classmethod
    def around(cls, palms: np.ndarray, margin: float, floor: float = 0.02) -> "Workspace":
        """The box around palm positions (T, 3) with a margin, but only `floor` below the lowest: there is the table."""
        lower, upper = palms.min(axis=0) - margin, palms.max(axis=0) + margin
        lower[2] = palms[:, 2].min() - floor
        return cls(lower, upper)

    def inside(self, position: np.ndarray) -> np.ndarray:
        """The nearest position in the box."""
        nearest: np.ndarray = np.minimum(np.maximum(position, self.lower), self.upper)
        return nearest


class RelativeMotion:
    """Maps the operator's palm (7,), in the camera's frame, to the robot's in the world: both where the clutch engaged,
    and the motion since then, turned by the view and scaled. Rotations are not scaled."""

    def __init__(self, world_R_camera: np.ndarray, scale: float, workspace: Workspace):
        """world_R_camera (3, 3): one of VIEWS, or a measured one."""
        self.world_R_camera, self.scale, self.workspace = world_R_camera, scale, workspace
        self.camera: np.ndarray | None = None

    def engage(self, operator: np.ndarray, robot: np.ndarray) -> None:
        """The poses (7,) where the clutch engages."""
        self.camera, self.robot = operator.copy(), robot.copy()

    def __call__(self, operator: np.ndarray) -> np.ndarray:
        """(7,) world_T_palm of the robot."""
        assert self.camera is not None, "engage first"
        R = self.world_R_camera
        shift = self.scale * (R @ (operator[:3] - self.camera[:3]))
        turn = R @ single.matrix(operator[3:]) @ single.matrix(self.camera[3:]).T @ R.T
        quat = single.multiply(single.from_matrix(turn), self.robot[3:])
        return np.concatenate([self.workspace.inside(self.robot[:3] + shift), quat])


class RateLimit:
    """Follows a goal (6+n,) with limited speed per joint, so that no jump of the goal reaches the shaper."""

    def __init__(self, wrist: float, turn: float, fingers: float, count: int):
        """m/s, rad/s, rad/s; `count` fingers' joints."""
        self.step_limit = np.concatenate([np.full(3, wrist), np.full(3, turn), np.full(count, fingers)]) / RATE

    def __call__(self, now: np.ndarray, goal: np.ndarray) -> np.ndarray:
        """The next value; the wrist's position and its angles are slowed as vectors, so that their path is straight."""
        step, near = goal - now, np.abs(goal - now) <= self.step_limit
        for part in (slice(0, 3), slice(3, 6)):
            length, most = float(np.linalg.norm(step[part])), float(self.step_limit[part][0])
            near[part] = length <= most
            if length > most:
                step[part] *= most / length
        step[6:] = np.clip(step[6:], -self.step_limit[6:], self.step_limit[6:])
        out: np.ndarray = np.where(near, goal, now + step)  # the goal itself where it is within reach
        return out
