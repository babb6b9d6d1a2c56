"""Gauss-Newton over a whole clip at once: keypoints (DexTrack Eq. 5-7), palm, posture, smoothness, gaps, joint limits.

minimise over q (T, 6+n)

    sum_t  w_p^2 |points(q_t) - goal_t|^2                 keypoints, w_p per point and frame
         + w_r^2 |log(R_goal R(q_t)^T)|^2                 palm rotation
         + |w_q (q_t - prior_t)|^2                        posture
         + w_g^2 sum_c max(0, clearance_c - gap_c)^2      no penetration: object, table, the hand itself
    + w_v^2 sum_t |q_t+1 - q_t|^2 + w_a^2 sum_t |q_t-1 - 2 q_t + q_t+1|^2

subject to joint limits. Frames are coupled through smoothness only, so each step solves one banded system; joints
whose step would violate a limit are held at it (projected Newton).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solveh_banded

from dexhot.geometry.rotations import rotation_error
from dexhot.robots.kinematics.hand import OBJECT, HandModel


@dataclass
class ClipProblem:
    """Objective of one clip's hand motion; weights are 1 per metre unless stated."""

    goal: np.ndarray  # (T, P, 3) m, world
    goal_weight: np.ndarray  # (T, P)
    palm: np.ndarray  # (T, 3, 3) desired world_R_palm
    palm_weight: float  # per rad
    prior: np.ndarray  # (T, 6+n)
    prior_weight: np.ndarray  # (6+n,)
    velocity_weight: np.ndarray  # (6+n,)
    acceleration_weight: np.ndarray  # (6+n,)
    object_pose: np.ndarray  # (T, 7)
    gap_weight: float = 0.0  # 0: gaps are not computed
    clearance: float = 0.001  # m, minimum gap of all pairs except those of `touching`
    spare_clearance: float = 0.0025  # m, minimum gap between the object and everything not touching it
    touching: np.ndarray | None = None  # (T, k) bool: fingertips that may touch the object, to -0.5 mm
    step: float = 0.3  # largest change of a joint in one iteration, rad or m


def solve_clip(
    model: HandModel,
    problem: ClipProblem,
    start: np.ndarray,
    iterations: int = 20,
    progress: Callable[[int, int], object] | None = None,
) -> np.ndarray:
    """Hand motion (T, 6+n) from `start` (T, 6+n). Stops when no joint moves by more than 1e-4."""
    q: np.ndarray = np.clip(start, model.lower, model.upper)
    smooth = _smoothness(len(q), problem.velocity_weight, problem.acceleration_weight)
    damping = np.full(len(q), 1e-4)
    previous = np.full(len(q), np.inf)
    for iteration in range(iterations):
        H, g, cost, gaps = _linearise(model, problem, q)
        # Levenberg-Marquardt per frame: more damping where the last step increased the cost.
        damping = np.clip(np.where(cost > 1.001 * previous, 8.0 * damping, 0.5 * damping), 1e-6, 1.0)
        previous = cost
        H[:, np.arange(q.shape[1]), np.arange(q.shape[1])] += damping[:, None]
        g += _smoothness_gradient(smooth, q)
        step = _step(model, problem, q, H, g, smooth, gaps)
        q_next = np.clip(q + step, model.lower, model.upper)
        moved = np.abs(q_next - q).max()
        q = q_next
        if progress:
            progress(iteration + 1, iterations)
        if moved < 1e-4:
            break
    return q


def smooth_motion(
    model: HandModel,
    q: np.ndarray,
    H: np.ndarray,
    g: np.ndarray,
    velocity_weight: np.ndarray,
    acceleration_weight: np.ndarray,
    largest: float = 0.3,
) -> np.ndarray:
    """Hand motion (T, 6+n) one step from q (T, 6+n), for frames that are linearised there: H (T, n, n) and gradient
    g (T, n) of each one's cost. Smoothness and joint limits as in `solve_clip`; no joint moves by more than `largest`.
    """
    smooth = _smoothness(len(q), velocity_weight, acceleration_weight)
    step = _limited_step(model, q, H, g + _smoothness_gradient(smooth, q), smooth, largest)
    moved: np.ndarray = np.clip(q + step, model.lower, model.upper)
    return moved


def _step(
    model: HandModel,
    problem: ClipProblem,
    q: np.ndarray,
    H: np.ndarray,
    g: np.ndarray,
    smooth: list[np.ndarray],
    gaps: "_GapRows",
) -> np.ndarray:
    """The step (T, n); gaps that it would close are included, or the solution would oscillate."""
    active = gaps.distance < gaps.wanted
    for _ in range(3):
        H_all, g_all = gaps.add_to(H, g, active, problem.gap_weight)
        step = _limited_step(model, q, H_all, g_all, smooth, problem.step)
        predicted = gaps.distance + np.einsum("cn,cn->c", gaps.jacobian, step[gaps.frame])
        closing = (predicted < gaps.wanted) & ~active
        if not closing.any():
            break
        active |= closing
    return step


