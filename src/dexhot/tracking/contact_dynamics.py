"""Quasi-static contact: an object that is held moves with the points that touch it (HandyPriors eq. 9).

The motion is the weighted Procrustes fit of the contact points before and after (a proper rotation, about their
centroids). Its derivatives are exact. At the optimum the weighted sum of (Q r0) x r1 is zero; with a = Q r0 and b = r1
its perturbation gives the rotation's:

    L dtheta = sum w (a x db - b x Q da0),  L = sum w ((a . b) I - a b^T)
"""

from dataclasses import dataclass

import numpy as np

EYE = np.eye(3)
SKEW = np.zeros((3, 3, 3))  # skew(v) = sum_i v_i SKEW_i
SKEW[0, 2, 1], SKEW[1, 0, 2], SKEW[2, 1, 0] = 1.0, 1.0, 1.0
SKEW[0, 1, 2], SKEW[1, 2, 0], SKEW[2, 0, 1] = -1.0, -1.0, -1.0


@dataclass(frozen=True)
class Carried:
    """The motion x -> turn (x - before) + after of a held object, and its derivatives by the contact points."""

    turn: np.ndarray  # (3, 3) in the world
    before: np.ndarray  # (3,) contact centroid, m
    after: np.ndarray  # (3,)
    position: np.ndarray  # (3,) of the object's origin afterwards
    by_before: np.ndarray  # (6, 3K) derivative of (position, rotation vector in the world) by the points before
    by_after: np.ndarray  # (6, 3K)


def carry(before: np.ndarray, after: np.ndarray, weight: np.ndarray, position: np.ndarray) -> Carried:
    """Contact points (K, 3) m before and after, their weights (K,), the object's position (3,) before."""
    weight = (weight / weight.sum())[:, None]
    c0, c1 = (weight * before).sum(0), (weight * after).sum(0)
    r0, b = before - c0, after - c1
    U, _, Vt = np.linalg.svd((weight * r0).T @ b)
    V = Vt.T
    if np.linalg.det(U @ Vt) < 0:
        V = V * (1.0, 1.0, -1.0)  # a rotation, not a reflection
    Q = V @ U.T
    a, arm = r0 @ Q.T, Q @ (position - c0)
    wa, wb = weight * a, weight * b
    turned = wb.T @ a
    inverse = np.linalg.inv(turned.trace() * EYE - turned)
    # turn_after_k = inverse [w a_k]x and turn_before_k = -inverse [w b_k]x Q are linear in a_k and b_k
    lever, by_a = skew(arm), inverse @ SKEW
    by_b = -by_a @ Q
    by_after, by_before = np.empty((2, 6, len(before), 3))
    by_after[3:], by_before[3:] = _rows(wa, by_a), _rows(wb, by_b)
    by_after[:3] = _rows(weight, EYE[None]) - _rows(wa, lever @ by_a)
    by_before[:3] = _rows(weight, -Q[None]) - _rows(wb, lever @ by_b)
    return Carried(Q, c0, c1, arm + c1, by_before.reshape(6, -1), by_after.reshape(6, -1))


def _rows(points: np.ndarray, linear: np.ndarray) -> np.ndarray:
    """(3, K, 3): the matrix of each point (K, n), sum_n points[k, n] linear[n], its rows first."""
    out: np.ndarray = points @ linear.reshape(len(linear), 9)
    return out.reshape(-1, 3, 3).transpose(1, 0, 2)


def skew(v: np.ndarray) -> np.ndarray:
    """(..., 3) -> (..., 3, 3): skew(v) u = v x u."""
    out: np.ndarray = v @ SKEW.reshape(3, 9)
    return out.reshape(*v.shape, 3)
