"""What can be seen of a hand and an object, linearised for the hand-object filter. All in the world, SI units.

An observation is a set of small groups (one keypoint, the object's pose), each gated by itself; `rows` gives its
residuals and Jacobian at a state. A keypoint with a number that is not finite is missing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from dexhot.errors import DexhotError
from dexhot.geometry import single
from dexhot.geometry.equivalents import nearest_equivalent
from dexhot.tracking.contact_dynamics import skew
from dexhot.tracking.rows import Expected, ObservedRows, What, object_columns
from dexhot.tracking.silhouettes import SeenBox, SeenMask

if TYPE_CHECKING:
    from dexhot.geometry.cameras import Intrinsics


@dataclass(frozen=True)
class SeenKeypoints:
    """3D keypoints, all K of the hand; of fingertips alone the others are NaN. `noise`: sigma in m, one or (K,), or
    the covariance (3K, 3K) of a fitted hand."""

    points: np.ndarray  # (K, 3) m
    noise: float | np.ndarray = 0.005

    def rows(self, state: Expected) -> ObservedRows:
        """Of the keypoints that are seen."""
        _same_number(self.points, state)
        seen = np.flatnonzero(np.isfinite(self.points).all(axis=1))
        columns = _coordinates(seen)
        if np.ndim(self.noise) == 2:
            R = np.asarray(self.noise, float)[np.ix_(columns, columns)]
        else:
            R, each = np.zeros((len(columns), len(columns))), np.asarray(self.noise, float) ** 2
            np.fill_diagonal(R, np.repeat(each[seen], 3) if each.ndim else each)
        return ObservedRows((self.points - state.keypoints)[seen].ravel(), columns, None, R, 3)


@dataclass(frozen=True)
class SeenPixels:
    """2D keypoints in a calibrated camera; lens distortion is left out of the Jacobian only."""

    pixels: np.ndarray  # (K, 2)
    camera: "Intrinsics"
    camera_T_world: np.ndarray  # (7,)
    noise: float | np.ndarray = 3.0  # sigma, px, one or (K,)

    def rows(self, state: Expected) -> ObservedRows:
        """Of the keypoints that are seen and in front of the camera."""
        _same_number(self.pixels, state)
        x = single.transform(self.camera_T_world, state.keypoints)
        seen = np.flatnonzero(np.isfinite(self.pixels).all(axis=1) & (x[:, 2] > 0.05))
        x = x[seen]
        local = self.camera.slopes(x) @ single.matrix(self.camera_T_world[3:])
        n = len(seen)
        J = np.zeros((n, 2, n, 3))
        J[np.arange(n), :, np.arange(n)] = local
        sigma = np.broadcast_to(np.asarray(self.noise, float), len(self.pixels))[seen]
        residual = (self.pixels[seen] - self.camera.project(x)).ravel()
        R = np.diag(np.repeat(sigma**2, 2))
        return ObservedRows(residual, _coordinates(seen), J.reshape(2 * n, 3 * n), R, 2)


@dataclass(frozen=True)
class SeenCentre:
    """The position of a point of the object, without its rotation."""

    position: np.ndarray  # (3,) m
    point: tuple[float, float, float] = (0.0, 0.0, 0.0)  # m, in the mesh frame
    noise: float = 0.01  # sigma, m

    def rows(self, state: Expected) -> ObservedRows:
        """Of one point."""
        arm = single.rotate(state.q, self.point)
        J = np.hstack([np.eye(3), -skew(arm)])
        noise = self.noise**2 * np.eye(3)
        return ObservedRows(self.position - state.p - arm, object_columns(state), J, noise, 3)


@dataclass(frozen=True)
class SeenPose:
    """The object's pose; of a symmetric object the equivalent nearest to the state."""

    pose: np.ndarray  # (7,) world_T_mesh
    covariance: np.ndarray  # (6, 6) of position, m, and rotation vector in the world, rad

    def rows(self, state: Expected) -> ObservedRows:
        """Of position and rotation."""
        pose = nearest_equivalent(state.symmetry, self.pose, state.q)
        turn = single.log(single.multiply(pose[3:].tolist(), single.conjugate(state.q)))
        residual = np.concatenate([pose[:3] - state.p, turn])
        return ObservedRows(residual, object_columns(state), None, self.covariance, 6)


