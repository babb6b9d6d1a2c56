"""Rotations of single frames, for the 60 Hz loops: `rotations` in plain floats, without the call overhead of NumPy and
SciPy.

Quaternions are (w, x, y, z) sequences of four floats and tuples on return; vectors are (3,).
"""

from collections.abc import Sequence
from math import asin, atan2, cos, sin, sqrt

import numpy as np

Quaternion = tuple[float, float, float, float]  # w x y z, return type
Floats = Sequence[float] | np.ndarray  # argument type: a quaternion or a vector


def multiply(a: Floats, b: Floats) -> Quaternion:
    """Hamilton product a * b."""
    aw, ax, ay, az = a
    bw, bx, by, bz = b
    return (
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    )


def conjugate(q: Floats) -> Quaternion:
    """The inverse of a unit quaternion."""
    return (q[0], -q[1], -q[2], -q[3])


def dot(a: Floats, b: Floats) -> float:
    """Cosine of half the angle between two rotations; negative across the sign."""
    return float(a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3])


def exp(v: Floats) -> Quaternion:
    """Rotation vector (3,), rad -> quaternion."""
    x, y, z = v
    angle = sqrt(x * x + y * y + z * z)
    s = 0.5 - angle * angle / 48.0 if angle < 1e-4 else sin(0.5 * angle) / angle
    return (cos(0.5 * angle), s * x, s * y, s * z)


def log(q: Floats) -> np.ndarray:
    """Quaternion -> rotation vector (3,), rad, of the shorter rotation."""
    w, x, y, z = q if q[0] >= 0 else (-q[0], -q[1], -q[2], -q[3])
    n = sqrt(x * x + y * y + z * z)
    k = 2.0 if n < 1e-9 else 2.0 * atan2(n, w) / n
    return np.array([k * x, k * y, k * z])


def normalise(q: Floats) -> Quaternion:
    """Quaternion of unit norm."""
    w, x, y, z = q
    n = 1.0 / sqrt(w * w + x * x + y * y + z * z)
    return (w * n, x * n, y * n, z * n)


def matrix(q: Floats) -> np.ndarray:
    """Quaternion -> rotation matrix (3, 3)."""
    w, x, y, z = q
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def from_matrix(R: np.ndarray) -> Quaternion:
    """Rotation matrix (3, 3) -> the quaternion with w >= 0 (Shepperd's method: the largest component first)."""
    (a, b, c), (d, e, f), (g, h, i) = R.tolist()
    squares = (1 + a + e + i, 1 + a - e - i, 1 - a + e - i, 1 - a - e + i)
    rows = (
        (squares[0], h - f, c - g, d - b),
        (h - f, squares[1], b + d, c + g),
        (c - g, b + d, squares[2], f + h),
        (d - b, c + g, f + h, squares[3]),
    )
    w, x, y, z = normalise(rows[max(range(4), key=squares.__getitem__)])
    return (w, x, y, z) if w >= 0 else (-w, -x, -y, -z)


def rotate(q: Floats, v: Floats) -> np.ndarray:
    """Rotate v (3,) by q -> (3,)."""
    _, x, y, z = multiply(multiply(q, (0.0, v[0], v[1], v[2])), conjugate(q))
    return np.array([x, y, z])


def compose(a_T_b: np.ndarray, b_T_c: np.ndarray) -> np.ndarray:
    """a_T_c of two poses (7,)."""
    q = normalise(multiply(a_T_b[3:], b_T_c[3:]))
    return np.concatenate([a_T_b[:3] + rotate(a_T_b[3:], b_T_c[:3]), q])


def transform(a_T_b: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (..., 3) in b -> in a, by a pose (7,)."""
    moved: np.ndarray = points @ matrix(a_T_b[3:]).T + a_T_b[:3]
    return moved


def inverse(a_T_b: np.ndarray) -> np.ndarray:
    """b_T_a of a pose (7,)."""
    q = conjugate(a_T_b[3:])
    return np.concatenate([-rotate(q, a_T_b[:3]), q])


def from_xyz_angles(angles: Floats) -> Quaternion:
    """Intrinsic XYZ angles (3,), rad (R = Rx Ry Rz) -> quaternion."""
    rx, ry, rz = _about_axes(angles)
    return multiply(multiply(rx, ry), rz)


def from_fixed_axis_angles(rpy: Floats) -> Quaternion:
    """Roll, pitch, yaw (3,), rad, as in URDF (R = Rz Ry Rx) -> quaternion."""
    rx, ry, rz = _about_axes(rpy)
    return multiply(multiply(rz, ry), rx)


def _about_axes(angles: Floats) -> tuple[Quaternion, Quaternion, Quaternion]:
    x, y, z = angles
    return (
        (cos(0.5 * x), sin(0.5 * x), 0.0, 0.0),
        (cos(0.5 * y), 0.0, sin(0.5 * y), 0.0),
        (cos(0.5 * z), 0.0, 0.0, sin(0.5 * z)),
    )


def to_xyz_angles(q: Floats, near: Floats = (0.0, 0.0, 0.0)) -> np.ndarray:
    """Quaternion -> intrinsic XYZ angles (3,), rad, each shifted by multiples of 2 pi to within pi of `near`."""
    w, x, y, z = q
    sin_y = max(-1.0, min(1.0, 2 * (x * z + w * y)))
    rx = atan2(2 * (w * x - y * z), 1 - 2 * (x * x + y * y))
    rz = atan2(2 * (w * z - x * y), 1 - 2 * (y * y + z * z))
    angles = np.array([rx, asin(sin_y), rz])
    return angles - 2 * np.pi * np.round((angles - near) / (2 * np.pi))


def rotation_error(wanted: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """(3,) rotation vector in the world that turns `actual` into `wanted` (3, 3), rad."""
    R = wanted @ actual.T
    sine = 0.5 * np.array([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]])
    norm = np.sqrt(sine @ sine)
    angle = np.arctan2(norm, 0.5 * (R[0, 0] + R[1, 1] + R[2, 2] - 1.0))
    return sine * (angle / norm if norm > 1e-9 else 1.0)
