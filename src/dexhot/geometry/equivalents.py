"""Equivalent poses of a shape with rotational symmetry: the nearest one, and the remaining rotation to it.

A symmetry is any object with the fields of objects.asset.Symmetry.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from dexhot.geometry import single
from dexhot.geometry.single import Floats


class Symmetric(Protocol):
    """Rotations about `center` that leave a shape unchanged; see objects.asset.Symmetry."""

    @property
    def kind(self) -> str: ...
    @property
    def axis(self) -> Sequence[float]: ...
    @property
    def rotations(self) -> Sequence[Sequence[float]]: ...
    @property
    def center(self) -> Sequence[float]: ...


def smallest_turn(symmetry: Symmetric, expected: Floats, observed: Floats) -> np.ndarray:
    """Rotation vector (3,), world: the smallest turn from quaternion `expected` to one that looks like `observed`."""
    if symmetry.kind == "sphere":
        return np.zeros(3)
    if symmetry.kind == "axis":
        return _axis_turn(symmetry, expected, observed)
    if fitting := _fitting(symmetry, expected, observed):
        expected = single.multiply(expected, symmetry.rotations[fitting])
    return single.log(single.multiply(observed, single.conjugate(expected)))


def smallest_turns(symmetry: Symmetric, expected: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """`smallest_turn` of quaternions (..., 4): rotation vectors (..., 3)."""
    if symmetry.kind == "sphere":
        return np.zeros((*np.broadcast_shapes(expected.shape, observed.shape)[:-1], 3))
    if symmetry.kind == "none":
        from dexhot.geometry.rotations import quat_conjugate, quat_multiply, quat_to_rotvec

        return quat_to_rotvec(quat_multiply(observed, quat_conjugate(expected)))
    pairs = np.broadcast_arrays(expected, observed)
    turns = [smallest_turn(symmetry, a, b) for a, b in zip(*(x.reshape(-1, 4) for x in pairs))]
    return np.reshape(turns, (*pairs[0].shape[:-1], 3))


def nearest_equivalent(symmetry: Symmetric, pose: np.ndarray, near: Floats) -> np.ndarray:
    """The pose (7,) world_T_mesh that looks like `pose` and whose rotation is nearest to the quaternion `near`."""
    if symmetry.kind in ("none", "discrete") and not _fitting(symmetry, near, pose[3:]):
        return pose
    q = single.multiply(single.exp(smallest_turn(symmetry, near, pose[3:])), near)
    center = np.asarray(symmetry.center, float)
    shift = single.rotate(pose[3:], center) - single.rotate(q, center)
    return np.concatenate([pose[:3] + shift, q])


def reduced_angle(symmetry: Symmetric, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Smallest rotation (rad) between orientations a and b (..., 4) of a mesh frame, over the object's symmetries."""
    # imported here: nodes that process single frames do not need SciPy
    from dexhot.geometry.rotations import quat_angle, quat_conjugate, quat_multiply, quat_rotate

    if symmetry.kind == "none":
        return quat_angle(a, b)
    if symmetry.kind == "sphere":
        return np.zeros(np.broadcast_shapes(a.shape, b.shape)[:-1])
    relative = quat_multiply(quat_conjugate(a), b)
    rotations = np.asarray(symmetry.rotations, float)
    smallest: np.ndarray
    if symmetry.kind == "discrete":
        smallest = np.min([quat_angle(s, relative) for s in rotations], axis=0)
        return smallest
    axis = np.asarray(symmetry.axis, float) / np.linalg.norm(symmetry.axis)
    turned = [quat_rotate(relative, quat_rotate(s, axis)) for s in rotations]
    # with a free rotation about the axis, the angle between the axes remains
    angles = [np.arctan2(np.linalg.norm(np.cross(axis, t), axis=-1), t @ axis) for t in turned]
    smallest = np.min(angles, axis=0)
    return smallest


def _fitting(symmetry: Symmetric, expected: Floats, observed: Floats) -> int:
    """Index of the rotation (the identity is first) that takes `expected` nearest to `observed`."""
    if len(symmetry.rotations) == 1:
        return 0
    relative = single.multiply(single.conjugate(expected), observed)
    return int(np.abs(np.asarray(symmetry.rotations) @ relative).argmax())


def _axis_turn(symmetry: Symmetric, expected: Floats, observed: Floats) -> np.ndarray:
    """The rotation that aligns the axis of a solid of revolution, in either direction if a flip is among the
    rotations."""
    axis = np.asarray(symmetry.axis, float)
    b = single.rotate(observed, axis)
    ways = [single.rotate(expected, single.rotate(r, axis)) for r in symmetry.rotations]
    a = max(ways, key=lambda way: float(way @ b))
    ax, ay, az = a
    bx, by, bz = b
    normal = np.array([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])
    sine = np.sqrt(normal @ normal)
    if sine < 1e-9:  # parallel, or opposite: any rotation across the axis works, and a flip would be listed
        across = np.cross(a, np.eye(3)[np.argmin(np.abs(a))])
        return np.zeros(3) if a @ b > 0 else np.pi * across / np.linalg.norm(across)
    turn: np.ndarray = np.arctan2(sine, a @ b) * normal / sine
    return turn
