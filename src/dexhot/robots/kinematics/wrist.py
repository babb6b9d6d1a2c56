"""The floating wrist: joints tx ty tz rx ry rz <-> world_T_palm, and the MuJoCo bodies with these joints."""

from typing import Any

import mujoco
import numpy as np
from numpy.typing import ArrayLike

from dexhot.data.types import WRIST_JOINTS
from dexhot.geometry import single
from dexhot.geometry.poses import make_pose
from dexhot.geometry.rotations import (
    quat_conjugate,
    quat_multiply,
    quat_rotate,
    quat_to_xyz_angles,
    xyz_angles_to_quat,
)

WRIST_BODIES = ("wrist_position", "wrist_rotation")


def palm_poses(base_quat: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Hand vectors (..., 6+n) -> world_T_palm (..., 7): position (tx, ty, tz), rotation base_quat * Rx Ry Rz."""
    return make_pose(q[..., :3], quat_multiply(base_quat, xyz_angles_to_quat(q[..., 3:6])))


def wrist_angles(base_quat: np.ndarray, palm_quat: np.ndarray) -> np.ndarray:
    """World rotations of the palm (T, 4) -> wrist angles rx ry rz (T, 3), unwrapped along T: inverts `palm_poses`."""
    return quat_to_xyz_angles(quat_multiply(quat_conjugate(base_quat), palm_quat))


def wrist_to_palm(wrist: np.ndarray, base_quat: np.ndarray) -> np.ndarray:
    """(6,) joints -> (7,) world_T_palm: `palm_poses` for a single frame of the 60 Hz loop."""
    return np.concatenate([wrist[:3], single.multiply(base_quat, single.from_xyz_angles(wrist[3:6]))])


def palm_to_wrist(world_T_palm: np.ndarray, base_quat: np.ndarray, near: np.ndarray) -> np.ndarray:
    """(7,) -> (6,) joints, the angles unwrapped to within pi of near[3:6]."""
    relative = single.multiply(single.conjugate(base_quat), world_T_palm[3:])
    return np.concatenate([world_T_palm[:3], single.to_xyz_angles(relative, near[3:6])])


def moved_wrists(
    wrist: np.ndarray, base_quat: np.ndarray, about: np.ndarray, turn: np.ndarray, shift: np.ndarray
) -> np.ndarray:
    """Wrist joints (..., 6) of palms turned by quaternions `turn` (..., 4) about points `about` (..., 3) and then
    shifted by `shift` (..., 3), in the world; the angles stay within pi of the old ones."""
    palm = palm_poses(base_quat, wrist)
    position = about + quat_rotate(turn, palm[..., :3] - about) + shift
    angles = quat_to_xyz_angles(quat_multiply(quat_conjugate(base_quat), quat_multiply(turn, palm[..., 3:])))
    change = np.mod(angles - wrist[..., 3:] + np.pi, 2 * np.pi) - np.pi
    return np.concatenate([position, wrist[..., 3:] + change], axis=-1)


def wrist_twist(wrist: np.ndarray, rates: np.ndarray, world_R_base: np.ndarray) -> np.ndarray:
    """Palm twist (..., 6), m/s and rad/s, world axes, from joints and rates (..., 6)."""
    x, y, z = rates[..., 3], rates[..., 4], rates[..., 5]
    sines, cosines = np.sin(wrist[..., 3:5]), np.cos(wrist[..., 3:5])
    sin_x, sin_y, cos_x, cos_y = sines[..., 0], sines[..., 1], cosines[..., 0], cosines[..., 1]
    twist = rates.copy()
    twist[..., 3] = x + sin_y * z  # about the axes rotated by Rx and Ry
    twist[..., 4] = cos_x * y - sin_x * cos_y * z
    twist[..., 5] = sin_x * y + cos_x * cos_y * z
    twist[..., 3:] = twist[..., 3:] @ world_R_base.T
    return twist


def add_wrist(
    spec: mujoco.MjSpec, base_quat: ArrayLike, prefix: str = "", mass: float = 0.01, inertia: float = 1e-5
) -> mujoco.MjsBody:
    """Slides tx ty tz along the world's axes, then a body turned by `base_quat` (4,) with hinges rx ry rz; returns it.
    Each of the two bodies has `mass` (kg) and `inertia` (kg m2) and no gravity."""
    light: dict[str, Any] = {"mass": mass, "inertia": [inertia] * 3, "explicitinertial": True, "gravcomp": 1.0}
    position, rotation = (prefix + name for name in WRIST_BODIES)
    carriage = spec.worldbody.add_body(name=position, **light)
    turn = carriage.add_body(name=rotation, quat=base_quat, **light)
    for k, name in enumerate(WRIST_JOINTS):
        body, kind = (carriage, mujoco.mjtJoint.mjJNT_SLIDE) if k < 3 else (turn, mujoco.mjtJoint.mjJNT_HINGE)
        body.add_joint(name=prefix + name, type=kind, axis=np.eye(3)[k % 3])
    return turn
