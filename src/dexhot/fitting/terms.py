"""Residual terms of hand fitting. Each gives residuals, their Jacobian and weights, which is all the solver needs.

Units: keypoints in m, pixels in px, angles in rad; weights are 1 / sigma^2, so every cost is dimensionless.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dexhot.fitting import row_kernels
from dexhot.fitting.normal_equations import ROBUST
from dexhot.humans.kernels import POSE_SIZE, logarithm
from dexhot.humans.skin import HandPose, KeypointTable, PosedHand, PosePrior

FINGERS = slice(6, POSE_SIZE)
NEIGHBOURS = (5, 9, 13, 17)  # knuckles of the fingers that lie beside each other
POINTS = 6  # along a finger, from the middle of its first bone to the tip


@dataclass
class Rows:
    """m residuals, linearised at the current pose."""

    residual: np.ndarray  # (m,)
    jacobian: np.ndarray  # (m, 51), or (m, 51 + S) where the shape is estimated too
    weight: np.ndarray  # (m,)
    cost: float
    first: int = 0  # column of the unknowns at which the Jacobian begins

    def add_to(self, A: np.ndarray, g: np.ndarray) -> None:
        """J^T W J onto the lower triangle of A (n, n), J^T W r onto g (n,)."""
        row_kernels.add_rows(self.jacobian, self.weight, self.residual, self.first, A, g)


class Term(Protocol):
    """Interface of a residual term."""

    def rows(self, posed: PosedHand, with_shape: bool = False) -> Rows:
        """Residuals and Jacobian at a pose; a term independent of the shape always has 51 columns."""


def squares(residual: np.ndarray, jacobian: np.ndarray, weight: np.ndarray) -> Rows:
    """Rows of a plain least-squares term."""
    return Rows(residual, jacobian, weight, float(weight @ residual**2))


def keypoint_rows(posed: PosedHand, table: KeypointTable, with_shape: bool) -> np.ndarray:
    """d keypoints, (21, 3, 51), and with the shape (21, 3, 51 + S)."""
    rows = posed.keypoint_jacobians(table)
    return np.concatenate([rows, posed.shape_jacobians(table)], axis=-1) if with_shape else rows


@dataclass
class Keypoints3D:
    """Distance of the keypoints from the observed 3D ones."""

    table: KeypointTable
    seen: np.ndarray  # (21, 3) m, the frame of the fit
    confidence: np.ndarray  # (21,) in [0, 1]
    sigma: float = 0.003  # m

    def rows(self, posed: PosedHand, with_shape: bool = False) -> Rows:
        """63 residuals."""
        off = posed.keypoints(self.table) - self.seen
        jacobian = keypoint_rows(posed, self.table, with_shape).reshape(63, -1)
        return squares(off.ravel(), jacobian, np.repeat(self.confidence / self.sigma**2, 3))


@dataclass
class Keypoints2D:
    """Reprojection error of the keypoints, robust against outliers."""

    table: KeypointTable
    camera: np.ndarray  # (4,) fx fy cx cy, px
    seen: np.ndarray  # (21, 2) px
    confidence: np.ndarray  # (21,)
    sigma: float = 4.0  # px

    def rows(self, posed: PosedHand, with_shape: bool = False) -> Rows:
        """42 residuals."""
        jacobians = keypoint_rows(posed, self.table, with_shape)
        return Rows(
            *row_kernels.pixel_rows(
                posed.keypoints(self.table), jacobians, self.camera, self.seen, self.confidence, self.sigma
            )
        )


@dataclass
class KeypointDepth:
    """Depth of the keypoints against a depth camera, which measures the surface in front of the joint."""

    table: KeypointTable
    depth: np.ndarray  # (21,) m, the camera's z
    confidence: np.ndarray  # (21,), 0 where nothing was measured
    sigma: float = 0.010  # m
    inside: float = 0.008  # m from the surface to a joint
    hidden: float = 1.0  # how many times wider sigma is behind it: a joint may be hidden by a finger, none lies before

    def rows(self, posed: PosedHand, with_shape: bool = False) -> Rows:
        """21 residuals, robust: at an edge the measured depth is that of the background."""
        off = posed.keypoints(self.table)[:, 2] - self.depth - self.inside
        sigma = np.where(off > 0.0, self.hidden * self.sigma, self.sigma)
        square = off**2 / sigma**2
        weight = self.confidence / sigma**2 * (ROBUST / (ROBUST + square)) ** 2
        cost = float(self.confidence @ (ROBUST * square / (ROBUST + square)))
        return Rows(off, keypoint_rows(posed, self.table, with_shape)[:, 2], weight, cost)


@dataclass
class RelativeDepth:
    """Depth of the keypoints relative to each other, which a detector guesses from the picture: weak, but it is all
    that says how far a finger is behind the one that hides it."""

    table: KeypointTable
    camera: np.ndarray  # (4,) fx fy cx cy, px
    relative: np.ndarray  # (21,) px: a pixel is as long as across the image at the hand; NaN: not estimated
    confidence: np.ndarray  # (21,)
    sigma: float = 0.015  # m

    def rows(self, posed: PosedHand, with_shape: bool = False) -> Rows:
        """21 residuals, m, robust, less their mean: the guess does not say where the hand is."""
        confidence = np.where(np.isfinite(self.relative), self.confidence, 0.0)
        part = confidence / max(float(confidence.sum()), 1e-9)
        z, slopes = posed.keypoints(self.table)[:, 2], keypoint_rows(posed, self.table, with_shape)[:, 2]
        metres = np.nan_to_num(self.relative) / self.camera[0]  # of a hand 1 m away
        off, jacobian = z - z.mean() * metres, slopes - metres[:, None] * slopes.mean(axis=0)
        off, jacobian = off - part @ off, jacobian - part @ jacobian
        square = off**2 / self.sigma**2
        weight = confidence / self.sigma**2 * (ROBUST / (ROBUST + square)) ** 2
        return Rows(off, jacobian, weight, float(confidence @ (ROBUST * square / (ROBUST + square))))


class LikelyPose:
    """Mahalanobis distance of the fingers from the pose prior."""

    def __init__(self, prior: PosePrior, strength: float = 0.3):
        self.prior, self.strength = prior, strength
        self.jacobian = np.zeros((45, POSE_SIZE))
        self.jacobian[:, FINGERS] = prior.whitening

    def rows(self, posed: PosedHand, with_shape: bool = False) -> Rows:
        """45 residuals, in standard deviations."""
        off = self.prior.whitening @ (posed.pose.fingers.ravel() - self.prior.mean)
        return squares(off, self.jacobian, np.full(45, self.strength))


@dataclass
class JointLimits:
    """Violation of each finger angle's limits."""

    prior: PosePrior
    sigma: float = 0.05  # rad

    def rows(self, posed: PosedHand, with_shape: bool = False) -> Rows:
        """45 residuals, 0 within the limits."""
        angles, prior = posed.pose.fingers.ravel(), self.prior
        off, jacobian = row_kernels.limit_rows(angles, prior.lower, prior.upper, FINGERS.start, POSE_SIZE)
        return squares(off, jacobian, np.full(45, self.sigma**-2))


