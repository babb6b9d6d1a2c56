"""Quasi-static contact: an object that is held moves with the points that touch it (HandyPriors eq. 9).

The motion is the weighted Procrustes fit of the contact points before and after (a proper rotation, about their
centroids). Its derivatives are exact. At the optimum the weighted sum of (Q r0) x r1 is zero; with a = Q r0 and b = r1
its perturbation gives the rotation's:

    L dtheta = sum w (a x db - b x Q da0),  L = sum w ((a . b) I - a b^T)
"""

from typing import NamedTuple

import numpy as np

SKEW = np.zeros((3, 3, 3))  # skew(v) = sum_i v_i SKEW_i
SKEW[0, 2, 1], SKEW[1, 0, 2], SKEW[2, 1, 0] = 1.0, 1.0, 1.0
SKEW[0, 1, 2], SKEW[1, 2, 0], SKEW[2, 0, 1] = -1.0, -1.0, -1.0


class Carried(NamedTuple):
    """The motion x -> turn (x - before) + after of a held object, and its derivatives by the contact points."""

    turn: np.ndarray  # (3, 3) in the world
    before: np.ndarray  # (3,) contact centroid, m
    after: np.ndarray  # (3,)
    position: np.ndarray  # (3,) of the object's origin afterwards
    by_before: np.ndarray  # (6, 3K) derivative of (position, rotation vector in the world) by the points before
    by_after: np.ndarray  # (6, 3K) by the points after


def carry(before: np.ndarray, after: np.ndarray, weight: np.ndarray, position: np.ndarray) -> Carried:
    """Contact points (K, 3) m before and after, their weights (K,), the object's position (3,) before."""
    from dexhot.tracking import kernels  # compiled: not for an object alone

    return Carried(*kernels.procrustes(before, after, weight, position))


def skew(v: np.ndarray) -> np.ndarray:
    """(..., 3) -> (..., 3, 3): skew(v) u = v x u."""
    out: np.ndarray = v @ SKEW.reshape(3, 9)
    return out.reshape(*v.shape, 3)
