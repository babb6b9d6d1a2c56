"""Gauss-Newton over a whole clip at once: keypoints (DexTrack Eq. 5-7), palm, posture, smoothness, gaps, joint limits.

minimise over q (T, 6+n)

    sum_t  w_p^2 |points(q_t) - goal_t|^2                 keypoints, w_p per point and frame
         + w_r^2 |log(R_goal R(q_t)^T)|^2                 palm rotation
         + |w_q (q_t - prior_t)|^2                        posture
         + w_g^2 sum_c max(0, clearance_c - gap_c)^2      no penetration: object, table, the hand itself
    + w_v^2 sum_t |q_t+1 - q_t|^2 + w_a^2 sum_t |q_t-1 - 2 q_t + q_t+1|^2

subject to joint limits. Frames are coupled through smoothness only, so each step solves one banded system; joints at a
limit that the step would leave are held there (projected Newton).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solveh_banded

from dexhot.retargeting.hand_model import OBJECT, HandModel


@dataclass
class ClipProblem:
    """What one clip's hand motion should satisfy; weights are 1 per metre unless said."""

    goal: np.ndarray  # (T, P, 3) m, world
    goal_weight: np.ndarray  # (T, P)
    palm: np.ndarray  # (T, 3, 3) world_R_palm wanted
    palm_weight: float  # per rad
    prior: np.ndarray  # (T, 6+n)
    prior_weight: np.ndarray  # (6+n,)
    velocity_weight: np.ndarray  # (6+n,)
    acceleration_weight: np.ndarray  # (6+n,)
    object_pose: np.ndarray  # (T, 7)
    gap_weight: float = 0.0  # 0: gaps are not computed
    clearance: float = 0.0005  # m, links and palm
    tip_clearance: float = -0.0005  # m, fingertips on the object
    step: float = 0.3  # largest change of a joint in one iteration, rad or m


def solve_clip(model: HandModel, problem: ClipProblem, start, iterations: int = 20, progress: Callable | None = None):
    """Hand motion (T, 6+n) from `start` (T, 6+n). Stops when no joint moves by more than 1e-4."""
    q = np.clip(start, model.lower, model.upper)
    smooth = _smoothness(len(q), problem)
    for iteration in range(iterations):
        H, g = _normal_equations(model, problem, q)
        g += _smoothness_gradient(smooth, q)
        at_limit = ((q <= model.lower) & (g > 0)) | ((q >= model.upper) & (g < 0))
        step = np.clip(_solve(H, smooth, -g, at_limit), -problem.step, problem.step)
        q_next = np.clip(q + step, model.lower, model.upper)
        moved = np.abs(q_next - q).max()
        q = q_next
        if progress:
            progress(iteration + 1, iterations)
        if moved < 1e-4:
            break
    return q


def _normal_equations(model: HandModel, problem: ClipProblem, q):
    """Block diagonal H (T, n, n) and gradient (T, n) of every term but smoothness."""
    T, n = q.shape
    H, g = np.empty((T, n, n)), np.empty((T, n))
    weight = problem.prior_weight**2
    diagonal = np.diag(weight + 1e-8)
    for t in range(T):
        model.move(q[t], problem.object_pose[t])
        w = problem.goal_weight[t][:, None]
        J = (w[..., None] * model.point_jacobian()).reshape(-1, n)
        r = (w * (problem.goal[t] - model.points())).ravel()
        rows = [J, problem.palm_weight * model.palm_rotation_jacobian()]
        values = [r, problem.palm_weight * rotation_error(problem.palm[t], model.palm_rotation())]
        if problem.gap_weight:
            gaps = model.gaps(max(problem.clearance, problem.tip_clearance))
            wanted = np.where(gaps.tip & (gaps.kind == OBJECT), problem.tip_clearance, problem.clearance)
            close = gaps.distance < wanted
            rows.append(problem.gap_weight * gaps.jacobian[close])
            values.append(problem.gap_weight * (wanted - gaps.distance)[close])
        J, r = np.concatenate(rows), np.concatenate(values)
        H[t] = J.T @ J + diagonal
        g[t] = -J.T @ r + weight * (q[t] - problem.prior[t])
    return H, g


def rotation_error(wanted, actual):
    """(3,) rotation vector in the world that turns `actual` into `wanted` (3, 3), rad."""
    R = wanted @ actual.T
    sine = 0.5 * np.array([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]])
    norm = np.sqrt(sine @ sine)
    angle = np.arctan2(norm, 0.5 * (R[0, 0] + R[1, 1] + R[2, 2] - 1.0))
    return sine * (angle / norm if norm > 1e-9 else 1.0)


def _smoothness(T: int, problem: ClipProblem):
    """D^T D of the first and second differences as diagonals: [(T,) main, (T-1,) next, (T-2,) after that] per joint."""
    v, a = problem.velocity_weight**2, problem.acceleration_weight**2
    first, second = np.diff(np.eye(T), axis=0), np.diff(np.eye(T), n=2, axis=0)
    V, A = first.T @ first, second.T @ second
    return [np.diagonal(V, k)[:, None] * v + np.diagonal(A, k)[:, None] * a for k in range(3)]


def _smoothness_gradient(smooth, q):
    g = smooth[0] * q
    for k in (1, 2):
        g[:-k] += smooth[k] * q[k:]
        g[k:] += smooth[k] * q[:-k]
    return g


def _solve(H, smooth, b, held):
    """Solve (H + smoothness) x = b with x = 0 where `held`, as one banded positive definite system."""
    T, n, _ = H.shape
    free = ~held
    H = H * (free[:, :, None] & free[:, None, :])
    H[:, np.arange(n), np.arange(n)] += smooth[0] + held
    band = np.zeros((2 * n + 1, T, n))  # lower form: band[i - j, j] = A[i, j]
    for offset in range(n):
        columns = np.arange(n - offset)
        band[offset][:, columns] = H[:, columns + offset, columns]
    for k in (1, 2):
        band[k * n, : T - k] = smooth[k] * free[k:] * free[:-k]
    return solveh_banded(band.reshape(2 * n + 1, T * n), (b * free).ravel(), lower=True).reshape(T, n)
