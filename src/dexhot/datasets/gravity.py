"""The vertical of recordings whose gravity nobody wrote down, from objects that stand on a table.

An object at rest lies in one of its resting poses, each of which says where up is. Recordings of one session share
their camera, so the right direction is the one on which most of their objects agree.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dexhot.geometry.poses import compose, make_pose
from dexhot.geometry.rotations import matrix_to_quat, mean_quat, quat_conjugate, quat_multiply, quat_rotate

STILL, TURNED = 0.004, np.radians(3.0)  # m, rad from the first frame: an object at rest
SHORTEST_REST = 5  # frames
AGREE = np.radians(10.0)
ROUNDS = 5
UP = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class Vertical:
    """Up in the camera's frame, and how well the objects agree on it."""

    up: np.ndarray  # (3,) unit vector
    off_deg: np.ndarray  # (N,) of each recording's nearest resting pose; inf without one
    agreeing: np.ndarray  # (N,) bool

    @property
    def spread_deg(self) -> float:
        """Median angle between one recording's own estimate and the common one; NaN where none agrees."""
        return float(np.median(self.off_deg[self.agreeing])) if self.agreeing.any() else float("nan")

    @property
    def error_deg(self) -> float:
        """Standard error of the common direction: the root mean square angle over the square root of their number."""
        used = self.off_deg[self.agreeing]
        return float(np.sqrt((used**2).mean() / len(used))) if len(used) else float("nan")


def resting_pose(object_pose: np.ndarray) -> np.ndarray | None:
    """Mean pose (7,) of the frames at rest at the start of poses (T, 7); None if the object moves at once."""
    far = np.linalg.norm(object_pose[:, :3] - object_pose[0, :3], axis=1) > STILL
    turn = quat_multiply(quat_conjugate(object_pose[0, 3:]), object_pose[:, 3:])
    far |= 2 * np.arccos(np.clip(np.abs(turn[:, 0]), 0.0, 1.0)) > TURNED
    rest = object_pose[: int(far.argmax()) if far.any() else len(far)]
    if len(rest) < SHORTEST_REST:
        return None
    return make_pose(rest[:, :3].mean(axis=0), mean_quat(rest[:, 3:]))


def ups(rest: np.ndarray | None, resting_poses: np.ndarray) -> np.ndarray:
    """(P, 3) where up is if the object at `rest` (7,) lies in each of its resting poses (P, 7)."""
    if rest is None or not len(resting_poses):
        return np.zeros((0, 3))
    directions: np.ndarray = quat_rotate(rest[3:], quat_rotate(quat_conjugate(resting_poses[:, 3:]), UP))
    return directions


def carried(object_pose: np.ndarray) -> np.ndarray:
    """(3,) m, mean displacement from the first of poses (T, 7): objects are lifted, so their sum points up."""
    moved: np.ndarray = (object_pose[:, :3] - object_pose[0, :3]).mean(axis=0)
    return moved


def common_up(candidates: Sequence[np.ndarray], carried: np.ndarray) -> Vertical:
    """The direction on which most recordings agree, from each one's candidates (P, 3) and where its object was
    `carried` (N, 3): a box rests on either of two opposite faces."""
    every = np.concatenate([*candidates, np.zeros((0, 3))])
    every = every[every @ carried.sum(axis=0) > 0.0]
    if not len(every):
        count = len(candidates)
        return Vertical(UP, np.full(count, np.inf), np.zeros(count, bool))
    support = [np.sum(np.minimum(_nearest(candidates, up)[0] / AGREE, 1.0)) for up in every]
    up = every[int(np.argmin(support))]
    for _ in range(ROUNDS):
        off, nearest = _nearest(candidates, up)
        mean = nearest[off < AGREE].mean(axis=0)
        up = mean / np.linalg.norm(mean)
    off, _ = _nearest(candidates, up)
    return Vertical(up, np.degrees(off), off < AGREE)


def _nearest(candidates: Sequence[np.ndarray], up: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each recording the angle (N,) rad to its nearest candidate, and that one (N, 3)."""
    off, nearest = np.full(len(candidates), np.inf), np.zeros((len(candidates), 3))
    for k, some in enumerate(candidates):
        if len(some):
            angles = np.arccos(np.clip(some @ up, -1.0, 1.0))
            off[k], nearest[k] = angles.min(), some[angles.argmin()]
    return off, nearest


def world_from(up: np.ndarray, place: np.ndarray) -> np.ndarray:
    """(7,) world_T_source: z along `up` (3,), x near the source's x; `place` (3,) m becomes the origin."""
    x = np.eye(3)[int(np.argmin(np.abs(up)))] if abs(up[0]) > 0.9 else np.array([1.0, 0.0, 0.0])
    y = np.cross(up, x)
    y /= np.linalg.norm(y)
    turn = make_pose(np.zeros(3), matrix_to_quat(np.stack([np.cross(y, up), y, up])))
    return compose(turn, make_pose(-np.asarray(place, float), [1.0, 0.0, 0.0, 0.0]))
