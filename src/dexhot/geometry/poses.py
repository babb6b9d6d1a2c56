"""Rigid poses as (..., 7) arrays: position x y z in metres, then the quaternion w x y z. `a_T_b` maps b to a."""

import numpy as np
from numpy.typing import ArrayLike

from dexhot.geometry.rotations import matrix_to_quat, quat_conjugate, quat_multiply, quat_rotate, quat_to_matrix

IDENTITY = np.array([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])


def make_pose(position: ArrayLike, quat: ArrayLike) -> np.ndarray:
    """(..., 3) and (..., 4) wxyz -> (..., 7)."""
    position, quat = np.asarray(position, float), np.asarray(quat, float)
    batch = np.broadcast_shapes(position.shape[:-1], quat.shape[:-1])
    return np.concatenate([np.broadcast_to(position, (*batch, 3)), np.broadcast_to(quat, (*batch, 4))], axis=-1)


def compose(a_T_b: ArrayLike, b_T_c: ArrayLike) -> np.ndarray:
    """a_T_c = a_T_b b_T_c."""
    a_T_b, b_T_c = np.asarray(a_T_b, float), np.asarray(b_T_c, float)
    return make_pose(transform(a_T_b, b_T_c[..., :3]), quat_multiply(a_T_b[..., 3:], b_T_c[..., 3:]))


def inverse(a_T_b: ArrayLike) -> np.ndarray:
    """b_T_a."""
    a_T_b = np.asarray(a_T_b, float)
    q = quat_conjugate(a_T_b[..., 3:])
    return make_pose(-quat_rotate(q, a_T_b[..., :3]), q)


def transform(a_T_b: ArrayLike, points_b: ArrayLike) -> np.ndarray:
    """Points (..., 3) in b -> the same points in a."""
    a_T_b = np.asarray(a_T_b, float)
    points: np.ndarray = quat_rotate(a_T_b[..., 3:], points_b) + a_T_b[..., :3]
    return points


def lowest(a_T_b: ArrayLike, points_b: ArrayLike) -> np.ndarray:
    """Smallest z (...) in a of points (N, 3) in b, at poses (..., 7)."""
    heights: np.ndarray = transform(np.asarray(a_T_b, float)[..., None, :], points_b)[..., 2].min(axis=-1)
    return heights


def pose_to_matrix(a_T_b: ArrayLike) -> np.ndarray:
    """(..., 7) -> homogeneous (..., 4, 4)."""
    a_T_b = np.asarray(a_T_b, float)
    out = np.zeros((*a_T_b.shape[:-1], 4, 4))
    out[..., :3, :3] = quat_to_matrix(a_T_b[..., 3:])
    out[..., :3, 3] = a_T_b[..., :3]
    out[..., 3, 3] = 1.0
    return out


def matrix_to_pose(M: ArrayLike) -> np.ndarray:
    """Homogeneous (..., 4, 4) -> (..., 7)."""
    M = np.asarray(M, float)
    return make_pose(M[..., :3, 3], matrix_to_quat(M[..., :3, :3]))