def _limited_step(
    model: HandModel, q: np.ndarray, H: np.ndarray, g: np.ndarray, smooth: list[np.ndarray], largest: float
) -> np.ndarray:
    """The step (T, n) with joints held at the limits that it would violate."""
    at_limit = ((q <= model.lower) & (g > 0)) | ((q >= model.upper) & (g < 0))
    step: np.ndarray = np.clip(_solve(H, smooth, -g, at_limit), -largest, largest)
    return step


@dataclass
class _GapRows:
    """Gaps of all frames that are, or may become, narrower than desired."""

    frame: np.ndarray  # (C,)
    distance: np.ndarray  # (C,) m
    wanted: np.ndarray  # (C,) m
    jacobian: np.ndarray  # (C, n)

    def add_to(self, H: np.ndarray, g: np.ndarray, active: np.ndarray, weight: float) -> tuple[np.ndarray, np.ndarray]:
        H, g = H.copy(), g.copy()
        rows = np.flatnonzero(active)
        J, missing = weight * self.jacobian[rows], weight * (self.wanted - self.distance)[rows]
        first = np.searchsorted(self.frame[rows], np.arange(len(H) + 1))
        for t in np.flatnonzero(np.diff(first)):
            part = slice(first[t], first[t + 1])
            H[t] += J[part].T @ J[part]
            g[t] -= J[part].T @ missing[part]
        return H, g


def _linearise(
    model: HandModel, problem: ClipProblem, q: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, _GapRows]:
    """Block diagonal H (T, n, n) and gradient (T, n) of all terms except smoothness and gaps; cost (T,) of all terms;
    gaps."""
    T, n = q.shape
    P = problem.goal.shape[1]
    points, point_jacobian = np.empty((T, P, 3)), np.empty((T, P, 3, n))
    palm, palm_jacobian = np.empty((T, 3, 3)), np.empty((T, 3, n))
    short, found = np.zeros(T), []
    for t in range(T):
        model.move(q[t], problem.object_pose[t])
        points[t], point_jacobian[t] = model.points(), model.point_jacobian()
        palm[t], palm_jacobian[t] = model.palm_rotation(), model.palm_rotation_jacobian()
        if problem.gap_weight:
            gaps = model.gaps()
            wanted = np.where(gaps.kind == OBJECT, problem.spare_clearance, problem.clearance)
            if problem.touching is not None:
                wanted[(gaps.kind == OBJECT) & (gaps.tip >= 0) & problem.touching[t][gaps.tip]] = -0.0005
            missing = problem.gap_weight * (wanted - gaps.distance).clip(0)
            short[t] = missing @ missing
            found.append((np.full(len(wanted), t), gaps.distance, wanted, gaps.jacobian))
    w, turning = problem.goal_weight[..., None], problem.palm_weight
    J = np.concatenate([(w[..., None] * point_jacobian).reshape(T, -1, n), turning * palm_jacobian], axis=1)
    r = np.concatenate(
        [(w * (problem.goal - points)).reshape(T, -1), turning * rotation_error(problem.palm, palm)], axis=1
    )
    off, weight = q - problem.prior, problem.prior_weight**2
    Jt = J.transpose(0, 2, 1)
    H = Jt @ J
    g = weight * off - (Jt @ r[..., None])[..., 0]
    cost = (r**2).sum(axis=1) + off**2 @ weight + short
    H[:, np.arange(n), np.arange(n)] += weight
    empty = (np.zeros(0, int), np.zeros(0), np.zeros(0), np.zeros((0, n)))
    rows = [np.concatenate(column) for column in zip(*found)] if found else empty
    return H, g, cost, _GapRows(*rows)


def _smoothness(T: int, velocity_weight: np.ndarray, acceleration_weight: np.ndarray) -> list[np.ndarray]:
    """D^T D of the first and second differences as diagonals: [(T,) main, (T-1,) next, (T-2,) after that] per joint."""
    V, A = _square_of_differences(T, (-1, 1)), _square_of_differences(T, (1, -2, 1))
    v, a = velocity_weight**2, acceleration_weight**2
    return [V[k][:, None] * v + A[k][:, None] * a for k in range(3)]


def _square_of_differences(T: int, row: tuple[int, ...]) -> list[np.ndarray]:
    """The main diagonal of D^T D and the two above it, where the rows of D are `row` shifted by 0, 1, 2, ..."""
    diagonals = [np.zeros(max(T - k, 0)) for k in range(3)]
    rows = T - len(row) + 1
    for i in range(len(row)):
        for j in range(i, len(row)):
            diagonals[j - i][i : i + max(rows, 0)] += row[i] * row[j]
    return diagonals


def _smoothness_gradient(smooth: list[np.ndarray], q: np.ndarray) -> np.ndarray:
    g: np.ndarray = smooth[0] * q
    for k in (1, 2):
        g[:-k] += smooth[k] * q[k:]
        g[k:] += smooth[k] * q[:-k]
    return g


def _solve(H: np.ndarray, smooth: list[np.ndarray], b: np.ndarray, held: np.ndarray) -> np.ndarray:
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
    x: np.ndarray = solveh_banded(band.reshape(2 * n + 1, T * n), (b * free).ravel(), lower=True).reshape(T, n)
    return x
