"""Unit quaternions (w, x, y, z), rotation vectors and intrinsic XYZ angles on arrays of any batch shape.

ROS and SciPy store quaternions as (x, y, z, w); `to_xyzw` and `from_xyzw` are the only places that convert.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.transform import Rotation, Slerp


def to_xyzw(q: ArrayLike) -> np.ndarray:
    """(..., 4) wxyz -> (..., 4) xyzw."""
    return np.roll(np.asarray(q, float), -1, axis=-1)


def from_xyzw(q: ArrayLike) -> np.ndarray:
    """(..., 4) xyzw -> (..., 4) wxyz."""
    return np.roll(np.asarray(q, float), 1, axis=-1)


def quat_to_matrix(q: ArrayLike) -> np.ndarray:
    """(..., 4) wxyz -> (..., 3, 3)."""
    q = np.asarray(q, float)
    matrix: np.ndarray = Rotation.from_quat(to_xyzw(q).reshape(-1, 4)).as_matrix().reshape(*q.shape[:-1], 3, 3)
    return matrix


def matrix_to_quat(R: ArrayLike) -> np.ndarray:
    """(..., 3, 3) -> (..., 4) wxyz with w >= 0."""
    R = np.asarray(R, float)
    q = from_xyzw(Rotation.from_matrix(R.reshape(-1, 3, 3)).as_quat())
    return np.where(q[:, :1] < 0, -q, q).reshape(*R.shape[:-2], 4)


def quat_multiply(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """Hamilton product a * b, (..., 4) wxyz."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    w1, x1, y1, z1 = a[..., 0], a[..., 1], a[..., 2], a[..., 3]
    w2, x2, y2, z2 = b[..., 0], b[..., 1], b[..., 2], b[..., 3]
    product: np.ndarray = np.empty((*np.broadcast_shapes(w1.shape, w2.shape), 4))
    product[..., 0] = w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2
    product[..., 1] = w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2
    product[..., 2] = w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2
    product[..., 3] = w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2
    return product


def quat_conjugate(q: ArrayLike) -> np.ndarray:
    """(..., 4) wxyz -> its inverse (unit quaternions)."""
    return np.asarray(q, float) * (1.0, -1.0, -1.0, -1.0)


def quat_rotate(q: ArrayLike, v: ArrayLike) -> np.ndarray:
    """Rotate vectors v (..., 3) by q (..., 4)."""
    q, v = np.asarray(q, float), np.asarray(v, float)
    t = 2.0 * _cross(q[..., 1:], v)
    rotated: np.ndarray = v + q[..., :1] * t + _cross(q[..., 1:], t)
    return rotated


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """np.cross of (..., 3), bit for bit, in half its time for few vectors."""
    product = np.empty(np.broadcast_shapes(a.shape, b.shape))
    product[..., 0] = a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1]
    product[..., 1] = a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2]
    product[..., 2] = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return product


def quat_angle(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """Geodesic angle between a and b in [0, pi], rad. Well conditioned near 0 and pi."""
    d = quat_multiply(quat_conjugate(a), b)
    angle: np.ndarray = 2.0 * np.arctan2(np.linalg.norm(d[..., 1:], axis=-1), np.abs(d[..., 0]))
    return angle


def rotation_error(wanted: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """(N, 3) rotation vectors in the world, rad, that turn `actual` (N, 3, 3) into `wanted`."""
    R = wanted @ actual.transpose(0, 2, 1)
    sine = 0.5 * np.stack([R[:, 2, 1] - R[:, 1, 2], R[:, 0, 2] - R[:, 2, 0], R[:, 1, 0] - R[:, 0, 1]], -1)
    norm = np.linalg.norm(sine, axis=1)
    angle = np.arctan2(norm, 0.5 * (np.trace(R, axis1=1, axis2=2) - 1.0))
    turn: np.ndarray = sine * np.where(norm > 1e-9, angle / np.maximum(norm, 1e-9), 1.0)[:, None]
    return turn


def quat_to_rotvec(q: ArrayLike) -> np.ndarray:
    """(..., 4) wxyz -> (..., 3) rotation vector, rad."""
    q = np.asarray(q, float)
    rotvec: np.ndarray = Rotation.from_quat(to_xyzw(q).reshape(-1, 4)).as_rotvec().reshape(*q.shape[:-1], 3)
    return rotvec


def rotvec_to_quat(v: ArrayLike) -> np.ndarray:
    """(..., 3) rotation vector, rad -> (..., 4) wxyz."""
    v = np.asarray(v, float)
    return from_xyzw(Rotation.from_rotvec(v.reshape(-1, 3)).as_quat()).reshape(*v.shape[:-1], 4)


def quat_to_xyz_angles(q: ArrayLike) -> np.ndarray:
    """(T, 4) wxyz -> (T, 3) intrinsic XYZ angles (R = Rx Ry Rz), rad, unwrapped along T."""
    return np.unwrap(Rotation.from_quat(to_xyzw(q)).as_euler("XYZ"), axis=0)


def xyz_angles_to_quat(angles: ArrayLike) -> np.ndarray:
    """(..., 3) intrinsic XYZ angles -> (..., 4) wxyz."""
    angles = np.asarray(angles, float)
    return from_xyzw(Rotation.from_euler("XYZ", angles.reshape(-1, 3)).as_quat()).reshape(*angles.shape[:-1], 4)


def slerp(times: ArrayLike, q: ArrayLike, new_times: ArrayLike) -> np.ndarray:
    """Interpolate wxyz quaternions q (T, 4), stamped `times` (T,), at `new_times` (N,) -> (N, 4)."""
    return from_xyzw(Slerp(times, Rotation.from_quat(to_xyzw(q)))(new_times).as_quat())


def mean_quat(q: ArrayLike) -> np.ndarray:
    """Chordal mean of q (T, 4) wxyz -> (4,)."""
    return from_xyzw(Rotation.from_quat(to_xyzw(q)).mean().as_quat())


def matrix_to_6d(R: ArrayLike) -> np.ndarray:
    """(..., 3, 3) -> (..., 6): its first two columns, one after the other (Zhou et al. 2019)."""
    R = np.asarray(R, float)
    return np.concatenate([R[..., 0], R[..., 1]], axis=-1)


def matrix_from_6d(d: ArrayLike) -> np.ndarray:
    """(..., 6) of any two independent columns -> (..., 3, 3), by Gram-Schmidt."""
    d = np.asarray(d, float)
    x = d[..., :3] / np.linalg.norm(d[..., :3], axis=-1, keepdims=True)
    y = d[..., 3:] - x * (x * d[..., 3:]).sum(-1, keepdims=True)
    y = y / np.linalg.norm(y, axis=-1, keepdims=True)
    return np.stack([x, y, np.cross(x, y)], axis=-1)


def golden_spiral(count: int) -> tuple[np.ndarray, np.ndarray]:
    """(count,) polar angle and azimuth, rad, of directions that lie evenly over the sphere."""
    k = np.arange(count) + 0.5
    return np.arccos(1 - 2 * k / count), np.pi * (1 + 5**0.5) * k
