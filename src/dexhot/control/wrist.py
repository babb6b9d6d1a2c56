"""Wrist joints tx ty tz rx ry rz <-> world_T_palm, one frame at a time (`Reference` says what the joints mean)."""

import numpy as np

from dexhot.geometry import single
from dexhot.geometry.rotations import quat_rotate


def wrist_to_palm(wrist: np.ndarray, base_quat: np.ndarray) -> np.ndarray:
    """(6,) joints -> (7,) world_T_palm: position (tx, ty, tz), rotation base_quat * Rx Ry Rz."""
    return np.concatenate([wrist[:3], single.multiply(base_quat, single.from_xyz_angles(wrist[3:6]))])


def palm_to_wrist(world_T_palm: np.ndarray, base_quat: np.ndarray, near: np.ndarray) -> np.ndarray:
    """(7,) -> (6,) joints, the angles unwrapped to within pi of near[3:6]."""
    relative = single.multiply(single.conjugate(base_quat), world_T_palm[3:])
    return np.concatenate([world_T_palm[:3], single.to_xyz_angles(relative, near[3:6])])


def wrist_twist(wrist: np.ndarray, rates: np.ndarray, base_quat: np.ndarray) -> np.ndarray:
    """(..., 6) the palm's velocity in m/s and angular velocity in rad/s, world axes, of joints and rates (..., 6)."""
    rx, ry = wrist[..., 3], wrist[..., 4]
    x, y, z = rates[..., 3], rates[..., 4], rates[..., 5]
    turn = np.stack(  # about the axes that Rx and Ry have turned
        [
            x + np.sin(ry) * z,
            np.cos(rx) * y - np.sin(rx) * np.cos(ry) * z,
            np.sin(rx) * y + np.cos(rx) * np.cos(ry) * z,
        ],
        axis=-1,
    )
    return np.concatenate([rates[..., :3], quat_rotate(base_quat, turn)], axis=-1)
