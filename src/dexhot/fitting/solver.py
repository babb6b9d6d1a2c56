"""Levenberg-Marquardt for one hand pose, and for many poses with a common shape."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from dexhot.fitting.normal_equations import mirror
from dexhot.fitting.terms import Term
from dexhot.humans.kernels import POSE_SIZE
from dexhot.humans.skin import HandPose, PosedHand, ShapedHand, SkinnedHand

LONGEST = np.repeat([0.5, 0.06, 0.6], [3, 3, 45])  # of one step: rad, m, rad
DAMPING, LEAST, MOST = 1e-3, 1e-7, 1e6
CONVERGED = 1e-4  # relative decrease of the cost below which a fit ends


@dataclass
class Fitted:
    """A pose with its cost and information matrix."""

    posed: PosedHand
    cost: float
    normal: np.ndarray  # (51, 51) J^T W J at the pose: the inverse of its covariance


def normal_equations(
    posed: PosedHand, terms: Sequence[Term], shape_size: int = 0
) -> tuple[np.ndarray, np.ndarray, float]:
    """J^T W J, J^T W r and the cost of all terms, over the pose and, where `shape_size` > 0, the shape."""
    size = POSE_SIZE + shape_size
    A, g, cost = np.zeros((size, size)), np.zeros(size), 0.0
    for term in terms:
        rows = term.rows(posed, shape_size > 0)
        rows.add_to(A, g)
        cost += rows.cost
    mirror(A)
    return A, g, cost


def solve_pose(person: ShapedHand, start: HandPose, terms: Sequence[Term], iterations: int = 5) -> Fitted:
    """The pose of a hand of known shape. Steps that do not reduce the cost are rejected, and damping is increased."""
    posed, damping = person.posed(start), DAMPING
    A, g, cost = normal_equations(posed, terms)
    for _ in range(iterations):
        damped = A + damping * np.diag(np.diag(A) + 1e-6)
        step = -cho_solve(cho_factor(damped, check_finite=False), g, check_finite=False)
        step /= max(1.0, float(np.max(np.abs(step) / LONGEST)))
        tried = person.posed(posed.pose.plus(step))
        new = normal_equations(tried, terms)
        if new[2] < cost:
            gain, damping = cost - new[2], max(damping / 5.0, LEAST)
            posed, (A, g, cost) = tried, new
            if gain < CONVERGED * cost:
                break
        elif (damping := damping * 10.0) > MOST:
            break
    return Fitted(posed, cost, A)


def solve_shape(
    hand: SkinnedHand, shape: np.ndarray, poses: list[HandPose], terms: Sequence[Sequence[Term]], iterations: int = 10
) -> tuple[np.ndarray, list[HandPose], float]:
    """The common shape (S,) of a clip's frames, with their poses; the shape prior is a unit Gaussian.

    Poses are eliminated frame by frame (Schur complement), so the cost is linear in the number of frames.
    """
    S, damping = len(shape), DAMPING
    shape = shape.copy()

    def linearise(shape: np.ndarray, poses: list[HandPose]) -> tuple[list[tuple[np.ndarray, np.ndarray]], float]:
        person = hand.shaped(shape)
        found = [normal_equations(person.posed(pose), t, S) for pose, t in zip(poses, terms)]
        return [(A, g) for A, g, _ in found], sum(cost for _, _, cost in found) + float(shape @ shape)

    blocks, cost = linearise(shape, poses)
    for _ in range(iterations):
        reduced, right, parts = (1.0 + damping) * np.eye(S), shape.copy(), []
        for A, g in blocks:
            pose_block = A[:POSE_SIZE, :POSE_SIZE]
            factor = cho_factor(pose_block + damping * np.diag(np.diag(pose_block) + 1e-6))
            coupling = A[:POSE_SIZE, POSE_SIZE:]
            by_shape, by_pose = cho_solve(factor, coupling), cho_solve(factor, g[:POSE_SIZE])
            reduced += A[POSE_SIZE:, POSE_SIZE:] - coupling.T @ by_shape
            right += g[POSE_SIZE:] - coupling.T @ by_pose
            parts.append((by_shape, by_pose))
        change = -np.linalg.solve(reduced, right)
        change /= max(1.0, float(np.abs(change).max()))
        steps = [-by_pose - by_shape @ change for by_shape, by_pose in parts]
        moved = [p.plus(s / max(1.0, float(np.max(np.abs(s) / LONGEST)))) for p, s in zip(poses, steps)]
        new_blocks, new_cost = linearise(shape + change, moved)
        if new_cost < cost:
            gain, damping = cost - new_cost, max(damping / 5.0, LEAST)
            shape, poses, blocks, cost = shape + change, moved, new_blocks, new_cost
            if gain < CONVERGED * cost:
                break
        elif (damping := damping * 10.0) > MOST:
            break
    return shape, poses, cost
