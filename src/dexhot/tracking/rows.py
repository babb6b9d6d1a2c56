"""Residuals of an observation, linearised at a state of the hand-object filter."""

from typing import Literal, NamedTuple, Protocol

import numpy as np

from dexhot.geometry import single
from dexhot.geometry.equivalents import Symmetric

What = Literal["hand", "object"]


class ObservedRows(NamedTuple):
    """m = n * size residuals of n groups."""

    residual: np.ndarray  # (m,) observed - expected
    columns: np.ndarray | slice  # (c,) of the error state, those it depends on
    jacobian: np.ndarray | None  # (m, c); None: the identity
    noise: np.ndarray  # (m, m) covariance
    size: int  # rows of a group
    least: float = 0.0  # fraction of the groups that must be inside their gates, else none is used


class Expected(Protocol):
    """What an observation reads of a state; error state: keypoints, their velocities, object position and rotation."""

    keypoints: np.ndarray  # (K, 3) m
    p: np.ndarray  # (3,) object position, m
    q: single.Quaternion  # world_R_mesh
    symmetry: Symmetric


def object_columns(state: Expected) -> slice:
    """The object's position and rotation in the error state."""
    at = 6 * len(state.keypoints)
    return slice(at, at + 6)
