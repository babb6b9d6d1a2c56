"""Streaming retargeting: human keypoints of one frame -> hand vector, warm-started from the last (teleoperation, live).

Gauss-Newton on fingertips and links (DexTrack Eq. 5-7), palm rotation and posture, with joint limits. A frame starts
from the last one's motion continued, where most frames need a single iteration. No contact planning, which needs
future frames.
"""

from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg.lapack import dposv

from dexhot.errors import DexhotError
from dexhot.geometry.single import rotation_error
from dexhot.retargeting.correspondence import correspondence
from dexhot.robots.kinematics.hand import HandModel
from dexhot.robots.robot_hand import RobotHand

FIRST_ITERATIONS = 60  # at most, for the first frame, which has no warm start
FOUND = 1e-4  # rad or m: its iterations end with a step this small
LARGEST = 0.3  # rad or m: the largest step of a joint in one iteration
SETTLED = 0.03  # rad or m: after a step this small, the next one would move a fingertip by about 0.05 mm


class System(NamedTuple):
    """One frame's cost near q (n,), without the pull to the last frame: 1/2 d^T H d - b^T d for q + d."""

    q: np.ndarray
    H: np.ndarray  # (n, n); damped by posture and change
    b: np.ndarray  # (n,)


class StreamingRetargeter:
    """Holds the last solution; `base_quat` (4,) is the base rotation of the wrist's angles."""

    def __init__(
        self,
        hand: RobotHand,
        base_quat: ArrayLike = (1.0, 0.0, 0.0, 0.0),
        iterations: int = 4,
        palm: float = 0.03,
        posture: float = 0.002,
        change: float = 0.03,
        link_weight: float | None = None,
        fixed_wrist: ArrayLike | None = None,
    ):
        """Weights are relative to 1 per metre of fingertip error.

        iterations: at most, per frame; they end with the first step below SETTLED.
        palm: per rad of its rotation. posture: per rad from the nominal one. change: per rad or m from the last frame.
        link_weight: per metre, instead of the hand's own. fixed_wrist: (6,) joints; only the fingers are solved for.
        """
        match = correspondence(hand)
        self.hand = hand
        self.model = HandModel(hand, match.links, base_quat)
        self.iterations, self.palm = iterations, palm
        if fixed_wrist is not None:
            self.model.lower[:6] = self.model.upper[:6] = np.asarray(fixed_wrist, float)
        self._match = match
        k, m = len(hand.tip_sites), len(match.links)
        weight = match.link_weight if link_weight is None else link_weight
        self._weight = np.repeat(np.r_[np.ones(k), np.full(m, weight)], 3)
        self._square = self._weight[:, None] ** 2
        n = self.model.size
        self._nominal = np.r_[np.zeros(6), hand.nominal]
        self._posture = np.r_[np.zeros(6), np.full(n - 6, posture**2)]
        self._change = np.full(n, change**2)
        self._damping = np.diag(self._posture + self._change + 1e-9)
        self.q: np.ndarray | None = None
        self.system: System | None = None  # of the last frame's last iteration
        self._velocity = np.zeros(n)  # q of the last frame minus q of the one before
        self._wrist_rotation = np.empty(9)

    def reset(self) -> None:
        """Forget the last frame."""
        self.q = None

    def targets(self, keypoints: np.ndarray) -> np.ndarray:
        """Keypoints (..., 21, 3) -> target positions of tips and links (..., P, 3)."""
        return np.concatenate([self._match.tips(keypoints), keypoints[..., self._match.keypoints, :]], axis=-2)

    def step(self, keypoints: ArrayLike, wrist_pose: ArrayLike) -> np.ndarray:
        """Keypoints (21, 3) and wrist pose (7,) of one frame -> q (6+n,). Raises DexhotError on a non-finite input."""
        keypoints = np.asarray(keypoints, float)
        mujoco.mju_quat2Mat(self._wrist_rotation, np.asarray(wrist_pose, float)[3:])
        return self.solve(self.targets(keypoints), self._wrist_rotation.reshape(3, 3))

    def solve(self, points: np.ndarray, palm_rotation: np.ndarray | None = None) -> np.ndarray:
        """Points (P, 3) for tips and links, world_R_palm (3, 3) or None for a free palm -> q (6+n,)."""
        goal = points.ravel()
        if not np.isfinite(goal).all():
            raise DexhotError("a keypoint is not finite; drop the frame or interpolate it.")
        if self.q is None:
            last = q = self._start(points)
            q = self._iterations(FIRST_ITERATIONS, FOUND, q, last, goal, palm_rotation)
            self._velocity[:] = 0.0
        else:
            last = self.q
            q = self._within(last + self._velocity)
            q = self._iterations(self.iterations, SETTLED, q, last, goal, palm_rotation)
            self._velocity = q - last
        self.q = q
        return q.copy()

    def _iterations(
        self,
        most: int,
        settled: float,
        q: np.ndarray,
        last: np.ndarray,
        goal: np.ndarray,
        palm_rotation: np.ndarray | None,
    ) -> np.ndarray:
        """q after at most `most` iterations, of which a step below `settled` is the last."""
        for _ in range(most):
            before, q = q, self._iterate(q, last, goal, palm_rotation)
            step = q - before
            if max(step.max(), -step.min()) < settled:
                break
        return q

    def _iterate(
        self, q: np.ndarray, last: np.ndarray, goal: np.ndarray, palm_rotation: np.ndarray | None
    ) -> np.ndarray:
        model = self.model
        model.move(q)
        J = model.point_jacobian().reshape(len(goal), -1)
        weighted = J * self._square
        A = weighted.T @ J
        A += self._damping
        b = (goal - model.points().ravel()) @ weighted
        b += self._posture * (self._nominal - q)
        if palm_rotation is not None and self.palm:
            turn = model.palm_rotation_jacobian()
            turn *= self.palm
            A += turn.T @ turn
            b += self.palm * rotation_error(palm_rotation, model.palm_rotation()) @ turn
        self.system = System(q, A, b)
        b = b + self._change * (last - q)
        blocked = ((q <= model.lower) & (b < 0)) | ((q >= model.upper) & (b > 0))
        if blocked.any():
            A = A.copy()
            A[blocked], A[:, blocked], b[blocked] = 0.0, 0.0, 0.0
            A[blocked, blocked] = 1.0
        step = dposv(A, b)[1]  # A is positive definite by its damping
        return self._within(q + np.minimum(np.maximum(step, -LARGEST), LARGEST))

    def _within(self, q: np.ndarray) -> np.ndarray:
        within: np.ndarray = np.minimum(np.maximum(q, self.model.lower), self.model.upper)
        return within

    def _start(self, points: np.ndarray) -> np.ndarray:
        q: np.ndarray = self._nominal.copy()
        self.model.move(q)
        q[:3] = (points - self.model.points())[: self.model.tips].mean(0)
        return q
