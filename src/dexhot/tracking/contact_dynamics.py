"""Quasi-static contact: an object that is held moves with the points that touch it (HandyPriors eq. 9).

The motion is the weighted Procrustes fit of the contact points before and after (a proper rotation, about their
centroids). Its derivatives are exact. At the optimum the weighted sum of (Q r0) x r1 is zero; with a = Q r0 and b = r1
its perturbation gives the rotation's:

    L dtheta = sum w (a x db - b x Q da0),  L = sum w ((a . b) I - a b^T)
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dexhot.geometry import single

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
    by_after: np.ndarray  # (6, 3K) derivative of (position, rotation vector in the world) by the points after
    weight: np.ndarray  # (K, 1), their sum 1
    pulled: np.ndarray  # (K, 3) weight times the points after, about their centroid
    by_a: np.ndarray  # (3, 3, 3) of the rotation vector by the points after: linear in a point's weighted place before

    @cached_property
    def by_before(self) -> np.ndarray:
        """(6, 3K) derivative by the points before."""
        # turn_before_k = -inverse [w b_k]x Q is linear in b_k
        by_b, lever = -self.by_a @ self.turn, skew(self.position - self.after)
        out = np.empty((6, len(self.pulled), 3))
        out[:3] = _rows(self.weight, -self.turn[None]) - _rows(self.pulled, lever @ by_b)
        out[3:] = _rows(self.pulled, by_b)
        return out.reshape(6, -1)


def carry(before: np.ndarray, after: np.ndarray, weight: np.ndarray, position: np.ndarray) -> Carried:
    """Contact points (K, 3) m before and after, their weights (K,), the object's position (3,) before."""
    weight = (weight / weight.sum())[:, None]
    c0, c1 = (weight * before).sum(0), (weight * after).sum(0)
    r0, b = before - c0, after - c1
    U, _, Vt = np.linalg.svd((weight * r0).T @ b)
    Q = (U @ Vt).T
    if single.determinant(Q) < 0:
        Q = (Vt.T * (1.0, 1.0, -1.0)) @ U.T  # a rotation, not a reflection
    a, arm = r0 @ Q.T, Q @ (position - c0)
    wa, wb = weight * a, weight * b
    turned = wb.T @ a
    # turn_after_k = inverse [w a_k]x is linear in a_k
    by_a = single.inverse_matrix(turned.trace() * EYE - turned) @ SKEW
    by_after = np.empty((6, len(before), 3))
    by_after[:3] = _rows(weight, EYE[None]) - _rows(wa, skew(arm) @ by_a)
    by_after[3:] = _rows(wa, by_a)
    return Carried(Q, c0, c1, arm + c1, by_after.reshape(6, -1), weight, wb, by_a)


def _rows(points: np.ndarray, linear: np.ndarray) -> np.ndarray:
    """(3, K, 3): the matrix of each point (K, n), sum_n points[k, n] linear[n], its rows first."""
    out: np.ndarray = points @ linear.reshape(len(linear), 9)
    return out.reshape(-1, 3, 3).transpose(1, 0, 2)


def skew(v: np.ndarray) -> np.ndarray:
    """(..., 3) -> (..., 3, 3): skew(v) u = v x u."""
    out: np.ndarray = v @ SKEW.reshape(3, 9)
    return out.reshape(*v.shape, 3)
