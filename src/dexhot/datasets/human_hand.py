"""A simple kinematic human hand: forward kinematics from a wrist pose and 15 angles, and inverse kinematics of the
fingertips.

Lengths are of an average adult's right hand. In the wrist frame (x to the middle knuckle, z dorsal, y toward the thumb)
a finger abducts about z, then flexes toward -z at MCP, PIP and DIP, the DIP by two thirds of the PIP (Rijpkema
and Girard 1991). The thumb's metacarpal points by azimuth and elevation, its two other joints flex by equal angles.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from dexhot.data.keypoints import TIPS
from dexhot.geometry.poses import compose, make_pose, transform
from dexhot.geometry.rotations import rotvec_to_quat

BASES = np.array(
    [[0.022, 0.028, -0.012], [0.088, 0.024, 0.0], [0.092, 0.0, 0.0], [0.086, -0.021, 0.0], [0.076, -0.040, 0.0]]
)  # (5, 3) thumb CMC and the knuckles, wrist frame, m
BONES = np.array(
    [[0.046, 0.034, 0.028], [0.046, 0.027, 0.024], [0.050, 0.031, 0.026], [0.047, 0.029, 0.026], [0.037, 0.021, 0.022]]
)  # (5, 3) m, from the base outward
DIP_PER_PIP = 2.0 / 3.0

# (15,) three angles per digit, rad: thumb azimuth, elevation, flexion; fingers abduction, MCP, PIP
LOWER = np.array([-0.6, -0.2, -0.3] + [-0.35, -0.3, 0.0] * 4)
UPPER = np.array([1.2, 1.6, 1.2] + [0.35, 1.6, 1.9] * 4)
RELAXED = np.array([0.35, 0.7, 0.15] + [0.0, 0.45, 0.45] * 3 + [-0.05, 0.6, 0.6])


def keypoints(wrist_pose: ArrayLike, angles: ArrayLike) -> np.ndarray:
    """Wrist poses (..., 7) and angles (..., 15) -> keypoints (..., 21, 3), m."""
    given = np.asarray(angles, float)
    batch, joints = given.shape[:-1], given.reshape(-1, 5, 3)
    points = np.zeros((len(joints), 21, 3))
    for digit in range(5):
        first, second, third = joints[:, digit].T
        # the thumb flexes about its local -z, a finger about its local y
        axis, bends = (
            ([0.0, 0.0, -1.0], (third, third)) if digit == 0 else ([0.0, 1.0, 0.0], (third, DIP_PER_PIP * third))
        )
        turn = Rotation.from_euler("ZY", np.stack([first, second], -1))
        point = np.repeat(BASES[None, digit], len(joints), axis=0)
        points[:, 1 + 4 * digit] = point
        for bone in range(3):
            if bone:
                turn = turn * Rotation.from_rotvec(bends[bone - 1][:, None] * axis)
            point = point + turn.apply([BONES[digit, bone], 0.0, 0.0])
            points[:, 2 + 4 * digit + bone] = point
    points = points.reshape(*batch, 21, 3)
    return transform(np.asarray(wrist_pose, float)[..., None, :], points)


def reach(
    targets: dict[int, np.ndarray], wrist_pose: ArrayLike, angles: ArrayLike, wrist_freedom: float = 0.0
) -> tuple[np.ndarray, np.ndarray, float]:
    """Wrist pose (7,) and angles (15,), near the ones given, that put fingertips on `targets` {digit 0-4: (3,) m}.

    `wrist_freedom` 0 fixes the wrist; else it is the distance (m) that costs as much as 1 rad of a joint.
    Returns (pose, angles, largest fingertip error in m); digits without a target do not move.
    """
    digits, near = sorted(targets), np.asarray(angles, float)
    goal = np.array([targets[d] for d in digits])
    moving = np.concatenate([np.arange(3 * d, 3 * d + 3) for d in digits])

    def unpack(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # (..., n)
        full = np.broadcast_to(near, (*x.shape[:-1], 15)).copy()
        full[..., moving] = x[..., 6:]
        if not wrist_freedom:
            return np.asarray(wrist_pose, float), full
        return compose(wrist_pose, make_pose(wrist_freedom * x[..., :3], rotvec_to_quat(x[..., 3:6]))), full

    def misses(x: np.ndarray) -> np.ndarray:
        missed: np.ndarray = keypoints(*unpack(x))[..., [TIPS[d] for d in digits], :] - goal
        return missed

    def residual(x: np.ndarray) -> np.ndarray:
        return np.concatenate(
            [1e3 * misses(x).reshape(*x.shape[:-1], -1), 0.3 * x[..., :6], 0.1 * (x[..., 6:] - near[moving])], axis=-1
        )

    def jacobian(x: np.ndarray) -> np.ndarray:  # finite differences, in one batched call
        step = 1e-6
        slope: np.ndarray = (residual(x + step * np.eye(len(x))) - residual(x)).T / step
        return slope

    lower = np.concatenate([np.full(6, -1.5), LOWER[moving]])
    upper = np.concatenate([np.full(6, 1.5), UPPER[moving]])
    start = np.concatenate([np.zeros(6), np.clip(near[moving], LOWER[moving] + 1e-6, UPPER[moving] - 1e-6)])
    best = least_squares(residual, start, jacobian, bounds=(lower, upper), max_nfev=200).x
    return *unpack(best), float(np.linalg.norm(misses(best), axis=-1).max())
