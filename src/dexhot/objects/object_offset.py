"""Offset of an observed object from its pose in the reference, up to the object's symmetry."""

import numpy as np

from dexhot.geometry import single
from dexhot.geometry.equivalents import smallest_turn
from dexhot.objects.asset import Symmetry


def object_offset(symmetry: Symmetry, expected: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, ...]:
    """The rigid motion from pose `expected` to `observed` (7,): the centre of rotation (3,) in the
    reference, its shift (3,) m and the rotation vector (3,) rad, the smallest among the symmetric equivalents.
    """
    center = np.asarray(symmetry.center, float)
    about = expected[:3] + single.rotate(expected[3:], center)
    shift = observed[:3] + single.rotate(observed[3:], center) - about
    return about, shift, smallest_turn(symmetry, expected[3:], observed[3:])