@dataclass
class FingersApart:
    """Fingers in their neighbour's place: where a finger is hidden by the next one, nothing that is seen says how far
    behind it is. Sideways (from the little to the index finger's knuckle) their axes are `room` apart."""

    table: KeypointTable
    room: float = 0.015  # m
    sigma: float = 0.003  # m

    def rows(self, posed: PosedHand, with_shape: bool = False) -> Rows:
        """One residual for each point of a finger that is too near to the next finger, m; its sideways direction, and
        which points are beside each other, count as fixed."""
        keypoints = posed.keypoints(self.table)
        across = keypoints[NEIGHBOURS[0]] - keypoints[NEIGHBOURS[-1]]
        across = across / np.linalg.norm(across)
        jacobians = posed.keypoint_jacobians(self.table)
        off, jacobian = row_kernels.apart_rows(keypoints, jacobians, ALONG, across, self.room)
        return squares(off, jacobian, np.full(len(off), self.sigma**-2))


def _along_fingers() -> np.ndarray:
    """(4, POINTS, 21) points between the middle of the first bone and the tip, as means of keypoints."""
    points = np.zeros((len(NEIGHBOURS), POINTS, 21))
    for finger, knuckle in zip(points, NEIGHBOURS):
        for point, part in zip(finger, np.linspace(0.5, 3.0, POINTS)):
            bone = min(int(part), 2)
            point[knuckle + bone], point[knuckle + bone + 1] = 1.0 - (part - bone), part - bone
    return points


ALONG = _along_fingers()


class NearPose:
    """Change from another pose, the previous frame's."""

    def __init__(self, pose: HandPose, turn: float = 0.2, shift: float = 0.03, bend: float = 0.25):
        self.pose = pose
        self.weight = np.repeat([turn**-2, shift**-2, bend**-2], [3, 3, 45])

    def rows(self, posed: PosedHand, with_shape: bool = False) -> Rows:
        """51 residuals, rad and m."""
        turned = logarithm(self.pose.rotation.T @ posed.pose.rotation)
        moved = posed.pose.translation - self.pose.translation
        bent = posed.pose.fingers.ravel() - self.pose.fingers.ravel()
        return squares(np.concatenate([turned, moved, bent]), np.eye(POSE_SIZE), self.weight)