@dataclass(frozen=True)
class SeenFrame:
    """One frame's fit: the hand's keypoints and the object's pose, each with its covariance."""

    hand: SeenKeypoints
    object: SeenPose


@dataclass(frozen=True)
class SeenJoints:
    """A robot hand's measured joints: its K points by forward kinematics, with the covariance J R_q J^T of what the
    joints leave open, besides an error of each point by itself."""

    joints: np.ndarray  # (n,) rad
    forward: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]  # joints -> points (K, 3) m, Jacobian (3K, n)
    joint_noise: float | np.ndarray  # sigma, rad, one or (n,)
    noise: float = 0.001  # sigma, m: calibration, and links that are not as modelled

    @cached_property
    def hand(self) -> SeenKeypoints:
        """The points, with their covariance. A late observation applies them again, hence kept."""
        points, J = self.forward(self.joints)
        spread = J * np.broadcast_to(self.joint_noise, len(self.joints))
        return SeenKeypoints(points, spread @ spread.T + self.noise**2 * np.eye(points.size))


Single = SeenKeypoints | SeenPixels | SeenCentre | SeenPose | SeenBox | SeenMask
Observation = Single | SeenFrame | SeenJoints


def whose(observation: Single) -> What:
    """Which of the two it is of."""
    if isinstance(observation, SeenBox | SeenMask):
        return observation.of.what
    return "hand" if isinstance(observation, SeenKeypoints | SeenPixels) else "object"


def in_image_of_hand(observation: Observation) -> bool:
    """Whether it shows a hand without its depth."""
    return isinstance(observation, SeenPixels | SeenBox | SeenMask) and whose(observation) == "hand"


def parts(observation: Observation) -> tuple[Single, ...]:
    """What it is of hand and of object."""
    if isinstance(observation, SeenFrame):
        return observation.hand, observation.object
    return (observation.hand,) if isinstance(observation, SeenJoints) else (observation,)


def check_finite(observation: Observation) -> None:
    """Raises DexhotError for an object or joints that are not finite and for noise that is not a covariance."""
    if isinstance(observation, SeenFrame):
        check_finite(observation.hand)
        check_finite(observation.object)
    elif isinstance(observation, SeenJoints):
        if not (np.isfinite(observation.joints).all() and np.isfinite(observation.joint_noise).all()):
            raise DexhotError("observed joints or their noise are not finite; leave them out instead.")
        check_finite(observation.hand)
    elif isinstance(observation, SeenPose | SeenCentre):
        if isinstance(observation, SeenPose):
            value, noise, trace = observation.pose, observation.covariance.sum(), observation.covariance.trace()
        else:
            value, noise, trace = observation.position, observation.noise, observation.noise
        if not (isfinite(value.sum()) and isfinite(noise) and trace > 0):  # a sum is finite if all are
            raise DexhotError("an observed object or its noise is not finite, or without noise; leave it out instead.")
    elif isinstance(observation, SeenBox | SeenMask):
        if not (np.isfinite(observation.noise) and observation.noise > 0 and np.isfinite(observation.swell)):
            raise DexhotError("the noise of an observed box or mask must be finite and above 0.")
    elif not np.isfinite(observation.noise).all() or not np.any(observation.noise):
        raise DexhotError("the noise of observed keypoints must be finite and above 0.")


def _coordinates(which: np.ndarray) -> np.ndarray:
    columns: np.ndarray = (3 * which[:, None] + np.arange(3)).ravel()
    return columns


def _same_number(points: np.ndarray, state: Expected) -> None:
    if len(points) != len(state.keypoints):
        raise DexhotError(
            f"{len(points)} keypoints observed, but the filter tracks {len(state.keypoints)}: NaN marks a missing one."
        )
