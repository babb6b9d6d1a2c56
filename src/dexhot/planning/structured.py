"""Structured plans: a whole grasp corrected by a few numbers, in place of free knots.

A plan for a hand of n finger joints is 6 + 2n numbers: a shift (m) and a turn (rad) of the palm, carried with the
reference's object; n finger offsets (rad) from the grasp on; n more that come in until the middle of the motion. Shift
and turn are in the palm's frame at the grasp, so that a plan of one clip means the same on another. Millimetres of
contact decide a grasp, and physics alone tells them: these are the directions in which they are cheap to find.
"""

from collections.abc import Sequence

import numpy as np

from dexhot.control.sampling import base_actions
from dexhot.data.types import Reference
from dexhot.geometry.rotations import (
    quat_conjugate,
    quat_multiply,
    quat_rotate,
    rotvec_to_quat,
)
from dexhot.robots.kinematics.wrist import moved_wrists, palm_poses
from dexhot.simulation.physics import Physics

SIGMA_SHIFT, SIGMA_TURN, SIGMA_EARLY, SIGMA_LATE = 0.006, 0.06, 0.12, 0.10  # m, rad, rad, rad
# Frames of the person's time, counted from the grasp's start or end.
PALM_FROM, PALM_RISE, PALM_FALL = -44, 26, 30
FINGERS_FROM, FINGERS_RISE, FINGERS_FALL = -18, 14, 10
LATE_FROM, LATE_RISE = 10, 20


def plan_sigma(fingers: int) -> np.ndarray:
    """(6 + 2n,) by how much plans of n finger joints differ before anything is known: the unit of their size."""
    return np.r_[[SIGMA_SHIFT] * 3, [SIGMA_TURN] * 3, [SIGMA_EARLY] * fingers, [SIGMA_LATE] * fingers]


class StructuredPlans:
    """Plans of one reference as position targets."""

    def __init__(self, reference: Reference, physics: Physics, center: Sequence[float] | np.ndarray = (0.0, 0.0, 0.0)):
        """center: the object's centre of symmetry in its mesh frame, about which the palm turns."""
        self.reference, self.fingers = reference, reference.q.shape[1] - 6
        self.base = base_actions(reference, physics)
        self.sigma = plan_sigma(self.fingers)
        following = np.minimum(np.arange(1, len(self.base) + 1), len(self.base) - 1)  # action t leads to frame t + 1
        self.object_quat = reference.object_pose[following, 3:]
        self.about = reference.object_pose[following, :3] + quat_rotate(self.object_quat, np.asarray(center, float))
        self.palm_weight, self.finger_weight, self.late_weight = _weights(reference)
        self.object_R_palm = _object_R_palm(reference)

    @property
    def size(self) -> int:
        """Numbers of a plan."""
        return len(self.sigma)

    def targets(self, plans: np.ndarray) -> np.ndarray:
        """Plans (N, 6 + 2n) -> position targets (N, T, 6+n). A plan of zeros is the bare reference to the last bit:
        contact is decided by less than a rounding error."""
        plans, n = np.atleast_2d(plans), self.fingers
        to_world = quat_multiply(self.object_quat, self.object_R_palm)  # (T, 4)
        shift, turn = (
            quat_rotate(to_world, plans[:, None, part] * self.palm_weight[:, None])
            for part in (slice(0, 3), slice(3, 6))
        )
        base = np.broadcast_to(self.base, (len(plans), *self.base.shape))
        wrist = moved_wrists(base[..., :6], self.reference.base_quat, self.about, rotvec_to_quat(turn), shift)
        offsets = plans[:, None, 6 : 6 + n] + plans[:, None, 6 + n :] * self.late_weight[:, None]
        targets = np.concatenate([wrist, base[..., 6:] + offsets * self.finger_weight[:, None]], axis=-1)
        targets[~plans.any(axis=1)] = self.base
        return targets

    def size_cost(self, plans: np.ndarray, price: float) -> np.ndarray:
        """(N,) `price` per sigma^2 of plans (N, 6 + 2n): of two that do the same, the smaller one carries over."""
        cost: np.ndarray = price * np.square(plans / self.sigma).sum(axis=-1)
        return cost


def _weights(reference: Reference) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(T,) each, 0 to 1: of the palm's correction, of the fingers', and of what comes in later. In the person's time,
    however slowly the reference shows it."""
    shown = reference.clip_frames if len(reference.clip_frames) else np.arange(float(len(reference.q)))
    t = np.append(shown[1:], shown[-1] + 1)
    start, end = shown[reference.grasp_start], shown[reference.grasp_end]

    def rise(first: float, frames: float) -> np.ndarray:
        return np.clip((t - start - first) / frames, 0.0, 1.0)

    def fall(frames: float) -> np.ndarray:
        return np.clip(1.0 - (t - end) / frames, 0.0, 1.0)

    late = rise(LATE_FROM, max(LATE_RISE, 0.5 * (end - start)))
    return rise(PALM_FROM, PALM_RISE) * fall(PALM_FALL), rise(FINGERS_FROM, FINGERS_RISE) * fall(FINGERS_FALL), late


def _object_R_palm(reference: Reference) -> np.ndarray:
    """(4,) the palm's rotation in the object's frame when the object begins to move."""
    g = reference.grasp_start
    palm = palm_poses(reference.base_quat, reference.q[g])[3:]
    return quat_multiply(quat_conjugate(reference.object_pose[g, 3:]), palm)
