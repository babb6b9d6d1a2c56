"""Rotations and poses: the batch formulas against SciPy, and the single ones against the batch ones."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dexhot.geometry import poses, rotations, single

RNG = np.random.default_rng(0)
QUATS = RNG.normal(size=(20, 4))
QUATS /= np.linalg.norm(QUATS, axis=1, keepdims=True)
VECTORS = RNG.normal(size=(20, 3))


def scipy(q: np.ndarray) -> Rotation:
    return Rotation.from_quat(rotations.to_xyzw(q))


def same_rotation(a, b) -> None:
    np.testing.assert_allclose(rotations.quat_angle(np.asarray(a), np.asarray(b)), 0.0, atol=1e-9)
