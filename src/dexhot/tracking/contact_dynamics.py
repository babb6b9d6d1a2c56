"""Quasi-static contact: an object that is held moves with the points that touch it (HandyPriors eq. 9).

The motion is the weighted Procrustes fit of the contact points before and after (a proper rotation, about their
centroids). Its derivatives are exact. At the optimum the weighted sum of (Q r0) x r1 is zero; with a = Q r0 and b = r1
its perturbation gives the rotation's:

    L dtheta = sum w (a x db - b x Q da0),  L = sum w ((a . b) I - a b^T)
"""

from dataclasses import dataclass

import numpy as np


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
    weight = weight / weight.sum()
    c0, c1 = weight @ before, weight @ after
    r0, b = before - c0, after - c1
    U, _, Vt = np.linalg.svd((weight[:, None] * r0).T @ b)
    V = Vt.T
    if np.linalg.det(U) * np.linalg.det(V) < 0:
        V = V * (1.0, 1.0, -1.0)  # a rotation, not a reflection
    Q = V @ U.T
    a, arm = r0 @ Q.T, Q @ (position - c0)
    L = (weight @ (a * b).sum(1)) * np.eye(3) - (weight[:, None] * a).T @ b
    inverse = np.linalg.inv(L)
    turn_after = inverse @ (weight[:, None, None] * skew(a))  # (K, 3, 3)
    turn_before = -inverse @ (weight[:, None, None] * skew(b)) @ Q
    lever, eye = skew(arm), weight[:, None, None] * np.eye(3)
    by_after = np.concatenate([eye - lever @ turn_after, turn_after], axis=1)  # (K, 6, 3)
    by_before = np.concatenate([-eye @ Q - lever @ turn_before, turn_before], axis=1)
    columns = 3 * len(weight)
    return Carried(
        Q,
        c0,
        c1,
        arm + c1,
        by_before.transpose(1, 0, 2).reshape(6, columns),
        by_after.transpose(1, 0, 2).reshape(6, columns),
    )


def skew(v: np.ndarray) -> np.ndarray:
    """(..., 3) -> (..., 3, 3): skew(v) u = v x u."""
    out = np.zeros((*v.shape, 3))
    out[..., 0, 1], out[..., 0, 2], out[..., 1, 2] = -v[..., 2], v[..., 1], -v[..., 0]
    out[..., 1, 0], out[..., 2, 0], out[..., 2, 1] = v[..., 2], -v[..., 1], v[..., 0]
    return out
