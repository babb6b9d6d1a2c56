"""The hand vector's wrist joints tx ty tz rx ry rz as palm poses (`Reference` says what the joints mean)."""

import numpy as np

from dexhot.geometry.poses import make_pose
from dexhot.geometry.rotations import quat_multiply, xyz_angles_to_quat


def palm_poses(base_quat: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Hand vectors (..., 6+n) -> world_T_palm (..., 7): position (tx, ty, tz), rotation base_quat * Rx Ry Rz."""
    return make_pose(q[..., :3], quat_multiply(base_quat, xyz_angles_to_quat(q[..., 3:6])))
