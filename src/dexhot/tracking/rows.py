"""Residuals of an observation, linearised at a state of the hand-object filter."""

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from dexhot.geometry import single
from dexhot.geometry.equivalents import Symmetric

if TYPE_CHECKING:  # an object's filter without a hand runs where neither images nor SciPy are needed
    from dexhot.geometry.cameras import Intrinsics


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


def pixel_slope(camera: "Intrinsics", x: np.ndarray) -> np.ndarray:
    """(N, 2, 3) derivative of the pixels by points (N, 3) m of the camera's frame, without lens distortion."""
    z = x[:, 2]
    slope = np.zeros((len(x), 2, 3))
    slope[:, 0, 0], slope[:, 1, 1] = camera.fx / z, camera.fy / z
    slope[:, 0, 2], slope[:, 1, 2] = -camera.fx * x[:, 0] / z**2, -camera.fy * x[:, 1] / z**2
    return slope


def object_columns(state: Expected) -> slice:
    """The object's position and rotation in the error state."""
    at = 6 * len(state.keypoints)
    return slice(at, at + 6)
