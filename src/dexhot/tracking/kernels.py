"""Compiled loops of the hand-object filter. An object alone does without them, and without what they import.

N = 6K + 12 error states of K keypoints and an object (hand_object_filter.py), n = 3K; P (N, N) is their covariance.
"""

import numpy as np
from numba import njit


@njit(cache=True)
def spread(P: np.ndarray, density: np.ndarray, dt: float) -> np.ndarray:
    """P after `dt` s in which the keypoints go on with their velocities, under white accelerations of `density` (n, n);
    the object's own rows are those before."""
    size, n = len(P), len(density)
    at, out = 2 * n, np.empty_like(P)
    for i in range(n):
        v = n + i
        for j in range(n):
            w, noise = n + j, dt * density[i, j]
            speeds = P[v, w]
            out[v, w] = speeds + noise
            out[i, w] = P[i, w] + dt * (speeds + 0.5 * noise)
            out[v, j] = P[v, j] + dt * (speeds + 0.5 * noise)
            out[i, j] = P[i, j] + dt * (P[i, w] + P[v, j] + dt * (speeds + noise / 3.0))
        for j in range(at, size):
            out[i, j] = P[i, j] + dt * P[v, j]
            out[v, j] = P[v, j]
    for i in range(at, size):
        for j in range(n):
            out[i, j] = P[i, j] + dt * P[i, n + j]
            out[i, n + j] = P[i, n + j]
        for j in range(at, size):
            out[i, j] = P[i, j]
    return out


