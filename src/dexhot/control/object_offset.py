"""How far an observed object is from where a reference has it, as the hand must care: up to the object's symmetry."""

import numpy as np

from dexhot.data.object_asset import Symmetry
from dexhot.geometry import single


def object_offset(symmetry: Symmetry, expected: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, ...]:
    """The rigid motion from pose `expected` to `observed` (7,): the centre (3,) it turns about, where the reference has
    it, the centre's shift (3,) m and the turn (3,) as a rotation vector, the smallest of those that look the same.
    """
    center = np.asarray(symmetry.center, float)
    about = expected[:3] + single.rotate(expected[3:], center)
    shift = observed[:3] + single.rotate(observed[3:], center) - about
    if symmetry.kind == "sphere":
        return about, shift, np.zeros(3)
    turns = [_turn(symmetry, single.multiply(expected[3:], r), observed[3:]) for r in symmetry.rotations]
    return about, shift, min(turns, key=lambda turn: float(turn @ turn))


def _turn(symmetry: Symmetry, expected, observed) -> np.ndarray:
    """Rotation vector from quaternion to quaternion; for a solid of revolution the one that aligns its axis."""
    if symmetry.kind != "axis":
        return single.log(single.multiply(observed, single.conjugate(expected)))
    axis = np.asarray(symmetry.axis, float)
    a, b = single.rotate(expected, axis), single.rotate(observed, axis)
    normal = np.cross(a, b)
    sine = np.linalg.norm(normal)
    if sine < 1e-9:  # parallel, or opposite: then any turn across the axis serves, and a flip would be listed
        across = np.cross(a, np.eye(3)[np.argmin(np.abs(a))])
        return np.zeros(3) if a @ b > 0 else np.pi * across / np.linalg.norm(across)
    return np.arctan2(sine, a @ b) * normal / sine