@njit(cache=True)
def procrustes(
    before: np.ndarray, after: np.ndarray, weight: np.ndarray, position: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The fields of contact_dynamics.Carried; its module's docstring has the formulas."""
    count, total = len(before), weight.sum()
    c0, c1, M = np.zeros(3), np.zeros(3), np.zeros((3, 3))
    for k in range(count):
        for i in range(3):
            c0[i] += weight[k] / total * before[k, i]
            c1[i] += weight[k] / total * after[k, i]
    for k in range(count):
        for i in range(3):
            for j in range(3):
                M[i, j] += weight[k] / total * (before[k, i] - c0[i]) * (after[k, j] - c1[j])
    U, _, Vt = np.linalg.svd(M)
    turn = times(U, Vt).T.copy()
    cofactors = crossed(turn, turn[0])  # its last row: third row x first row
    if turn[1, 0] * cofactors[2, 0] + turn[1, 1] * cofactors[2, 1] + turn[1, 2] * cofactors[2, 2] < 0.0:
        for j in range(3):  # a rotation, not a reflection
            Vt[2, j] = -Vt[2, j]
        turn = times(U, Vt).T.copy()
    left = -times(turn, M)  # sum w a b^T
    trace = -(left[0, 0] + left[1, 1] + left[2, 2])
    for i in range(3):
        left[i, i] += trace
    inverse = inverted(left)
    one, arm, position_after = np.zeros((3, 3)), np.zeros(3), c1.copy()
    for i in range(3):
        one[i, i] = 1.0
        for j in range(3):
            arm[i] += turn[i, j] * (position[j] - c0[j])
        position_after[i] += arm[i]
    lever = crossed(one, arm)
    by_before, by_after = np.empty((6, 3 * count)), np.empty((6, 3 * count))
    a, b = np.empty(3), np.empty(3)
    for k in range(count):
        w = weight[k] / total
        for i in range(3):
            b[i], a[i] = -w * (after[k, i] - c1[i]), 0.0
            for j in range(3):
                a[i] += w * turn[i, j] * (before[k, j] - c0[j])
        by_a, by_b = crossed(inverse, a), times(crossed(inverse, b), turn)
        moved_a, moved_b = times(lever, by_a), times(lever, by_b)
        for i in range(3):
            for j in range(3):
                by_after[3 + i, 3 * k + j], by_before[3 + i, 3 * k + j] = by_a[i, j], by_b[i, j]
                by_after[i, 3 * k + j] = w * one[i, j] - moved_a[i, j]
                by_before[i, 3 * k + j] = -w * turn[i, j] - moved_b[i, j]
    return turn, c0, c1, position_after, by_before, by_after


@njit(cache=True)
def times(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """A B of (3, 3)."""
    out = np.zeros((3, 3))
    for i in range(3):
        for k in range(3):
            for j in range(3):
                out[i, j] += A[i, k] * B[k, j]
    return out


@njit(cache=True)
def crossed(A: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A (3, 3) times the matrix of the cross product with v (3,): each row x v."""
    out = np.empty((3, 3))
    for i in range(3):
        out[i, 0] = A[i, 1] * v[2] - A[i, 2] * v[1]
        out[i, 1] = A[i, 2] * v[0] - A[i, 0] * v[2]
        out[i, 2] = A[i, 0] * v[1] - A[i, 1] * v[0]
    return out


@njit(cache=True)
def inverted(A: np.ndarray) -> np.ndarray:
    """A^-1 (3, 3) by its cofactors; not for one that is nearly singular."""
    out = np.empty((3, 3))
    for i in range(3):
        for j in range(3):
            a, b, c, d = (j + 1) % 3, (j + 2) % 3, (i + 1) % 3, (i + 2) % 3
            out[i, j] = A[a, c] * A[b, d] - A[a, d] * A[b, c]
    scale = 1.0 / (A[0, 0] * out[0, 0] + A[0, 1] * out[1, 0] + A[0, 2] * out[2, 0])
    for i in range(3):
        for j in range(3):
            out[i, j] *= scale
    return out


@njit(cache=True)
def carry_object(
    before: np.ndarray,
    P: np.ndarray,
    density: np.ndarray,
    turn: np.ndarray,
    by_before: np.ndarray,
    by_after: np.ndarray,
    dt: float,
    slip: np.ndarray,
    shake: np.ndarray,
) -> None:
    """The object's rows and columns of P, from P `before` (N, N), which `spread` has made P.

    Its pose moves with the contact points: F = [by_before + by_after, dt by_after, [turn, turn]] of the state before,
    and G = by_after of the hand's noise, with variances `slip` (6,) of its own. Its twist is theirs, with variances
    `shake` (6,).
    """
    n, size = len(density), len(P)
    at = 2 * n
    hand = np.empty((6, at))
    for i in range(6):
        for j in range(n):
            hand[i, j] = by_before[i, j] + by_after[i, j]
            hand[i, n + j] = dt * by_after[i, j]
    noise = np.dot(by_after, density)
    old = np.dot(hand, before[:at])  # (6, N): the pose now against the state before
    for i in range(6):
        first = at + i // 3 * 3  # of position or rotation, which turn alike
        for k in range(3):
            for j in range(size):
                old[i, j] += turn[i % 3, k] * before[first + k, j]
    speed = np.dot(by_after, P[n:at])  # (6, N): the twist against the state now
    for i in range(6):
        for j in range(n):
            # against the hand's error now, which is F of the error before, plus noise that both have
            P[at + i, j] = old[i, j] + dt * (old[i, n + j] + dt * dt / 3.0 * noise[i, j])
            P[at + i, n + j] = old[i, n + j] + 0.5 * dt * dt * noise[i, j]
            P[at + 6 + i, j], P[at + 6 + i, n + j] = speed[i, j], speed[i, n + j]
        for j in range(6):
            own, own_speed, speeds = 0.0, 0.0, 0.0
            for k in range(at):
                own += old[i, k] * hand[j, k]
            for k in range(n):
                own += dt * dt * dt / 3.0 * noise[i, k] * by_after[j, k]
                own_speed += P[at + i, n + k] * by_after[j, k]
                speeds += speed[i, n + k] * by_after[j, k]
            for k in range(3):
                own += turn[j % 3, k] * old[i, at + j // 3 * 3 + k]
            P[at + i, at + j], P[at + 6 + i, at + 6 + j] = own, speeds
            P[at + i, at + 6 + j] = P[at + 6 + j, at + i] = own_speed
        P[at + i, at + i] += slip[i]
        P[at + 6 + i, at + 6 + i] += shake[i]
    for i in range(at, size):
        for j in range(at):
            P[j, i] = P[i, j]


@njit(cache=True)
def forward(S: np.ndarray, right: np.ndarray) -> None:
    """L^-1 right into `right` (m, M), with the Cholesky factor L of S (m, m)."""
    L = np.linalg.cholesky(S)
    for i in range(len(S)):
        for k in range(i):
            for j in range(right.shape[1]):
                right[i, j] -= L[i, k] * right[k, j]
        for j in range(right.shape[1]):
            right[i, j] /= L[i, i]


@njit(cache=True)
def likelihood(S: np.ndarray, residual: np.ndarray) -> tuple[float, float]:
    """The squared Mahalanobis distance of a residual (m,) of covariance S (m, m), and its log likelihood but for the
    constant."""
    L = np.linalg.cholesky(S)
    square, spread = 0.0, 0.0
    white = residual.copy()
    for i in range(len(S)):
        for k in range(i):
            white[i] -= L[i, k] * white[k]
        white[i] /= L[i, i]
        square += white[i] * white[i]
        spread += 2.0 * np.log(L[i, i])
    return square, -0.5 * (square + spread)


@njit(cache=True)
def distances(S: np.ndarray, residual: np.ndarray, size: int) -> np.ndarray:
    """(groups,): the squared Mahalanobis distance of each group of `size` residuals (m,), of covariance S (m, m)."""
    out = np.empty(len(S) // size)
    for g in range(len(out)):
        a, b = g * size, (g + 1) * size
        out[g] = likelihood(S[a:b, a:b].copy(), residual[a:b])[0]
    return out


def prepare() -> None:
    """Compile, or load what was compiled before: seconds for which a first frame would wait."""
    points, P, six = np.eye(3), np.eye(30), np.ones(6)
    turn, _, _, _, by_before, by_after = procrustes(points, points, np.ones(3), points[0])
    carry_object(P, spread(P, np.eye(9), 0.0), np.eye(9), turn, by_before, by_after, 0.0, six, six)
    forward(np.eye(6), np.eye(6))
    distances(np.eye(6), six, 3)
